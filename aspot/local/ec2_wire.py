"""EC2's query protocol from its own botocore model: form fields to parameters, answers to XML.

Serialisers are compiled once per shape, because benchmarks poll hundreds of machines every other second. Imports
nothing of aspot.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["Ec2Wire", "Rendered", "error_xml"]

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
# XML 1.0 has no way to carry these; EC2 never sends them.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

Serialiser = Callable[[Any], str]


class Rendered(str):
    """XML that was made earlier and stands in for a value of any shape."""

    __slots__ = ()


def error_xml(code: str, message: str, *, request_id: str) -> str:
    """Return an error document as EC2 sends it."""
    error = f"<Error><Code>{_text(code)}</Code><Message>{_text(message)}</Message></Error>"
    return f"{_HEAD}<Response><Errors>{error}</Errors><RequestID>{request_id}</RequestID></Response>"


class Ec2Wire:
    """Reads EC2 requests and writes EC2 answers.

    Args:
        model: botocore's `ServiceModel` of EC2.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known = frozenset(model.operation_names)
        self._serialisers: dict[str, Serialiser] = {}

    def knows(self, action: str) -> bool:
        """Tell whether EC2 has such an action."""
        return action in self._known

    def parameters(self, action: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Return the parameters of a request, named and nested as boto3 names them."""
        shape = self._model.operation_model(action).input_shape
        return {} if shape is None else _parse_structure(shape, _nest(form))

    def answer(self, action: str, result: Mapping[str, Any], *, request_id: str) -> str:
        """Return the XML document that answers an action."""
        shape = self._model.operation_model(action).output_shape
        body = "" if shape is None else self._serialiser(shape)(result)
        content = f"<requestId>{request_id}</requestId>{body}"
        return f'{_HEAD}<{action}Response xmlns="{_NAMESPACE}">{content}</{action}Response>'

    def render(self, shape_name: str, value: Mapping[str, Any]) -> Rendered:
        """Return a value's XML, to be kept and used in many answers."""
        return Rendered(self._serialiser(self._model.shape_for(shape_name))(value))

    def _serialiser(self, shape: Any) -> Serialiser:
        found = self._serialisers.get(shape.name)
        if found is None:
            found = self._compile(shape)
            self._serialisers[shape.name] = found
        return found

    def _compile(self, shape: Any) -> Serialiser:
        match shape.type_name:
            case "structure":
                return self._compile_structure(shape)
            case "list":
                return self._compile_list(shape)
            case "timestamp":
                return _timestamp
            case "boolean":
                return _boolean
            case "blob":
                return _blob
            case _:
                return _text

    def _compile_structure(self, shape: Any) -> Serialiser:
        members: dict[str, tuple[str, str, Serialiser]] = {}

        def structure(value: Any) -> str:
            if type(value) is Rendered:
                return value
            parts: list[str] = []
            for key, item in value.items():
                if item is not None:
                    opening, closing, serialise = members.get(key) or member(key)
                    parts += (opening, serialise(item), closing)
            return "".join(parts)

        def member(key: str) -> tuple[str, str, Serialiser]:
            found = shape.members[key]
            name = found.serialization.get("name", key)
            members[key] = (f"<{name}>", f"</{name}>", self._serialiser(found))
            return members[key]

        return structure

    def _compile_list(self, shape: Any) -> Serialiser:
        name = shape.member.serialization.get("name", "member")
        opening, closing = f"<{name}>", f"</{name}>"
        each: list[Serialiser] = []

        def sequence(value: Any) -> str:
            if not each:
                each.append(self._serialiser(shape.member))
            serialise = each[0]
            return "".join([f"{opening}{serialise(item)}{closing}" for item in value])

        return sequence


def _text(value: Any) -> str:
    if type(value) is Rendered:
        return value
    return escape(_NOT_XML.sub("\ufffd", str(value)))


def _boolean(value: Any) -> str:
    return "true" if value else "false"


def _blob(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _timestamp(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _nest(form: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in form.items():
        node = tree
        *path, last = name.split(".")
        for step in path:
            below = node.setdefault(step, {})
            if not isinstance(below, dict):
                below = node[step] = {}
            node = below
        node.setdefault(last, value)
    return tree


def _parse_structure(shape: Any, tree: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        value = tree.get(_wire_name(member, name))
        if value is not None:
            found[name] = _parse(member, value)
    return found


def _wire_name(shape: Any, name: str) -> str:
    """Name a member as EC2's query protocol does: its query name, or its XML name with a capital."""
    serialization = shape.serialization
    if "queryName" in serialization:
        return str(serialization["queryName"])
    wire = str(serialization.get("name", name))
    return wire[0].upper() + wire[1:]


def _parse(shape: Any, value: Any) -> Any:
    match shape.type_name:
        case "structure":
            return _parse_structure(shape, value if isinstance(value, dict) else {})
        case "list":
            return _parse_list(shape, value)
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return str(value).lower() == "true"
        case "timestamp":
            return _moment(value)
        case _:
            return value


def _parse_list(shape: Any, value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return []
    numbered = sorted((int(key), item) for key, item in value.items() if key.isdigit())
    return [_parse(shape.member, item) for _, item in numbered]


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
