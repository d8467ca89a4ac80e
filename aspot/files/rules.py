r"""One line of an ignore file, as gitignore(5) has it. Pure.

Not pathspec, which judges a path with all that is above it, where git asks level by level: after `*.log`, its `!keep`
brings back every log below `keep`, and its `data/**` leaves out `data` itself, so that `!data/x` comes too late.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

_TOKEN = re.compile(
    r"""
    (?P<any> (?: (?<=/) | ^ ) \*\* (?: / | $ ) )  # between slashes: folders, however many
    | (?P<some> \*+ )
    | (?P<one> \? )
    | \[ (?P<not> [!^]? ) (?P<set> \]? (?: \\. | [^\]\\] )* ) \]
    | \\ (?P<escaped> . )
    | (?P<plain> [^\\\[] )
    """,
    re.VERBOSE | re.DOTALL,
)


@attrs.frozen
class Rule:
    """One rule.

    Args:
        leaves_out: False for a rule with `!`, which takes back an earlier one.
        folders_only: Whether it speaks of folders only (a slash at its end).
        by_name: Whether it speaks of names, wherever they are (no slash in it).
        pattern: What matches the name, or the path relative to the ignore file's folder.
    """

    leaves_out: bool
    folders_only: bool
    by_name: bool
    pattern: re.Pattern[str]

    def matches(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether it speaks of the path itself; what is in a folder, the folder's own verdict decides."""
        if self.folders_only and not is_folder:
            return False
        return self.pattern.fullmatch(path.rpartition("/")[2] if self.by_name else path) is not None


def parse(line: str) -> Rule | None:
    """Return the rule of a line; None for empty lines and comments.

    Raises:
        ValueError: If it makes no sense.
    """
    text = re.sub(r"(?<!\\) +$", "", line.rstrip("\r\n"))
    if text.startswith("#"):
        return None
    leaves_out, text = not text.startswith("!"), text.removeprefix("!")
    folders_only, text = text.endswith("/"), text.removesuffix("/")
    if not text:
        return None
    try:
        pattern = re.compile("".join(_translated(text.removeprefix("/"))), re.DOTALL)
    except re.error as error:
        raise ValueError(f"{line!r}: {error}") from error
    return Rule(leaves_out, folders_only, "/" not in text, pattern)


def _translated(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or (token["set"] or "").startswith("[:"):
            raise ValueError(f"{text!r} has a {text[at]!r} that makes no sense")
        yield _expression(token)
        at = token.end()


def _expression(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "any":
            return "(?:.+/)?" if token["any"].endswith("/") else ".+"
        case "some":
            return "[^/]*"
        case "one":
            return "[^/]"
        case "set":
            return f"(?!/)[{'^' if token['not'] else ''}{_set(token['set'])}]"
        case kind:
            return re.escape(token[kind or ""])


def _set(text: str) -> str:
    """Return what is between brackets for `re`, where more characters have a meaning; ranges stay."""
    return re.sub(r"\\(.)|([\[\]^&~|\\])", lambda found: re.escape(found[1] or found[2]), text, flags=re.DOTALL)
