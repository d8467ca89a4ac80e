"""Where an attempt's output goes: raw bytes, appended at once, so that the size of the local file is the cursor."""

from __future__ import annotations

import os
from pathlib import Path

from aspot.archive.disk import explained, replace_durably
from aspot.archive.layout import STREAMS
from aspot.ports import LogSink

RESTARTED = b"\n[aspot: the job truncated its log here; it begins again]\n"


class FileSink(LogSink):
    """The two local files of one attempt's output. Holds nothing open: hundreds run at once.

    Args:
        folder: Where they are; made when the first byte comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offsets(self) -> tuple[int, int]:
        """Return how many bytes of the remote stdout and stderr are here."""
        out, err = (max(0, self._size(stream) - self._base(stream)) for stream in STREAMS)
        return out, err

    def write(self, stream: str, chunk: bytes) -> None:
        """Append bytes of `stdout` or `stderr`.

        Raises:
            AspotError: If the disk refuses.
        """
        path = self._folder / stream
        with explained(path):
            descriptor = self._append_to(path)
            try:
                _write_all(descriptor, chunk)
            finally:
                os.close(descriptor)

    def restart(self, stream: str) -> None:
        """Mark that the job truncated its log, and count from 0 again."""
        self.write(stream, RESTARTED)
        with explained(self._folder):
            replace_durably(self._base_path(stream), str(self._size(stream)).encode())

    def _append_to(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags, 0o666)

    def _size(self, stream: str) -> int:
        try:
            return (self._folder / stream).stat().st_size
        except FileNotFoundError:
            return 0

    def _base(self, stream: str) -> int:
        """Return how many local bytes were there when the remote log began again."""
        try:
            return int(self._base_path(stream).read_bytes())
        except FileNotFoundError:
            return 0

    def _base_path(self, stream: str) -> Path:
        return self._folder / f"{stream}.base"


def _write_all(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
