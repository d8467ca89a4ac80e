"""What is copied and what is left, how a file is cut into parts, which names are safe: the same here and on machines.

Travels to machines beside `carrier`, so it is plain Python 3.8 of the standard library. No network, no printing.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

MIB = 1 << 20
PART = 8 * MIB
"""Files up to this size are one request; it is also the part size of the AWS CLI and boto3."""
MOST_PARTS = 10_000
"""Of one upload (S3 user guide, "Amazon S3 multipart upload limits", 2026)."""
BIGGEST = 5 << 40
"""Most bytes of one object (same page; larger ones are too new to count on)."""
COPY_MOST = 5 << 30
"""Most bytes that S3 copies between objects in one request, and of one part (S3 API reference, CopyObject, 2026)."""
COPY_PART = 128 * MIB
"""Parts of a copy within S3 whose source's parts are not known."""
LEAST_PART = 5 * MIB
SAME_MOMENT_S = 60.0
"""A file this much older than its object may still be newer: clocks differ, and writing goes on while a copy begins."""
LEFT = (".aspot-part", ".aspot-part-note")
"""Ends of names of what a broken download left: no files of the user's."""
USUAL_PARTS = tuple(number * MIB for number in (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512))
"""Part sizes of the usual tools; what an object's ETag says can be compared if one of them made it."""


class Item(NamedTuple):
    """A file or an object, by its name below the folder or prefix that is copied.

    `modified` is in seconds since 1970; `etag` is "" for a file.
    """

    name: str
    size: int
    modified: float
    etag: str = ""


class Part(NamedTuple):
    """A piece of a file: its number from 1, where it begins, how long it is."""

    number: int
    start: int
    length: int


class Plan(NamedTuple):
    """What a sync does: copies what is new or changed for sure, looks into what may have changed, deletes the rest."""

    copy: list[Item]
    look: list[Item]
    same: list[Item]
    delete: list[Item]


class UnsafeName(ValueError):
    """An object's name that cannot be a file's below the folder it belongs to."""


def part_size(size: int) -> int:
    """Return the bytes of each part but the last.

    >>> part_size(100) == PART, part_size(100_000 * MIB) // MIB
    (True, 10)
    """
    least = -(-size // MOST_PARTS)
    return max(PART, -(-least // MIB) * MIB)


def parts(size: int, each: int) -> list[Part]:
    """Return the parts of a file; an empty file has one, which is empty.

    >>> [part.length for part in parts(20, 8)]
    [8, 8, 4]
    """
    starts = range(0, max(size, 1), each)
    return [Part(number, start, min(each, size - start)) for number, start in enumerate(starts, 1)]


def plan(
    sources: dict[str, Item],
    dests: dict[str, Item],
    *,
    delete: bool,
    by_content: bool = False,
) -> Plan:
    """Compare both sides by name and size, then by time; what time cannot tell is looked into.

    A file to be uploaded is unchanged if it is older than its object by more than a minute. An object to be downloaded
    is unchanged if the file's time is the object's, which every download sets; likewise a file to be copied to another.
    Of two objects the ETags are compared: a copy has its source's.

    Args:
        sources: By name, what is to be there.
        dests: By name, what is there.
        delete: Whether what is only at the destination goes.
        by_content: Look into everything of equal size, whatever its time.
    """
    made = Plan([], [], [], [])
    for name, source in sorted(sources.items()):
        dest = dests.get(name)
        if dest is None or dest.size != source.size:
            made.copy.append(source)
        elif by_content or _may_differ(source, dest):
            made.look.append(source)
        else:
            made.same.append(source)
    if delete:
        made.delete.extend(item for name, item in sorted(dests.items()) if name not in sources)
    return made


def _may_differ(source: Item, dest: Item) -> bool:
    if source.etag and dest.etag:
        return source.etag != dest.etag
    if dest.etag:
        return source.modified > dest.modified - SAME_MOMENT_S
    return abs(source.modified - dest.modified) > 0.01  # what file systems keep of it


def copy_part_size(size: int, etag: str, first: int) -> int:
    """Return the bytes of each part in which S3 is to copy one object to another; 0 for all in one request.

    An object that was made in parts is copied in the same parts: so the copy has its ETag, by which it is known later.

    >>> copy_part_size(20 * MIB, "0-3", 8 * MIB) // MIB, copy_part_size(20 * MIB, "0", 20 * MIB)
    (8, 0)

    Args:
        size: Of the object.
        etag: Its.
        first: Bytes of its first part, as S3 says; all if it has none.
    """
    _, dash, count = etag.partition("-")
    is_even = bool(dash) and 0 < first <= COPY_MOST and str(-(-size // first)) == count
    if is_even and (first >= LEAST_PART or count == "1"):
        return first
    return 0 if size <= COPY_MOST else max(COPY_PART, part_size(size))


def local_parts(name: str) -> list[str]:
    """Return an object's name as the parts of a path that stays below its folder.

    >>> local_parts("a/b.txt")
    ['a', 'b.txt']

    Raises:
        UnsafeName: If it leads out of it, or no file can be called so.
    """
    found = name.split("/")
    if any(part in ("", ".", "..") for part in found):
        raise UnsafeName("no file can be called so (empty, '.' or '..' in its path)")
    if "\0" in name or any(len(os.fsencode(part)) > 255 for part in found):
        raise UnsafeName("no file can be called so")
    return found


def files(folder: str, skipped: Callable[[str, str], None]) -> Iterator[Item]:
    """Yield the files below a folder. Links to files count as files; links to folders are not followed.

    Args:
        folder: Where to look.
        skipped: Told the name of what is left out, and why.
    """
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(os.path.join(folder, prefix)), key=lambda entry: entry.name)
        except OSError as error:
            skipped(prefix, error.strerror or "cannot be read")
            continue
        for entry in entries:
            name = prefix + entry.name
            reason = _reason(entry)
            if reason:
                skipped(name, reason)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(name + "/")
            elif not entry.name.endswith(LEFT):
                found = entry.stat()
                yield Item(name, found.st_size, found.st_mtime)


def _reason(entry: os.DirEntry[str]) -> str:
    try:
        entry.name.encode()
        if entry.is_dir(follow_symlinks=False):
            return ""
        if entry.is_dir():
            return "link to a folder"
        if not entry.is_file():
            return "dangling link" if entry.is_symlink() else "not a file"
        return "too large for S3" if entry.stat().st_size > BIGGEST else ""
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except OSError as error:
        return error.strerror or "cannot be read"


def md5(content: bytes) -> hashlib._Hash:
    """Return the MD5 of a part, which S3 calls its ETag; no security hangs on it."""
    try:
        return hashlib.md5(content, usedforsecurity=False)
    except TypeError:  # Python 3.8
        return hashlib.md5(content)  # noqa: S324


def sha256(content: bytes) -> str:
    """Return the checksum that S3 verifies when a part arrives."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def whole_etag(digests: list[bytes], *, is_one: bool) -> str:
    """Return the ETag of an object from the MD5 of its parts.

    >>> whole_etag([md5(b"").digest()], is_one=True)
    'd41d8cd98f00b204e9800998ecf8427e'
    """
    if is_one:
        return digests[0].hex()
    return f"{md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def part_sizes(size: int, etag: str) -> list[int]:
    """Return the part sizes with which an object of this ETag may have been made, the likeliest first.

    >>> part_sizes(20 * MIB, "0-3")[0] // MIB, part_sizes(10, "d41d8cd98f00b204e9800998ecf8427e")
    (8, [10])
    """
    _, dash, count = etag.partition("-")
    if not dash:
        return [max(size, 1)]
    wanted = int(count) if count.isdigit() else 0
    usual = [part_size(size), *USUAL_PARTS]
    return [each for at, each in enumerate(usual) if each not in usual[:at] and -(-size // each) == wanted]


def is_content(path: str, size: int, etag: str) -> bool:
    """Tell whether a file certainly has the content of an object with this ETag; it is read for that.

    False too where an ETag does not tell: encrypted with KMS, or made in parts of an unusual size.
    """
    return any(file_etag(path, size, each, is_one="-" not in etag) == etag for each in part_sizes(size, etag))


def file_etag(path: str, size: int, each: int, *, is_one: bool) -> str:
    """Return the ETag that a file would have as an object, made in parts of this size."""
    digests = []
    with open(path, "rb") as source:
        for part in parts(size, each):
            digest, left = md5(b""), part.length
            while left:
                piece = source.read(min(left, MIB))
                if not piece:
                    return ""
                digest.update(piece)
                left -= len(piece)
            digests.append(digest.digest())
    return whole_etag(digests, is_one=is_one)
