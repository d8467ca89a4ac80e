"""S3 for a machine that has nothing but Python: requests signed with its role's credentials, repeated where that helps.

Travels to machines beside `carrier`: plain Python 3.8 of the standard library. Signature Version 4 as in the S3 API
reference ("Authenticating Requests: Using the Authorization Header"), metadata as in the EC2 user guide (IMDSv2), 2026.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import random
import ssl
import threading
import time
import xml.etree.ElementTree as Xml
from datetime import datetime, timezone
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

from aspot.storage.rules import Item

TRIES = 6
SILENCE_S = 60.0
IMDS_S = 5.0
EARLY_S = 300.0
"""Credentials are read anew this long before they end."""
_AGAIN = (429, 500, 502, 503, 504)
_TOKEN_PATH = "/latest/api/token"
_ROLES = "/latest/meta-data/iam/security-credentials/"


class Refused(Exception):
    """S3, or the metadata service, said no.

    Args:
        status: HTTP status; 0 if there was no answer.
        code: S3's word, or "".
        message: S3's sentence.
        action: What was asked for.
        bucket: Whose.
    """

    def __init__(self, status: int, code: str, message: str, action: str = "", bucket: str = "") -> None:
        super().__init__(f"{code or status}: {message}")
        self.status, self.code, self.message, self.action = status, code, message, action
        self.bucket = bucket


class NoRole(Exception):
    """The machine has no instance profile, or one without a role."""


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, Any]
    body: bytes


class Keys(NamedTuple):
    """Credentials and when they end, in seconds since 1970."""

    id: str
    secret: str
    token: str
    ends: float


class Metadata:
    """The machine's metadata service, at the address that SDKs use, or `AWS_EC2_METADATA_SERVICE_ENDPOINT`."""

    def __init__(self) -> None:
        endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254/"
        self._host = urlsplit(endpoint).netloc
        self._token = ""
        self._keys = Keys("", "", "", 0.0)
        self._lock = threading.Lock()

    def read(self, path: str) -> str:
        """Return a text; "" if there is none.

        Raises:
            Refused: If the service does not answer.
        """
        for _ in range(TRIES):
            answer = self._once("GET", path, {"X-aws-ec2-metadata-token": self._token})
            if answer.status == 401:
                wanted = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
                self._token = self._once("PUT", _TOKEN_PATH, wanted).body.decode()
            elif answer.status in (200, 404):
                return answer.body.decode() if answer.status == 200 else ""
            else:
                time.sleep(0.2)
        raise Refused(answer.status, "", "the metadata service does not answer", "metadata")

    def _once(self, method: str, path: str, headers: dict[str, Any]) -> Answer:
        connection = http.client.HTTPConnection(self._host, timeout=IMDS_S)
        try:
            connection.request(method, path, headers=headers)
            got = connection.getresponse()
            return Answer(got.status, {}, got.read())
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, str(error).encode())
        finally:
            connection.close()

    def keys(self) -> Keys:
        """Return the credentials of the machine's role.

        Raises:
            NoRole: If it has none.
        """
        with self._lock:
            if self._keys.ends - time.time() < EARLY_S:
                self._keys = self._read_keys()
            return self._keys

    def _read_keys(self) -> Keys:
        role = self.read(_ROLES).strip().split("\n")[0]
        text = self.read(_ROLES + role) if role else ""
        found = json.loads(text) if text else {}
        if found.get("Code") != "Success":
            raise NoRole(found.get("Message", ""))
        ends = datetime.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["Token"], ends.timestamp())


def signed(
    method: str,
    host: str,
    path: str,
    query: str,
    headers: dict[str, Any],
    *,
    payload: str,
    keys: Keys,
    region: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the headers of a request with its signature.

    Args:
        method: HTTP method.
        host: Host header.
        path: Quoted path.
        query: Quoted and sorted query.
        headers: Other headers, all of which are signed.
        payload: SHA-256 of the body, in hex.
        keys: Credentials.
        region: Region of the bucket.
        now: The time, in UTC.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    more = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp}
    if keys.token:
        more["x-amz-security-token"] = keys.token
    every = {**{name.lower(): value.strip() for name, value in headers.items()}, **more}
    names = ";".join(sorted(every))
    lines = "".join(f"{name}:{every[name]}\n" for name in sorted(every))
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b"AWS4" + keys.secret.encode()
    for word in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    every["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return every


class Wire:
    """One bucket, as the machine's role may use it; safe for threads."""

    def __init__(self, bucket: str, metadata: Metadata) -> None:
        self.bucket = bucket
        self._metadata = metadata
        self._region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        if not self._region:
            self._region = metadata.read("/latest/meta-data/placement/region") or "us-east-1"
        self._domain = metadata.read("/latest/meta-data/services/domain") or "amazonaws.com"
        self._endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        self._local = threading.local()

    @property
    def endpoint(self) -> str:
        """Return where S3 is asked."""
        return self._endpoint or f"https://s3.{self._region}.{self._domain}"

    def ask(
        self,
        action: str,
        method: str,
        key: str = "",
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Make a request, again where that helps; a bucket of another region is followed there.

        Raises:
            Refused: If S3 refuses, or cannot be reached.
            NoRole: If the machine has no role.
        """
        payload = hashlib.sha256(body).hexdigest()
        refused = Refused(0, "", "", action)
        for attempt in range(TRIES):
            if attempt:
                time.sleep(random.uniform(0.1, min(10.0, 0.4 * 2.0**attempt)))
            try:
                answer = self._once(method, key, query or {}, headers or {}, body, payload)
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                refused = Refused(0, "", f"{self.endpoint} cannot be reached: {error}", action)
                continue
            if answer.status < 300:
                return answer
            home = answer.headers.get("x-amz-bucket-region")
            if home and home != self._region:
                self._drop()
                self._region = home
                continue
            refused = _refused(answer, action)
            if answer.status not in _AGAIN and refused.code not in ("RequestTimeout", "BadDigest", "IncompleteBody"):
                break
        refused.bucket = self.bucket
        raise refused

    def _once(
        self, method: str, key: str, query: dict[str, Any], headers: dict[str, Any], body: bytes, payload: str
    ) -> Answer:
        where = urlsplit(self.endpoint)
        path = quote(f"/{self.bucket}/{key}" if key else f"/{self.bucket}", safe="/~-._")
        words = "&".join(f"{quote(name, safe='~-._')}={quote(str(query[name]), safe='~-._')}" for name in sorted(query))
        now = datetime.now(timezone.utc)
        made = signed(
            method, where.netloc, path, words, headers,
            payload=payload, keys=self._metadata.keys(), region=self._region, now=now,
        )  # fmt: skip
        connection = self._connection(where.scheme, where.netloc)
        connection.request(method, f"{path}?{words}" if words else path, body=body or None, headers=made)
        got = connection.getresponse()
        content = got.read()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, content)

    def _connection(self, scheme: str, host: str) -> http.client.HTTPConnection:
        """Return this thread's connection."""
        if getattr(self._local, "host", "") != host:
            self._drop()
        if getattr(self._local, "connection", None) is None:
            if scheme == "https":
                context = ssl.create_default_context()
                self._local.connection = http.client.HTTPSConnection(host, timeout=SILENCE_S, context=context)
            else:
                self._local.connection = http.client.HTTPConnection(host, timeout=SILENCE_S)
            self._local.host = host
        connection: http.client.HTTPConnection = self._local.connection
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None

    def items(self, prefix: str) -> dict[str, Any]:
        """Return the objects whose names begin so, by the rest of their names; marks of empty folders are left out."""
        found = {}
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        while True:
            tree = tree_of(self.ask("ListObjectsV2", "GET", query=query).body)
            for one in tree.findall("Contents"):
                name = unquote_plus(one.findtext("Key") or "")[len(prefix) :]
                if name and not name.endswith("/"):
                    stamp = (one.findtext("LastModified") or "").replace("Z", "+00:00")
                    etag = (one.findtext("ETag") or "").strip('"')
                    modified = datetime.fromisoformat(stamp).timestamp()
                    found[name] = Item(name, int(one.findtext("Size") or 0), modified, etag)
            if tree.findtext("IsTruncated") != "true":
                return found
            query["continuation-token"] = tree.findtext("NextContinuationToken") or ""


def _refused(answer: Answer, action: str) -> Refused:
    try:
        tree = tree_of(answer.body)
    except Xml.ParseError:
        return Refused(answer.status, "", "", action)
    return Refused(answer.status, tree.findtext("Code") or "", tree.findtext("Message") or "", action)


def tree_of(body: bytes) -> Xml.Element:
    """Return an answer without its namespaces."""
    tree = Xml.fromstring(body)
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return tree
