"""One file to S3 or from it: in parts, side by side, each verified, and taken up where a break left it.

May import: `store`, `disk`, `address`, `rules`, `multipart`, `partials`, `aspot.aws`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from aspot.aws.clients import TRIES
from aspot.aws.codes import TRANSIENT, Cause
from aspot.aws.errors import Trouble, examine
from aspot.aws.together import together
from aspot.storage import disk, multipart, partials, rules
from aspot.storage.address import Address
from aspot.storage.disk import NotCopied, UploadNote
from aspot.storage.partials import Note
from aspot.storage.rules import Item, Part
from aspot.storage.store import Store, explained

AT_ONCE = 8
"""Requests with contents at a time: each holds a part in memory."""
PART_S = 600.0
"""Longest for one part: 8 MiB in this time is a line of 0.1 Mbit/s."""
BIGGEST_HELD = 64 * rules.MIB
"""Largest part to hold in memory when downloading."""
PIECE = 256 << 10

T = TypeVar("T")
Moved = Callable[[int], None]
"""Told bytes that came or went; negative when some must be moved again."""


class Mover:
    """Copies files.

    Args:
        store: S3.
        moved: Told how far it is.
    """

    def __init__(self, store: Store, moved: Moved) -> None:
        self._store, self._moved = store, moved
        self._slots = anyio.CapacityLimiter(AT_ONCE)

    async def upload(self, path: Path, where: Address) -> int:
        """Copy a file to an object; return its size.

        Raises:
            NotCopied: If this file cannot be copied.
            AspotError: If S3 refuses, or cannot be reached.
        """
        try:
            before = await _in_thread(os.stat, path)
            if before.st_size <= rules.PART:
                await self._upload_whole(path, where, before.st_size)
            else:
                await self._upload_parts(path, where, before)
        except OSError as error:
            raise NotCopied(error.strerror or str(error)) from error
        except Trouble as trouble:
            raise explained(trouble, where) from trouble
        return before.st_size

    async def _upload_whole(self, path: Path, where: Address, size: int) -> None:
        async with self._slots:
            content = await _in_thread(disk.read, path, Part(1, 0, size))
            await self._store.ask(
                "PutObject",
                where,
                Key=where.key,
                Body=content,
                ChecksumSHA256=rules.sha256(content),
                within_s=PART_S,
                **disk.kind(path),
            )
        self._moved(size)

    async def _upload_parts(self, path: Path, where: Address, before: os.stat_result) -> None:
        wanted = rules.parts(before.st_size, rules.part_size(before.st_size))
        note = UploadNote.of(self._store.endpoint, where, path, before)
        upload, there = await multipart.begun(self._store, note, where, partial(self._fresh, where, path))
        sent: dict[int, dict[str, Any]] = {}

        async def send(part: Part) -> None:
            async with self._slots:
                content = await _in_thread(disk.read, path, part)
                sent[part.number] = await self._send(where, upload, part, content, there.get(part.number))
            self._moved(part.length)

        await together(*(partial(send, part) for part in wanted))
        await _refuse_changed(path, before)
        listed = [sent[part.number] for part in wanted]

        def is_it(found: Item) -> bool:
            etags = [item["ETag"].strip('"') for item in listed]
            digests = [bytes.fromhex(etag) for etag in etags if len(etag) == 32]
            return found.etag == rules.whole_etag(digests, is_one=False)

        await multipart.completed(self._store, where, upload, listed, size=before.st_size, is_it=is_it, what="upload")
        await _in_thread(note.remove)

    async def _send(
        self, where: Address, upload: str, part: Part, content: bytes, there: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Send a part, unless it is there already with the same content; return how S3 wants it listed."""
        checksum = await _in_thread(rules.sha256, content)
        listed = {"PartNumber": part.number, "ChecksumSHA256": checksum}
        if (
            there is not None
            and there["Size"] == part.length
            and await _in_thread(disk.is_same, content, checksum, there)
        ):
            return {**listed, "ETag": there["ETag"]}
        answer = await self._store.ask(
            "UploadPart",
            where,
            Key=where.key,
            UploadId=upload,
            PartNumber=part.number,
            Body=content,
            ChecksumSHA256=checksum,
            within_s=PART_S,
        )
        return {**listed, "ETag": answer["ETag"]}

    async def _fresh(self, where: Address, path: Path) -> dict[str, Any]:
        return await self._store.ask(
            "CreateMultipartUpload", where, Key=where.key, ChecksumAlgorithm="SHA256", **disk.kind(path)
        )

    async def download(self, item: Item, where: Address, path: Path) -> int:
        """Copy an object to a file; return its size. The file appears whole, by rename, with the object's time.

        Raises:
            NotCopied: If this object cannot be copied.
            AspotError: If S3 refuses, or cannot be reached.
        """
        try:
            await _in_thread(partial(path.parent.mkdir, parents=True, exist_ok=True))
            if await _in_thread(path.is_dir):
                raise NotCopied("a folder of that name is here")
            await self._download(item, where, path)
        except OSError as error:
            raise NotCopied(f"{error.filename or path}: {error.strerror or error}") from error
        except Trouble as trouble:
            if trouble.code in ("PreconditionFailed", "412", "NoSuchKey"):
                raise NotCopied("it changed while it was copied; the same command copies it anew") from trouble
            raise explained(trouble, where) from trouble
        return item.size

    async def _download(self, item: Item, where: Address, path: Path) -> None:
        fitting = (each for each in rules.part_sizes(item.size, item.etag) if "-" in item.etag and each <= BIGGEST_HELD)
        each = next(fitting, rules.part_size(item.size))
        wanted = rules.parts(item.size, each)
        there, noted = partials.partial(str(path))
        note = Note(noted, f"{self._store.endpoint} {where} {item.etag} {item.size} {each}")
        digests = await _in_thread(partials.came, there, note, wanted)
        if not digests:
            await _in_thread(disk.empty, there, note, item.size)

        async def fetch(part: Part) -> None:
            if part.number not in digests:
                async with self._slots:
                    content = await self._fetch(item, where, part, is_whole=len(wanted) == 1)
                    digests[part.number] = await _in_thread(disk.write, there, part, content)
                    await _in_thread(note.add, part.number, digests[part.number])
            else:
                self._moved(part.length)

        await together(*(partial(fetch, part) for part in wanted))
        ordered = [bytes.fromhex(digests[part.number]) for part in wanted]
        if rules.whole_etag(ordered, is_one="-" not in item.etag and len(wanted) == 1) != item.etag:
            await self._examine(item, where, there, each)
        await _in_thread(partials.place, there, str(path), item.modified)
        await _in_thread(partial(Path(noted).unlink, missing_ok=True))

    async def _fetch(self, item: Item, where: Address, part: Part, *, is_whole: bool) -> bytes:
        """Return a part's content; a body that breaks off is asked for again."""
        span = {} if is_whole else {"Range": f"bytes={part.start}-{part.start + part.length - 1}"}
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._store.ask("GetObject", where, Key=where.key, IfMatch=f'"{item.etag}"', **span)
                with anyio.fail_after(PART_S):
                    return await self._body(answer["Body"], part.length)
            except (Trouble, TimeoutError) as error:
                trouble = error if isinstance(error, Trouble) else _lost("no answer in time")
                if trouble.cause not in TRANSIENT or attempt >= TRIES:
                    raise trouble from error
            await anyio.sleep(random.uniform(0.1, 0.5 * 2.0**attempt))  # noqa: S311

    async def _body(self, body: Any, length: int) -> bytes:
        content = bytearray()
        try:
            async with body as stream:
                while piece := await stream.read(PIECE):
                    content += piece
                    self._moved(len(piece))
        except BaseException as error:
            self._moved(-len(content))
            if isinstance(error, Exception) and not isinstance(error, Trouble | TimeoutError):
                raise _broken(error) from error
            raise
        if len(content) != length:
            self._moved(-len(content))
            raise _lost(f"{len(content)} bytes came of {length}")
        return bytes(content)

    async def _examine(self, item: Item, where: Address, there: str, each: int) -> None:
        """Find out whether a download whose ETag is not as expected is damaged, or cannot be told by its ETag."""
        if await _in_thread(rules.is_content, there, item.size, item.etag):
            return
        head = await self._store.ask("HeadObject", where, Key=where.key, PartNumber=1)
        is_plain = head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head
        if is_plain and ("-" not in item.etag or int(head["ContentLength"]) == each):
            await _in_thread(os.unlink, there)
            raise NotCopied("what came is not what S3 holds (checksum); the same command copies it anew")


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await anyio.to_thread.run_sync(function, *args)


def _lost(why: str) -> Trouble:
    return Trouble(Cause.LOST, "IncompleteRead", why, operation="s3:GetObject")


def _broken(error: Exception) -> Exception:
    """Return what a body that broke off means."""
    import aiohttp

    if isinstance(error, aiohttp.ClientError):
        return _lost(str(error))
    return examine(error, "s3:GetObject") or error


async def _refuse_changed(path: Path, before: os.stat_result) -> None:
    after = await _in_thread(os.stat, path)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise NotCopied("it changed while it was copied; the same command copies it anew")
