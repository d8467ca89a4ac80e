"""An upload of an object in parts: begun, or gone on with where a break left it, and completed.

May import: `store`, `disk`, `address`, `rules`, `aspot.aws`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio.to_thread

from aspot.aws.errors import Trouble
from aspot.storage.address import Address
from aspot.storage.disk import NotCopied, UploadNote
from aspot.storage.rules import Item
from aspot.storage.store import Store

Fresh = Callable[[], Awaitable[Mapping[str, Any]]]
"""Begins an upload; returns S3's answer."""


async def begun(store: Store, note: UploadNote, where: Address, fresh: Fresh) -> tuple[str, dict[int, dict[str, Any]]]:
    """Return the upload to go on with and the parts that S3 has of it; a new one if there is none.

    Args:
        store: S3.
        note: Where its id is kept.
        where: The object.
        fresh: Begins a new one.
    """
    upload = await anyio.to_thread.run_sync(note.read)
    if upload:
        try:
            return upload, await store.parts(where, upload)
        except Trouble as trouble:
            if trouble.code != "NoSuchUpload":
                raise
    upload = str((await fresh())["UploadId"])
    await anyio.to_thread.run_sync(note.write, upload)
    return upload, {}


async def completed(
    store: Store,
    where: Address,
    upload: str,
    listed: list[dict[str, Any]],
    *,
    size: int,
    is_it: Callable[[Item], bool] = lambda _: True,
    what: str,
    within_s: float | None = None,
) -> str:
    """Make the parts one object; return its ETag. The answer to a first try may have been lost: then it is there.

    Args:
        store: S3.
        where: The object.
        upload: The upload's id.
        listed: The parts, as S3 wants them listed.
        size: Of the object, in bytes.
        is_it: Tells whether an object of this size is the one that the parts make.
        what: What users call this.
        within_s: Longest for one try; None for the usual.

    Raises:
        NotCopied: If somebody else ended the upload.
    """
    try:
        answer = await store.ask(
            "CompleteMultipartUpload",
            where,
            Key=where.key,
            UploadId=upload,
            MultipartUpload={"Parts": listed},
            MpuObjectSize=size,
            within_s=within_s,
        )
    except Trouble as trouble:
        if trouble.code != "NoSuchUpload":
            raise
        found = await store.item(where)
        if found is None or found.size != size or not is_it(found):
            raise NotCopied(f"somebody else ended this {what}; the same command begins it anew") from trouble
        return found.etag
    return str(answer["ETag"]).strip('"')
