"""Files from an instance, written where nothing it says can lead them astray: by folder handles, never through a link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

MOST_FILES = 200_000
MOST_BYTES = 1 << 40
"""A TiB: more than anybody brings home by SSH, less than what a lie could claim."""
SYNCED_ONE_BY_ONE = 200
"""Up to here every file is synced by itself; beyond, the whole disk once: that is quicker."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Damaged(Exception):
    """A file did not arrive as its manifest says; it was removed again."""


class TooMuch(Exception):
    """More files or bytes than may come."""


class Landing:
    """Writes regular files below a fresh folder of ours. Plain synchronous code: call it in one thread at a time.

    Args:
        root: An empty folder.
        most_files: More raise `TooMuch`.
        most_bytes: More raise `TooMuch`.
    """

    def __init__(self, root: Path, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._root = os.open(root, _FOLDER)
        self._folder = self._root
        self._folder_name = ""
        self._files_left = most_files
        self._bytes_left = most_bytes
        self._file = -1
        self._written = 0
        self._few: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, name: str, *, size: int, sha256: str, is_executable: bool = False) -> None:
        """Begin a file.

        Args:
            name: Checked by `names.check_remote_name`.
            size: Bytes, as the manifest says.
            sha256: In hexadecimal, as the manifest says.
            is_executable: Whether its owner may execute it.

        Raises:
            TooMuch: If it is one too many.
            OSError: If the disk refuses, or something lies in the way.
        """
        self._files_left -= 1
        self._bytes_left -= size
        if self._files_left < 0 or self._bytes_left < 0:
            raise TooMuch(f"{name}: too many files or bytes")
        folder, _, leaf = name.rpartition("/")
        self._enter(folder)
        self._file = os.open(leaf, _NEW_FILE, 0o700 if is_executable else 0o600, dir_fd=self._folder)
        self._name, self._leaf, self._size, self._sha256 = name, leaf, size, sha256
        self._written, self._hash = 0, hashlib.sha256()

    def write(self, chunk: bytes | memoryview) -> None:
        """Append to the file that was begun.

        Raises:
            Damaged: If it would be longer than its manifest says.
        """
        self._written += len(chunk)
        if self._written > self._size:
            self._drop(f"{self._name}: longer than its manifest says")
        self._hash.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._file, view) :]

    def end(self) -> None:
        """Close the file that was begun, after checking it.

        Raises:
            Damaged: If it is not what its manifest says.
        """
        if self._written != self._size:
            self._drop(f"{self._name}: {self._written} bytes came, {self._size} were to come")
        if self._hash.hexdigest() != self._sha256:
            self._drop(f"{self._name}: its checksum is wrong")
        if len(self._few) <= SYNCED_ONE_BY_ONE:
            os.fsync(self._file)
            self._few.append((self._folder_name, self._leaf))
        os.close(self._file)
        self._file = -1

    def finish(self) -> None:
        """Make everything durable."""
        if len(self._few) > SYNCED_ONE_BY_ONE:
            os.sync()
            return
        for folder in {""} | {name for name, _ in self._few}:
            self._enter(folder)
            os.fsync(self._folder)

    def close(self) -> None:
        """Give the handles back; a file that was not ended is removed. Harmless to repeat."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            os.unlink(self._leaf, dir_fd=self._folder)
        self._leave()
        if self._root >= 0:
            os.close(self._root)
            self._root = self._folder = -1

    def _drop(self, why: str) -> None:
        os.close(self._file)
        self._file = -1
        os.unlink(self._leaf, dir_fd=self._folder)
        raise Damaged(why)

    def _enter(self, folder: str) -> None:
        """Make `folder` the current one, made on the way where it is missing."""
        if folder == self._folder_name:
            return
        self._leave()
        for part in folder.split("/") if folder else ():
            inner = self._open(part)
            if self._folder != self._root:
                os.close(self._folder)
            self._folder = inner
        self._folder_name = folder

    def _open(self, part: str) -> int:
        try:
            os.mkdir(part, 0o700, dir_fd=self._folder)
        except FileExistsError:
            pass  # ours, or something in the way: the flags of the next call tell
        return os.open(part, _FOLDER, dir_fd=self._folder)

    def _leave(self) -> None:
        if self._folder not in (self._root, -1):
            os.close(self._folder)
        self._folder, self._folder_name = self._root, ""
