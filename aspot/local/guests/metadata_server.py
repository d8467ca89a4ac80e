"""A machine's metadata service: IMDSv2 on a port of its own address.

Answers as EC2's does (EC2 user guide, "Instance metadata"; 2026-01): a token by PUT, 401 without this machine's token,
404 for what is not there. May import: aiohttp, the seam.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from aspot.local.seam import Metadata

__all__ = ["MetadataServer"]

_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"
_MAX_TTL_S = 21600
_SHUTDOWN_S = 0.05  # none at all would mean without limit
_TOKEN_PATH = "/latest/api/token"
_CREDENTIALS_LIFE = timedelta(hours=6)
_NOT_FOUND = '<?xml version="1.0" encoding="iso-8859-1"?>\n<html><head><title>404 - Not Found</title></head></html>\n'

Leaf = Callable[[Metadata], str | None]


class MetadataServer:
    """The metadata service of one machine; it reads `metadata` at each request."""

    def __init__(self, metadata: Metadata, *, user_data: bytes, public_key: str | None) -> None:
        self._metadata = metadata
        self._user_data, self._public_key = user_data, public_key
        self._tokens: dict[str, float] = {}
        self._server = web.Server(self._answer, access_log=None)
        self._listener: asyncio.Server | None = None
        self.endpoint = ""

    async def start(self) -> None:
        """Listen on a free port of the machine's address; `endpoint` is the URL from then on."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind((self._metadata.address, 0))
        self.endpoint = f"http://{self._metadata.address}:{sock.getsockname()[1]}/"
        self._listener = await asyncio.get_running_loop().create_server(self._server, sock=sock)

    async def aclose(self) -> None:
        """Stop listening and cut its connections."""
        if self._listener:
            self._listener.close()
        await self._server.shutdown(_SHUTDOWN_S)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if request.method == "PUT":
            return self._new_token(request) if path == _TOKEN_PATH else web.Response(status=403)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405)
        expires = self._tokens.get(request.headers.get(_TOKEN_HEADER, ""), 0.0)
        if expires < asyncio.get_running_loop().time():
            return web.Response(status=401)
        return self._read(path)

    def _new_token(self, request: web.BaseRequest) -> web.Response:
        if "X-Forwarded-For" in request.headers:
            return web.Response(status=403)
        ttl = request.headers.get(_TTL_HEADER, "")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _MAX_TTL_S:
            return web.Response(status=400)
        now = asyncio.get_running_loop().time()
        self._tokens = {token: expires for token, expires in self._tokens.items() if expires >= now}
        token = secrets.token_urlsafe(42)
        self._tokens[token] = now + int(ttl)
        return web.Response(text=token, headers={_TTL_HEADER: ttl})

    def _read(self, path: str) -> web.Response:
        version, _, rest = path.strip("/").partition("/")
        if version != "latest" and not version[:1].isdecimal():
            return _missing()
        if rest == "user-data":
            return web.Response(body=self._user_data) if self._user_data else _missing()
        if rest == "dynamic/instance-identity/document":
            return web.Response(text=json.dumps(_identity(self._metadata), indent=2))
        top, _, name = rest.partition("/")
        return self._read_leaf(name.strip("/")) if top == "meta-data" else _missing()

    def _read_leaf(self, name: str) -> web.Response:
        tree = self._tree()
        text = tree.get(name)
        if text is None:
            text = _listing(tree, name)
        return web.Response(text=text) if text else _missing()

    def _tree(self) -> dict[str, str]:
        """Return every path that is there now with its text."""
        metadata = self._metadata
        tree = {name: text for name, leaf in _LEAVES.items() if (text := leaf(metadata)) is not None}
        if self._public_key:
            tree["public-keys/0/openssh-key"] = self._public_key
        if metadata.role:
            tree["iam/info"] = json.dumps({"Code": "Success", "InstanceProfileArn": _profile(metadata)})
            tree[f"iam/security-credentials/{metadata.role}"] = json.dumps(_credentials(metadata))
        return tree


def _instance_action(metadata: Metadata) -> str | None:
    notice = metadata.notice_time
    return json.dumps({"action": "terminate", "time": _stamp(notice)}) if notice else None


def _rebalance(metadata: Metadata) -> str | None:
    return json.dumps({"noticeTime": _stamp(metadata.rebalance_time)}) if metadata.rebalance_time else None


def _host(metadata: Metadata) -> str:
    return f"ip-{metadata.address.replace('.', '-')}.{metadata.region}.compute.internal"


_LEAVES: dict[str, Leaf] = {
    "ami-id": lambda metadata: metadata.image_id,
    "ami-launch-index": lambda _: "0",
    "events/recommendations/rebalance": _rebalance,
    "hostname": _host,
    "instance-action": lambda _: "none",
    "instance-id": lambda metadata: metadata.instance_id,
    "instance-life-cycle": lambda metadata: metadata.lifecycle,
    "instance-type": lambda metadata: metadata.instance_type,
    "local-hostname": _host,
    "local-ipv4": lambda metadata: metadata.address,
    "placement/availability-zone": lambda metadata: metadata.zone,
    "placement/region": lambda metadata: metadata.region,
    "public-hostname": lambda metadata: metadata.address,
    "public-ipv4": lambda metadata: metadata.address,
    "services/domain": lambda _: "amazonaws.com",
    "services/partition": lambda _: "aws",
    "spot/instance-action": _instance_action,
    "spot/termination-time": lambda metadata: _stamp(metadata.notice_time) if metadata.notice_time else None,
}


def _listing(tree: dict[str, str], folder: str) -> str:
    """Return a folder's names as EC2 lists them: one a line, folders with a slash."""
    prefix = f"{folder}/" if folder else ""
    names = {name[len(prefix) :].partition("/") for name in tree if name.startswith(prefix)}
    return "\n".join(sorted({top + slash for top, slash, _rest in names}))


def _identity(metadata: Metadata) -> dict[str, object]:
    return {
        "accountId": metadata.account_id,
        "architecture": "x86_64",
        "availabilityZone": metadata.zone,
        "imageId": metadata.image_id,
        "instanceId": metadata.instance_id,
        "instanceType": metadata.instance_type,
        "privateIp": metadata.address,
        "region": metadata.region,
        "version": "2017-09-30",
    }


def _profile(metadata: Metadata) -> str:
    return f"arn:aws:iam::{metadata.account_id}:instance-profile/{metadata.role}"


def _credentials(metadata: Metadata) -> dict[str, str]:
    """Return credentials that only a local cloud accepts, in the shape SDKs read."""
    now = datetime.now(UTC)
    return {
        "Code": "Success",
        "LastUpdated": _stamp(now),
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIALOCALCLOUDGUEST0",
        "SecretAccessKey": "local-cloud",
        "Token": f"local-cloud-{metadata.instance_id}",
        "Expiration": _stamp(now + _CREDENTIALS_LIFE),
    }


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _missing() -> web.Response:
    return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
