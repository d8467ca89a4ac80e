"""EC2's filters and pages. Imports the standard library only.

A filter matches if any of its values does; `*` stands for any text, `?` for one character; all filters must match.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from aspot.local.refusal import Refusal

__all__ = ["Finder", "filtered", "page"]

_T = TypeVar("_T")
Finder = Callable[[_T], "str | Iterable[str] | None"]

_MOST_FILTERS = 50
_MOST_VALUES = 200


@lru_cache(maxsize=1024)
def _pattern(value: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|\*|\?|[^*?\\]+|\\$", value)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(part) or re.escape(part.removeprefix("\\")) for part in parts), re.DOTALL)


def filtered(
    items: Iterable[_T],
    filters: Sequence[Mapping[str, Any]] | None,
    *,
    finders: Mapping[str, Finder[_T]],
    tags: Callable[[_T], Mapping[str, str]],
) -> list[_T]:
    """Return the items that match all filters.

    Args:
        items: What to choose from.
        filters: Filters as boto3 writes them.
        finders: What to look at, by the filter's name.
        tags: The tags of an item, for `tag:KEY`, `tag-key` and `tag-value`.

    Raises:
        Refusal: there is no such filter, or there are too many of them.
    """
    kept = list(items)
    if len(filters or ()) > _MOST_FILTERS:
        raise Refusal("FilterLimitExceeded", f"The maximum number of filters is {_MOST_FILTERS}.")
    for wanted in filters or ():
        find = _finder(str(wanted.get("Name")), finders, tags)
        values = list(wanted.get("Values") or ())
        if len(values) > _MOST_VALUES:
            raise Refusal("FilterLimitExceeded", f"The maximum number of filter values is {_MOST_VALUES}.")
        matches = _matcher(values)
        kept = [item for item in kept if any(map(matches, _texts(find(item))))]
    return kept


def _matcher(values: Sequence[str]) -> Callable[[str], bool]:
    plain = frozenset(value for value in values if not re.search(r"[*?\\]", value))
    patterns = [_pattern(value) for value in values if value not in plain]
    return lambda text: text in plain or any(pattern.fullmatch(text) for pattern in patterns)


def _finder(name: str, finders: Mapping[str, Finder[_T]], tags: Callable[[_T], Mapping[str, str]]) -> Finder[_T]:
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda item: tags(item).get(key)
    if name == "tag-key":
        return lambda item: list(tags(item))
    if name == "tag-value":
        return lambda item: list(tags(item).values())
    if name not in finders:
        raise Refusal("InvalidParameterValue", f"The filter '{name}' is invalid")
    return finders[name]


def _texts(found: str | Iterable[str] | None) -> Iterable[str]:
    if found is None:
        return ()
    return (found,) if isinstance(found, str) else found


def page(
    items: Sequence[_T], parameters: Mapping[str, Any], *, lowest: int = 5, highest: int = 1000
) -> tuple[Sequence[_T], str | None]:
    """Return the page that a request asks for, and the token of the next; all items if it asks for no page.

    Raises:
        Refusal: MaxResults is out of bounds, or the token is not one of ours.
    """
    size = parameters.get("MaxResults")
    if size is not None and not lowest <= size <= highest:
        raise Refusal(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than {lowest}.",
        )
    start = _offset(parameters.get("NextToken"))
    end = len(items) if size is None else start + size
    return items[start:end], _token(end) if end < len(items) else None


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"aspot-local/{offset}".encode()).decode()


def _offset(token: str | None) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
        return int(text.removeprefix("aspot-local/"))
    except ValueError:
        raise Refusal("InvalidNextToken", "The token is not valid.") from None
