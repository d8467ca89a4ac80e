"""`.aspotignore`: gitignore's patterns, in the base folder and in any folder that is uploaded or lies on the way to it.

May import: the standard library, `aspot.files`.
"""

from __future__ import annotations

import os

import attrs

from aspot.files.entries import refused, unreadable
from aspot.files.rules import Rule, parse

FILE = ".aspotignore"


@attrs.define
class Ignore:
    """The ignore files that count for one upload; the deepest that says anything about a path decides, as in git.

    Args:
        base: Real path of the base folder.
        root: Path of the folder that the user named: rules that would leave it out do not count.

    Raises:
        Undeliverable: If an ignore file cannot be understood (from every method that meets one).
    """

    base: str
    root: str
    _rules: dict[str, tuple[Rule, ...]] = attrs.field(init=False, factory=dict)
    _entered: set[str] = attrs.field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        folder = self.root
        while folder != self.base and is_below(folder, self.base):
            folder = os.path.dirname(folder)
            self.enter(folder)

    def enter(self, folder: str) -> None:
        """Read the folder's ignore file, if there is one and it was not read before."""
        if folder in self._entered:
            return
        self._entered.add(folder)
        root = _inside(self.root, folder)
        if rules := [rule for rule in _read(os.path.join(folder, FILE)) if not _would_leave_out(rule, root)]:
            self._rules[folder] = tuple(reversed(rules))

    def holds(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether the path is ignored (whether a folder above it is, its walker has asked before)."""
        folder = path if self._rules else ""
        while folder not in ("", os.sep):
            folder = os.path.dirname(folder)
            if folder in self._rules:
                inside = _inside(path, folder)
                for rule in self._rules[folder]:
                    if rule.matches(inside, is_folder=is_folder):
                        return rule.leaves_out
        return False


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path is the folder or lies in it, by name."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _inside(path: str, folder: str) -> str:
    """Return the path relative to the folder; "" if it does not lie in it."""
    return path[len(folder.rstrip(os.sep)) + 1 :] if is_below(path, folder) else ""


def _would_leave_out(rule: Rule, root: str) -> bool:
    return bool(root) and rule.leaves_out and rule.matches(root, is_folder=True)


def _read(path: str) -> list[Rule]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as source:
            lines = source.read().split("\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        return [rule for rule in map(parse, lines) if rule is not None]
    except ValueError as error:
        raise refused(path, f"has a pattern that makes no sense: {error}") from error
