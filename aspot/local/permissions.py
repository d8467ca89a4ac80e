"""What IAM policies allow, as far as the local cloud needs it. Pure; imports the standard library only.

Conditions are not evaluated: a statement that has one allows nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["decision", "is_allowed"]


def is_allowed(documents: Iterable[Mapping[str, Any]], action: str, resource: str) -> bool:
    """Tell whether policies allow an action on a resource; a denial wins.

    >>> read = {"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::data/*"}}
    >>> [is_allowed([read], action, "arn:aws:s3:::data/a") for action in ("s3:GetObject", "s3:PutObject")]
    [True, False]
    """
    return decision(documents, action, resource) == "allowed"


def decision(documents: Iterable[Mapping[str, Any]], action: str, resource: str) -> str:
    """Return what policies say of an action on a resource, in IAM's words.

    >>> decision([{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}], "s3:GetObject", "*")
    'explicitDeny'
    """
    effects = [
        str(statement.get("Effect"))
        for document in documents
        for statement in _listed(document.get("Statement"))
        if _applies(statement, action, resource)
    ]
    return "explicitDeny" if "Deny" in effects else "allowed" if "Allow" in effects else "implicitDeny"


def _applies(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    if statement.get("Condition") and statement.get("Effect") == "Allow":
        return False
    return _names(statement, "Action", action.lower(), fold=True) and _names(statement, "Resource", resource)


def _names(statement: Mapping[str, Any], element: str, value: str, *, fold: bool = False) -> bool:
    if f"Not{element}" in statement:
        return not any(_matches(item, value, fold=fold) for item in _listed(statement[f"Not{element}"]))
    return any(_matches(item, value, fold=fold) for item in _listed(statement.get(element)))


def _matches(pattern: str, value: str, *, fold: bool) -> bool:
    words = re.split(r"([*?])", pattern.lower() if fold else pattern)
    regex = "".join({"*": ".*", "?": "."}.get(word) or re.escape(word) for word in words)
    return re.fullmatch(regex, value, re.DOTALL) is not None


def _listed(value: Any) -> Iterator[Any]:
    if value is not None:
        yield from value if isinstance(value, list) else [value]
