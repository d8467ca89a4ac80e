"""`.aspotignore`: gitignore's patterns, in the base folder and in any folder below or beside it that is uploaded.

May import: pathspec (only where such a file is there).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE = ".aspotignore"


@attrs.define
class Ignore:
    """The ignore files met so far; the deepest that says anything about a path decides, as in git.

    Args:
        base: Real path of the base folder.
        is_off: Nothing is ignored.
    """

    base: str
    is_off: bool = False
    _specs: dict[str, GitIgnoreSpec | None] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.enter(self.base)

    def enter(self, folder: str) -> None:
        """Read the folder's ignore file, if there is one."""
        if not self.is_off and folder not in self._specs:
            self._specs[folder] = _read(os.path.join(folder, FILE))

    def holds(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether the path is ignored (whether a folder above it is, its walker has asked before)."""
        if not any(self._specs.values()):
            return False
        folder = os.path.dirname(path)
        while True:
            spec = self._specs.get(folder)
            if spec is not None:
                inside = os.path.relpath(path, folder) + ("/" if is_folder else "")
                verdict = spec.check_file(inside).include
                if verdict is not None:
                    return verdict
            above = os.path.dirname(folder)
            if above == folder:
                return False
            folder = above

    def holds_any(self, root: str, inside: str) -> bool:
        """Tell whether a path below the root, or a folder on the way to it, is ignored."""
        path = root
        parts = inside.split(os.sep)
        for number, part in enumerate(parts, 1):
            path = os.path.join(path, part)
            if self.holds(path, is_folder=number < len(parts) or os.path.isdir(path)):
                return True
        return False


def _read(path: str) -> GitIgnoreSpec | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as source:
            lines = source.read().splitlines()
    except FileNotFoundError:
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)
