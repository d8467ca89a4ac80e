"""One object copied to another within S3; its bytes never come here. Taken up after a break where it has parts.

May import: `store`, `disk`, `address`, `rules`, `multipart`, `aspot.aws`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from aspot.aws.codes import PERMISSION, Cause
from aspot.aws.errors import Trouble
from aspot.aws.together import together
from aspot.errors import AspotError
from aspot.storage import alike, multipart, rules
from aspot.storage.address import Address
from aspot.storage.disk import NotCopied, UploadNote
from aspot.storage.mover import AT_ONCE, PART_S, Moved
from aspot.storage.rules import Item, Part
from aspot.storage.store import Store, explained

CHANGED = "it changed while it was copied; the same command copies it anew"
KEPT = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata")
"""What a copy in parts takes along of an object beside its content, as one in a single request does by itself."""


class Across:
    """Copies objects to objects.

    Args:
        store: S3.
        moved: Told how far it is.
    """

    def __init__(self, store: Store, moved: Moved) -> None:
        self._store, self._moved = store, moved
        self._slots = anyio.CapacityLimiter(AT_ONCE)

    async def copy(self, item: Item, source: Address, dest: Address) -> int:
        """Copy an object; return its size. Tags stay behind: they take permissions of their own.

        Raises:
            NotCopied: If this object cannot be copied.
            AspotError: If S3 refuses, or cannot be reached.
        """
        try:
            head: dict[str, Any] = {}
            if "-" in item.etag or item.size > rules.COPY_MOST:
                head = await self._store.ask("HeadObject", source, Key=source.key, PartNumber=1)
            each = rules.copy_part_size(item.size, item.etag, int(head.get("ContentLength", 0)))
            made = await (self._in_parts(item, source, dest, each) if each else self._whole(item, source, dest))
            if made != item.etag:
                await self._examine(item, source, dest, is_alike=bool(each) or "-" not in item.etag)
        except Trouble as trouble:
            is_head = trouble.operation.endswith("HeadObject")
            if trouble.code in ("PreconditionFailed", "412", "NoSuchKey") or (is_head and trouble.code == "404"):
                raise NotCopied(CHANGED) from trouble
            raise await self._explained(trouble, source, dest) from trouble
        return item.size

    async def _whole(self, item: Item, source: Address, dest: Address) -> str:
        async with self._slots:
            answer = await self._store.ask(
                "CopyObject",
                dest,
                Key=dest.key,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceIfMatch=f'"{item.etag}"',
                TaggingDirective="REPLACE",
                within_s=PART_S,
            )
        self._moved(item.size)
        return str(answer["CopyObjectResult"]["ETag"]).strip('"')

    async def _in_parts(self, item: Item, source: Address, dest: Address, each: int) -> str:
        note = UploadNote.between(self._store.endpoint, source, item.etag, each, dest)
        upload, there = await multipart.begun(self._store, note, dest, partial(self._fresh, source, dest))
        wanted = rules.parts(item.size, each)
        etags: dict[int, str] = {}

        async def copy(part: Part) -> None:
            known = there.get(part.number)
            if known is not None and known["Size"] == part.length:
                etags[part.number] = known["ETag"]
            else:
                etags[part.number] = await self._part(item, source, dest, upload, part)
            self._moved(part.length)

        await together(*(partial(copy, part) for part in wanted))
        listed = [{"PartNumber": part.number, "ETag": etags[part.number]} for part in wanted]
        made = await multipart.completed(
            self._store, dest, upload, listed, size=item.size, what="copy", within_s=PART_S
        )
        await anyio.to_thread.run_sync(note.remove)
        return made

    async def _part(self, item: Item, source: Address, dest: Address, upload: str, part: Part) -> str:
        async with self._slots:
            answer = await self._store.ask(
                "UploadPartCopy",
                dest,
                Key=dest.key,
                UploadId=upload,
                PartNumber=part.number,
                CopySource={"Bucket": source.bucket, "Key": source.key},
                CopySourceIfMatch=f'"{item.etag}"',
                CopySourceRange=f"bytes={part.start}-{part.start + part.length - 1}",
                within_s=PART_S,
            )
        return str(answer["CopyPartResult"]["ETag"])

    async def _fresh(self, source: Address, dest: Address) -> dict[str, Any]:
        head = await self._store.ask("HeadObject", source, Key=source.key)  # if it changed, no part will be copied
        kept = {name: head[name] for name in KEPT if head.get(name)}
        return await self._store.ask("CreateMultipartUpload", dest, Key=dest.key, **kept)

    async def _examine(self, item: Item, source: Address, dest: Address, *, is_alike: bool) -> None:
        """Find out whether a copy with another ETag than expected is damaged, or cannot be told by its ETag."""
        heads = [await self._looked(where) for where in (source, dest)]
        if alike.is_damaged(item, *heads, is_alike=is_alike):
            raise NotCopied("the copy is not what S3 holds of the source (checksum); the same command copies it anew")

    async def is_same(self, item: Item, there: Item, source: Address, dest: Address, *, by_content: bool) -> bool:
        """Tell whether two objects of the same size have the same content, as far as S3 can tell without reading them.

        Raises:
            AspotError: If one may not be looked at.
        """
        if item.etag == there.etag:
            return True
        heads = []
        for where in (source, dest):
            try:
                heads.append(await self._looked(where))
            except Trouble as trouble:
                if trouble.cause is Cause.NOT_FOUND:
                    return False
                raise explained(trouble, where) from trouble
        return alike.is_same(item, there, *heads, by_content=by_content)

    async def _looked(self, where: Address) -> dict[str, Any]:
        return await self._store.ask("HeadObject", where, Key=where.key, ChecksumMode="ENABLED")

    async def _explained(self, trouble: Trouble, source: Address, dest: Address) -> AspotError:
        """Return which of the two places may not be used: a refusal of the copy does not say."""
        if trouble.code in PERMISSION:
            try:
                await self._store.ask("HeadObject", source, Key=source.key)
            except Trouble as second:
                if second.code in PERMISSION or second.code == "403":
                    return explained(second, source)
        return explained(trouble, dest)
