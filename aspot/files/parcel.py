"""A set of files on its way: what is in it by hash, and its bytes as a tar stream.

Blocks on disks; big work belongs into a worker thread. May import: the standard library, `aspot.files`.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping

import attrs

from aspot.files import tar
from aspot.files.entries import Entry, Kind, Scan, Stamp, refused, unreadable

CHUNK = 1 << 18
"""Bytes read, hashed and sent at a time."""


@functools.lru_cache(maxsize=1 << 16)
def content_hash(path: str, stamp: Stamp) -> str:  # noqa: ARG001 - part of the key: a changed file is read anew
    """Return the sha256 of a file, read once a process while it looks unchanged.

    Raises:
        Undeliverable: If it cannot be read.
    """
    try:
        with open(path, "rb", buffering=0) as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


@attrs.define
class Hashes:
    """Hashes of files, kept while a file looks unchanged: many jobs send the same ones."""

    _known: dict[tuple[str, Stamp], str] = attrs.field(factory=dict)

    def of(self, entry: Entry) -> str:
        """Return the file's sha256.

        Raises:
            Undeliverable: If it cannot be read.
        """
        key = (entry.source, entry.stamp)
        if key not in self._known:
            self._known[key] = _sha256(entry)
        return self._known[key]

    def knows(self, scan: Scan) -> bool:
        """Tell whether no file of the scan need be read."""
        files = (entry for entry in scan.entries.values() if entry.kind is Kind.FILE)
        return all((entry.source, entry.stamp) in self._known for entry in files)


@attrs.frozen(kw_only=True)
class Parcel:
    """Entries with their hashes.

    Args:
        entries: By name, sorted.
        hashes: sha256 of each file, by name.
        digest: Names the whole set: contents, names, modes and links.
    """

    entries: Mapping[str, Entry]
    hashes: Mapping[str, str]
    digest: str

    @functools.cached_property
    def marks(self) -> Mapping[str, str]:
        """Return what tells one version of an entry from another, by name."""
        return {name: _mark(entry, self.hashes.get(name, "")) for name, entry in self.entries.items()}

    def count(self, names: Collection[str]) -> tuple[int, int]:
        """Return how many of these are files, and their bytes."""
        sizes = [self.entries[name].size for name in names if self.entries[name].kind is Kind.FILE]
        return len(sizes), sum(sizes)

    def sums(self, prefix: str) -> bytes:
        """Return the lines that `sha256sum -c` checks."""
        return b"".join(b"%s  %s\n" % (sha.encode(), os.fsencode(prefix + name)) for name, sha in self.hashes.items())

    def length(self, prefix: str, names: Collection[str]) -> int:
        """Return the length of `stream`."""
        return sum(_length(self.entries[name], os.fsencode(prefix + name)) for name in names)

    def stream(self, prefix: str, names: Collection[str]) -> Iterator[bytes]:
        """Yield the tar members of these entries, without the end mark, in chunks.

        Raises:
            Undeliverable: If a file cannot be read or is not what it was.
        """
        held = bytearray()
        for name in sorted(names):
            for piece in _member(self.entries[name], os.fsencode(prefix + name)):
                held += piece
                if len(held) >= CHUNK:
                    yield bytes(held)
                    held.clear()
        if held:
            yield bytes(held)


def pack(scan: Scan, hashes: Hashes) -> Parcel:
    """Return the parcel of a scan; reads every file whose hash is not known."""
    entries = dict(sorted(scan.entries.items()))
    found = {name: hashes.of(entry) for name, entry in entries.items() if entry.kind is Kind.FILE}
    whole = hashlib.sha256()
    for name, entry in entries.items():
        whole.update(os.fsencode(f"{_mark(entry, found.get(name, ''))}\0{name}\0"))
    return Parcel(entries=entries, hashes=found, digest=whole.hexdigest())


def lone(name: str, content: bytes) -> bytes:
    """Return the member of a small file that exists only in memory."""
    return tar.header(name.encode(), size=len(content)) + content + tar.padding(len(content))


def _mark(entry: Entry, sha: str) -> str:
    return f"{entry.kind.value}{'x' if entry.is_executable else '-'}{sha or entry.target}"


def _member(entry: Entry, name: bytes) -> Iterator[bytes]:
    yield _head(entry, name)
    if entry.kind is Kind.FILE:
        yield from _content(entry)
        yield tar.padding(entry.size)


def _length(entry: Entry, name: bytes) -> int:
    content = entry.size + len(tar.padding(entry.size)) if entry.kind is Kind.FILE else 0
    return len(_head(entry, name)) + content


def _head(entry: Entry, name: bytes) -> bytes:
    if entry.kind is Kind.FOLDER:
        return tar.header(name + b"/", kind=tar.FOLDER, mode=0o700)
    if entry.kind is Kind.LINK:
        return tar.header(name, kind=tar.LINK, mode=0o777, link=os.fsencode(entry.target))
    mode = 0o700 if entry.is_executable else 0o600
    return tar.header(name, size=entry.size, mode=mode, time=entry.changed_s)


def _content(entry: Entry) -> Iterator[bytes]:
    left = entry.size
    try:
        with open(entry.source, "rb", buffering=0) as source:
            while left and (piece := source.read(min(left, CHUNK))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise unreadable(entry.source, error) from error
    if left:
        raise refused(entry.source, "became shorter while it was sent")


def _sha256(entry: Entry) -> str:
    return content_hash(entry.source, entry.stamp)
