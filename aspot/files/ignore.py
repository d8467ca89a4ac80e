"""`.aspotignore`: gitignore's patterns, in the base folder and in any folder that is uploaded or lies on the way to it.

May import: pathspec (only where such a file is there), `aspot.files.entries`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from aspot.files.entries import refused, unreadable

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE = ".aspotignore"


@attrs.define
class Ignore:
    """The ignore files that count for one upload; the deepest that says anything about a path decides, as in git.

    Args:
        base: Real path of the base folder.
        root: Path of the folder that the user named: patterns that would leave out all of it do not count.

    Raises:
        Undeliverable: If an ignore file cannot be understood (from every method that meets one).
    """

    base: str
    root: str
    _specs: dict[str, GitIgnoreSpec] = attrs.field(init=False, factory=dict)
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
        spec = _read(os.path.join(folder, FILE))
        if spec is not None:
            self._specs[folder] = _without(spec, _inside(self.root, folder))

    def holds(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether the path is ignored (whether a folder above it is, its walker has asked before)."""
        if not self._specs:
            return False
        folder = path
        while folder not in ("", os.sep):
            folder = os.path.dirname(folder)
            spec = self._specs.get(folder)
            if spec is not None:
                verdict = spec.check_file(_inside(path, folder) + ("/" if is_folder else "")).include
                if verdict is not None:
                    return verdict
        return False


def is_below(path: str, folder: str) -> bool:
    """Tell whether a path is the folder or lies in it, by name."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _inside(path: str, folder: str) -> str:
    """Return the path relative to the folder; "" if it does not lie in it."""
    return path[len(folder.rstrip(os.sep)) + 1 :] if is_below(path, folder) else ""


def _without(spec: GitIgnoreSpec, root: str) -> GitIgnoreSpec:
    """Return the patterns but those that would leave out the folder that the user named."""
    if not root:
        return spec
    kept = [pattern for pattern in spec.patterns if not (pattern.include and pattern.match_file(f"{root}/"))]
    return type(spec)(kept)


def _read(path: str) -> GitIgnoreSpec | None:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as source:
            lines = source.read().split("\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise refused(path, f"has a pattern that makes no sense: {error}") from error
