"""Firewall rules: who may come in, and to which ports. However one is written, it becomes one of `Rule`."""

from __future__ import annotations

import ast
import ipaddress
import re
from typing import Any

from aspot.errors import ConfigError

Rule = tuple[str, int | str, str]
"""Protocol, port (or a range of them as text: "8000-8010"), CIDR."""

PROTOCOLS = ("tcp", "udp")
SSH = 22
LAST_PORT = 65535
EXAMPLE = '"203.0.113.7/32" (SSH from there), "tcp 8888 203.0.113.7/32" or "tcp 8000-8010 203.0.113.0/24"'

_WORDS = re.compile(rf"({'|'.join(PROTOCOLS)})(?::|\s+)([^\s:]+)(?::|\s+)(\S+)", re.IGNORECASE)
_RANGE = re.compile(r"(\d+)-(\d+)")


def rules(value: Any) -> tuple[Rule, ...] | None:
    """Return the rules that a value stands for: one rule, or a list of them.

    Raises:
        ConfigError: If one cannot work.
    """
    if value is None:
        return None
    if not isinstance(value, str | tuple | list):
        raise ConfigError(f"firewall must be a CIDR or a list of rules, not {value!r}", fix=EXAMPLE)
    is_one = isinstance(value, str) or (len(value) in (3, 4) and value[0] in PROTOCOLS)
    return tuple(rule(item) for item in ((value,) if is_one else value))


def rule(value: Any) -> Rule:
    """Return a rule.

    Args:
        value: A CIDR, which means SSH from there; (protocol, port or "first-last", CIDR); the ancestor's (protocol,
            first, last, CIDR); or one of these as text: `tcp:8888:CIDR`, `tcp 8000-8010 CIDR`.

    Raises:
        ConfigError: If it cannot work.
    """
    match _parts(value):
        case (str(protocol), first, last, cidr):
            pass
        case (str(protocol), ports, cidr):
            first, last = _ends(value, ports)
        case cidr:
            protocol, first, last = "tcp", SSH, SSH
    low, high = _port(value, first), _port(value, last)
    if protocol.lower() not in PROTOCOLS:
        raise _refusal(value, f"there is no protocol {protocol!r} here, only {' and '.join(PROTOCOLS)}")
    if low > high:
        raise _refusal(value, f"its ports are the wrong way round: {high}-{low}?")
    return (protocol.lower(), low if low == high else f"{low}-{high}", _network(value, cidr))


def _parts(value: Any) -> Any:
    """Return what a rule is made of, as a tuple; what is left as it is can only be a CIDR."""
    if isinstance(value, str):
        if value.strip().startswith(("(", "[")):
            return _literal(value)
        words = _WORDS.fullmatch(value.strip())
        return words.groups() if words else value.strip()
    return tuple(value) if isinstance(value, tuple | list) and len(value) in (3, 4) else value


def _literal(text: str) -> tuple[Any, ...]:
    """Return the tuple that the ancestor's users wrote as text."""
    try:
        found = tuple(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError):
        found = ()
    if len(found) not in (3, 4):
        raise ConfigError(f"firewall rule {text!r} is no rule", fix=f"write {EXAMPLE}")
    return found


def _ends(value: Any, ports: Any) -> tuple[Any, Any]:
    found = _RANGE.fullmatch(ports.strip()) if isinstance(ports, str) else None
    if isinstance(ports, str) and found is None and not ports.strip().isdecimal():
        raise _refusal(value, f"{ports!r} is neither a port nor a range such as 8000-8010")
    return (found[1], found[2]) if found else (ports, ports)


def _port(value: Any, port: Any) -> int:
    if isinstance(port, bool) or not isinstance(port, int | str) or not str(port).strip().isdecimal():
        raise _refusal(value, f"{port!r} is no port")
    if not 0 < int(port) <= LAST_PORT:
        raise _refusal(value, f"there is no port {port}: they are 1 to {LAST_PORT}")
    return int(port)


def _network(value: Any, cidr: Any) -> str:
    try:
        return str(ipaddress.ip_network(str(cidr), strict=False))
    except ValueError as error:
        raise _refusal(value, str(error)) from error


def _refusal(value: Any, why: str) -> ConfigError:
    return ConfigError(f"firewall rule {value!r}: {why}", fix=f"write {EXAMPLE}")


def span(port: int | str) -> tuple[int, int]:
    """Return the first and the last port of a rule."""
    low, _, high = str(port).partition("-")
    return int(low), int(high or low)


def is_ssh(rule: Rule) -> bool:
    """Tell whether a rule says who may use SSH."""
    low, high = span(rule[1])
    return rule[0] == "tcp" and low <= SSH <= high


def open_to_all(rules: tuple[Rule, ...] | None) -> tuple[Rule, ...]:
    """Return those rules that let everybody in, from anywhere."""
    return tuple(one for one in rules or () if ipaddress.ip_network(one[2]).prefixlen == 0)
