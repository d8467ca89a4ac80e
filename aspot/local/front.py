"""The HTTP front: whose request it is, what stands in its way, who answers, and what the answer looks like on the wire.

May import: actions, services, queues, cloud, lifecycle, moto_seams, aiohttp.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

import attrs
from aiohttp import web

from aspot.local.actions import EC2_ACTIONS, after_moto, before_moto
from aspot.local.cloud import Call, Cloud
from aspot.local.ec2_wire import error_xml
from aspot.local.lifecycle import Lifecycle
from aspot.local.moto_host import Answer
from aspot.local.objects import S3Request, check, error_document, s3_request
from aspot.local.peers import is_ours
from aspot.local.queues import receive, unhurried
from aspot.local.refusal import Refusal, status_of, token_mismatch
from aspot.local.rest_wire import REST_JSON, rest_action
from aspot.local.services import answer_json
from aspot.local.simulation import simulate

__all__ = ["Front"]

_LOG = logging.getLogger(__name__)
_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_XML = {"Content-Type": "text/xml;charset=UTF-8"}
_READS = ("Describe", "Get", "List", "Search")


@attrs.frozen(kw_only=True)
class _Request:
    """One AWS request: which service, Region and action, and its parts as they came."""

    id: str
    service: str
    region: str
    action: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    form: dict[str, str]
    objects: S3Request | None = None  # what it asks of S3, if it does

    @property
    def is_json(self) -> bool:
        return "X-Amz-Target" in self.headers or self.service in REST_JSON


class Front:
    """Answers AWS requests.

    Args:
        cloud: The cloud.
        life: The machines' clockwork.
    """

    def __init__(self, cloud: Cloud, life: Lifecycle) -> None:
        self._cloud = cloud
        self._life = life
        self._trusted: weakref.WeakSet[Any] = weakref.WeakSet()
        self._replies: dict[tuple[str, str, str], tuple[dict[str, str], Answer]] = {}

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        """Answer one HTTP request."""
        try:
            self._check_peer(raw)
            request = await _read(raw)
        except Refusal as refused:
            return _response(_error_answer(refused, request=None), method=raw.method)
        self._cloud.calls[request.action] += 1
        answer = await self._answer(request)
        if self._cloud.faults.loses_answer(request.action, region=request.region, now=self._cloud.now):
            return _lost(raw)
        return _response(answer, method=raw.method)

    def _check_peer(self, raw: web.Request) -> None:
        """Refuse another user of this host; looked up once for each connection."""
        transport = raw.transport
        if transport is None or transport in self._trusted:
            return
        if not is_ours(transport.get_extra_info("sockname"), transport.get_extra_info("peername")):
            raise Refusal("AuthFailure", "This local cloud belongs to another user of this host.")
        self._trusted.add(transport)

    async def _answer(self, request: _Request) -> Answer:
        try:
            self._cloud.faults.guard(
                request.action, service=request.service, region=request.region, now=self._cloud.now
            )
            if request.service == "ec2":
                return await self._ec2(request)
            return await self._other(request)
        except Refusal as refused:
            return _error_answer(refused, request=request)
        except Exception as error:  # noqa: BLE001  # whatever breaks, the client gets an answer
            _LOG.exception("%s failed", request.action)
            broken = Refusal("InternalError", f"{request.action}: {type(error).__name__}: {error}")
            return _error_answer(broken, request=request)

    async def _ec2(self, request: _Request) -> Answer:
        region = await self._cloud.region(request.region)
        wire = self._cloud.wire
        if not wire.knows(request.action):
            raise Refusal("InvalidAction", f"The action {request.action} is not valid for this web service.")
        call = Call(
            cloud=self._cloud,
            region=region,
            action=request.action,
            parameters=_parsed(wire.parameters, request.action, request.form),
        )
        self._cloud.throttle.request(region.name, call.action, call.parameters, now=self._cloud.now)
        own = EC2_ACTIONS.get(call.action)
        if own is None:
            return await self._moto_ec2(request, call)
        result = await own(call, self._life)
        document = wire.answer(call.action, result, request_id=request.id)
        return Answer(status=200, headers=_XML, body=document.encode())

    async def _moto_ec2(self, request: _Request, call: Call) -> Answer:
        """Let moto answer; a repeated client token gets the first answer again."""
        await before_moto(call)
        token = call.parameters.get("ClientToken")
        key = (call.region.name, call.action, str(token))
        if token and key in self._replies:
            form, answer = self._replies[key]
            if form != request.form:
                raise token_mismatch(str(token))
            return answer
        answer = await self._forward(request)
        if not call.action.startswith(_READS):
            call.region.changes += 1
            if answer.status == 200:
                after_moto(call)
        if token and answer.status == 200:
            self._replies[key] = (request.form, answer)
        return answer

    async def _other(self, request: _Request) -> Answer:
        if request.objects is not None:
            headers, body = request.headers, request.body
            await check(self._cloud, request.objects, region=request.region, headers=headers, body=body)
        if request.is_json:
            asked = _json(request.body)
            if request.service in ("ssm", "servicequotas", "pricing"):
                await self._cloud.region(request.region)
            found = answer_json(
                self._cloud, service=request.service, region=request.region, action=request.action, request=asked
            )
            if found is not None:
                headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request.id}
                return Answer(status=200, headers=headers, body=json.dumps(found).encode())
        if request.service == "sqs" and request.action == "ReceiveMessage":
            return await self._receive(request)
        if request.service == "iam" and request.action == "SimulatePrincipalPolicy":
            document = await simulate(self._cloud, request.form, request_id=request.id)
            return Answer(status=200, headers=_XML, body=document.encode())
        answer = await self._forward(request)
        if request.service in ("sqs", "events"):
            self._cloud.ring()
        if request.action == "DeleteFileSystem" and answer.status < 300:
            self._cloud.machines.forget_disk(request.path.rpartition("/")[2])
        return answer

    async def _receive(self, request: _Request) -> Answer:
        asked = _json(request.body) if request.is_json else request.form
        body = unhurried(request.body, asked, is_json=request.is_json)
        now = attrs.evolve(request, body=body, query="" if request.method == "POST" else request.query)
        return await receive(self._cloud, request.region, asked, lambda: self._forward(now))

    async def _forward(self, request: _Request) -> Answer:
        answer = await self._cloud.moto.call(
            lambda: self._cloud.moto.forward(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
            )
        )
        return _corrected(answer, request)


def _parsed(parse: Any, action: str, form: dict[str, str]) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = parse(action, form)
    except ValueError as error:
        raise Refusal("InvalidParameterValue", f"A parameter has a value of the wrong type: {error}") from error
    return parameters


async def _read(raw: web.Request) -> _Request:
    scope = _SCOPE.search(raw.headers.get("Authorization", ""))
    if scope is None:
        raise Refusal("MissingAuthenticationToken", "Request is missing Authentication Token")
    body = await raw.read()
    path, query = unquote(raw.rel_url.raw_path), raw.rel_url.raw_query_string  # names of objects hold any character
    form = dict(parse_qsl(query, keep_blank_values=True))
    if raw.content_type == "application/x-www-form-urlencoded":
        form |= dict(parse_qsl(body.decode(), keep_blank_values=True))
    target = raw.headers.get("X-Amz-Target", "")
    service = scope["service"].lower()
    headers = {name.title(): value for name, value in raw.headers.items()}
    objects = s3_request(raw.method, path, form, headers) if service == "s3" else None
    named = objects.action if objects is not None else target.rpartition(".")[2] or form.get("Action")
    return _Request(
        id=str(uuid.uuid4()),
        service=service,
        region=scope["region"],
        action=named or rest_action(service, raw.method, path),
        method=raw.method,
        path=path,
        query=query,
        headers=headers,
        body=body,
        form=form,
        objects=objects,
    )


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise Refusal("SerializationException", "The request is not JSON.") from None
    return found if isinstance(found, dict) else {}


def _corrected(answer: Answer, request: _Request) -> Answer:
    """Give moto's errors AWS's status, and its HTML and tracebacks AWS's form."""
    if answer.status < 400 or request.service == "s3":
        return answer
    if request.service == "ec2":
        code = re.search(rb"<Code>([^<]+)</Code>", answer.body)
        if code is not None:
            return attrs.evolve(answer, status=status_of(code[1].decode()))
    if request.is_json or answer.body.lstrip().startswith((b"<?xml", b"<Error")):
        return answer
    return _error_answer(Refusal("InternalError", f"The local cloud can't answer {request.action}."), request=request)


def _error_answer(refusal: Refusal, *, request: _Request | None) -> Answer:
    if request is not None and request.is_json:
        body = json.dumps({"__type": refusal.code, "message": refusal.message})
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request.id}
        headers |= {"x-amzn-ErrorType": refusal.code} if request.service in REST_JSON else {}
        return Answer(status=refusal.status, headers=headers, body=body.encode())
    request_id = str(uuid.uuid4()) if request is None else request.id
    if request is not None and request.objects is not None:
        status, document = error_document(refusal, request_id=request_id)
        return Answer(status=status, headers=_XML | refusal.headers, body=document.encode())
    if request is None or request.service == "ec2":
        document = error_xml(refusal.code, refusal.message, request_id=request_id)
    else:
        error = f"<Type>Sender</Type><Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        document = f"<ErrorResponse><Error>{error}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    return Answer(status=refusal.status, headers=_XML, body=document.encode())


def _response(answer: Answer, *, method: str) -> web.Response:
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in ("content-length", "date")}
    if method == "HEAD":  # the length is the object's, and nothing of that length comes
        length = next((value for name, value in answer.headers.items() if name.lower() == "content-length"), "0")
        return web.Response(status=answer.status, headers=headers | {"Content-Length": length})
    return web.Response(status=answer.status, headers=headers, body=answer.body)


def _lost(raw: web.Request) -> web.Response:
    """Cut the connection instead of answering: the request was carried out, its answer is lost."""
    if raw.transport is not None:
        raw.transport.abort()
    return web.Response()
