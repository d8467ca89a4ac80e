"""Events and specifications to JSON and back. The set of kinds is closed: an unknown one comes from a newer aspot."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.strategies import configure_union_passthrough

from aspot.errors import AspotError
from aspot.machine import events
from aspot.machine.events import Event
from aspot.machine.model import RunSpec
from aspot.machine.pool import Pool
from aspot.ports import CloudPlan


def encode(event: Event) -> tuple[str, str]:
    """Return an event as (kind, JSON)."""
    return type(event).__name__, json.dumps(_converter().unstructure(event), separators=(",", ":"))


def decode(kind: str, text: str) -> Event:
    """Return the event that `encode` made this of.

    Raises:
        AspotError: If this version of aspot does not know the kind, or the text is not one.
    """
    found = kinds().get(kind)
    if found is None:
        raise AspotError(f"the journal holds a {kind!r}, which this aspot does not know", fix="update aspot")
    try:
        return _converter().structure(json.loads(text), found)
    except Exception as error:
        raise AspotError(f"the journal's {kind} cannot be read: {error}", fix="update aspot") from error


def encode_spec(spec: RunSpec) -> str:
    """Return a run's specification as JSON."""
    return json.dumps(_converter().unstructure(spec))


def decode_spec(text: str) -> RunSpec:
    """Return the specification that `encode_spec` made this of.

    Raises:
        AspotError: If it is not one.
    """
    try:
        return _converter().structure(json.loads(text), RunSpec)
    except Exception as error:
        raise AspotError(f"the run's specification cannot be read: {error}", fix="update aspot") from error


def encode_plan(plan: CloudPlan) -> dict[str, Any]:
    """Return what a run asked its cloud to prepare, as JSON values; user data is left out, for it holds keys."""
    found: dict[str, Any] = _converter().unstructure(attrs.evolve(plan, user_data=b""))
    del found["user_data"]
    return found


def decode_plan(found: Mapping[str, Any]) -> CloudPlan:
    """Return the plan that `encode_plan` made this of, without user data.

    Raises:
        AspotError: If it is not one.
    """
    try:
        return _converter().structure(found, CloudPlan)
    except Exception as error:
        raise AspotError(f"the run's plan cannot be read: {error}", fix="update aspot") from error


@functools.cache
def kinds() -> Mapping[str, type[Event]]:
    """Return every kind of event that is written, by name."""
    return {kind.__name__: kind for kind in _leaves(Event) if kind.__module__ == events.__name__}


def _leaves(kind: type[Event]) -> Iterator[type[Event]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for item in below:
        yield from _leaves(item)


@functools.cache
def _converter() -> Converter:
    converter = Converter()
    configure_union_passthrough(str | int | float | bool | None, converter)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text).astimezone(UTC))
    converter.register_unstructure_hook(Pool, lambda pool: [pool.type, pool.zone])
    converter.register_structure_hook(Pool, lambda pair, _: Pool(*pair))
    converter.register_unstructure_hook_func(_is_by_pool, _pairs)
    converter.register_structure_hook_func(_is_by_pool, _by_pool)
    return converter


def _is_by_pool(kind: Any) -> bool:
    return get_origin(kind) is Mapping and get_args(kind)[0] is Pool


def _pairs(prices: Mapping[Pool, float]) -> list[list[Any]]:
    return [[pool.type, pool.zone, price] for pool, price in prices.items()]


def _by_pool(rows: list[list[Any]], _: Any) -> dict[Pool, float]:
    return {Pool(kind, zone): price for kind, zone, price in rows}
