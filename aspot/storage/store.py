"""S3 as aspot uses it: buckets and objects listed, looked at and removed; refusals said in words.

May import: `aspot.aws`, `aspot.errors`, `address`, `rules`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import attrs

from aspot.aws.codes import PERMISSION, Cause
from aspot.aws.errors import Trouble, to_error
from aspot.aws.service import Service
from aspot.errors import AspotError, AuthError, CloudError, ConfigError
from aspot.storage.address import Address
from aspot.storage.rules import Item

BATCH = 1000
"""Most objects that one request deletes (S3 API reference, DeleteObjects)."""

_PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "DeleteObjects": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListBuckets": "s3:ListAllMyBuckets",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}
"""What a request needs, where the permission has another name than the request."""


@attrs.frozen(kw_only=True)
class Entry:
    """One line of a listing: an object, or a folder (then its size and time are None)."""

    key: str
    size: int | None = None
    modified: datetime | None = None
    etag: str = ""


class Store(Service):
    """S3 with the credentials and region of AWS's own configuration. Make it with `Store.open`."""

    @property
    def endpoint(self) -> str:
        """Return where AWS is asked, for notes that must not be taken for another cloud's."""
        return self._aws.endpoint

    async def ask(self, action: str, where: Address | None, **params: Any) -> dict[str, Any]:
        """Make one call about a place, repeated where that helps.

        Raises:
            Trouble: If it failed: `explained` says it in words.
        """
        if where is not None:
            params["Bucket"] = where.bucket
        return await self._aws.call(f"s3:{action}", **params)

    async def buckets(self) -> list[tuple[str, datetime]]:
        """Return the account's buckets with the time they were made.

        Raises:
            CloudError: If they cannot be listed.
        """
        try:
            answer = await self.ask("ListBuckets", None)
        except Trouble as trouble:
            raise explained(trouble, None) from trouble
        return [(item["Name"], item["CreationDate"]) for item in answer.get("Buckets", ())]

    async def entries(self, where: Address, *, is_flat: bool) -> AsyncIterator[Entry]:
        """Yield the objects whose names begin with an address's; unless flat, what lies deeper shows as its folder.

        Raises:
            AspotError: If they cannot be listed.
        """
        params: dict[str, Any] = {"Prefix": where.key} if is_flat else {"Prefix": where.key, "Delimiter": "/"}
        while True:
            try:
                answer = await self.ask("ListObjectsV2", where, **params)
            except Trouble as trouble:
                raise explained(trouble, where) from trouble
            for found in answer.get("CommonPrefixes", ()):
                yield Entry(key=found["Prefix"])
            for found in answer.get("Contents", ()):
                etag, modified = found["ETag"].strip('"'), found["LastModified"]
                yield Entry(key=found["Key"], size=int(found["Size"]), modified=modified, etag=etag)
            if not answer.get("IsTruncated"):
                return
            params["ContinuationToken"] = answer["NextContinuationToken"]

    async def items(self, where: Address) -> dict[str, Item]:
        """Return the objects of a folder by their names in it; marks of empty folders are left out.

        Raises:
            AspotError: If they cannot be listed.
        """
        folder = where.folder
        found: dict[str, Item] = {}
        async for entry in self.entries(Address(where.bucket, folder), is_flat=True):
            name = entry.key[len(folder) :]
            if name and not name.endswith("/"):
                assert entry.size is not None
                assert entry.modified is not None
                found[name] = Item(name, entry.size, entry.modified.timestamp(), entry.etag)
        return found

    async def item(self, where: Address) -> Item | None:
        """Return one object; None if there is none of this name.

        Raises:
            AspotError: If it cannot be looked at, or there is no such bucket.
        """
        try:
            answer = await self.ask("HeadObject", where, Key=where.key)
        except Trouble as trouble:
            if trouble.cause is not Cause.NOT_FOUND:
                raise explained(trouble, where) from trouble
            await self.check(where)
            return None
        modified = answer["LastModified"].timestamp()
        return Item(where.key, int(answer["ContentLength"]), modified, answer["ETag"].strip('"'))

    async def check(self, where: Address) -> None:
        """Make sure that the bucket is there and may be looked into.

        Raises:
            AspotError: If not.
        """
        try:
            await self.ask("HeadBucket", where)
        except Trouble as trouble:
            raise explained(trouble, where) from trouble

    async def parts(self, where: Address, upload: str) -> dict[int, dict[str, Any]]:
        """Return the parts that S3 has of an upload, by number.

        Raises:
            Trouble: If they cannot be listed, or there is no such upload.
        """
        found: dict[int, dict[str, Any]] = {}
        more: dict[str, Any] = {}
        while True:
            answer = await self.ask("ListParts", where, Key=where.key, UploadId=upload, **more)
            found |= {int(item["PartNumber"]): item for item in answer.get("Parts", ())}
            if not answer.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": answer["NextPartNumberMarker"]}

    async def remove(self, bucket: str, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Delete objects; return those that were not, and why. What is not there counts as deleted.

        Raises:
            AspotError: If a whole request was refused.
        """
        failed: list[tuple[str, str]] = []
        where = Address(bucket)
        for at in range(0, len(keys), BATCH):
            doomed = [{"Key": key} for key in keys[at : at + BATCH]]
            try:
                answer = await self.ask("DeleteObjects", where, Delete={"Objects": doomed, "Quiet": True})
            except Trouble as trouble:
                raise explained(trouble, where) from trouble
            failed += [(item["Key"], _why_not(item)) for item in answer.get("Errors", ())]
        return failed

    async def unfinished(self, where: Address) -> list[tuple[str, str]]:
        """Return the uploads below an address that were begun and not ended, as names and upload ids.

        Raises:
            AspotError: If they cannot be listed.
        """
        found: list[tuple[str, str]] = []
        params: dict[str, Any] = {"Prefix": where.key}
        while True:
            try:
                answer = await self.ask("ListMultipartUploads", where, **params)
            except Trouble as trouble:
                raise explained(trouble, where) from trouble
            found += [(item["Key"], item["UploadId"]) for item in answer.get("Uploads", ())]
            if not answer.get("IsTruncated"):
                return found
            params |= {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    async def abort(self, where: Address, upload: str) -> None:
        """Drop an upload with its parts; one that is gone already is fine.

        Raises:
            AspotError: If that was refused.
        """
        try:
            await self.ask("AbortMultipartUpload", where, Key=where.key, UploadId=upload)
        except Trouble as trouble:
            if trouble.code != "NoSuchUpload":
                raise explained(trouble, where) from trouble


def _why_not(error: dict[str, Any]) -> str:
    """Return why one object was not deleted."""
    if error.get("Code") in PERMISSION:
        return "the permission s3:DeleteObject is missing"
    return f"{error.get('Code', '')}: {error.get('Message', '')}"


def explained(trouble: Trouble, where: Address | None) -> AspotError:
    """Return the public error of a call that failed."""
    action = trouble.operation.rpartition(":")[2]
    if trouble.code == "NoSuchBucket" or (action == "HeadBucket" and trouble.cause is Cause.NOT_FOUND):
        bucket = where.bucket if where is not None else ""
        return ConfigError(f"there is no bucket {bucket!r}", fix="aspot s3 ls shows yours")
    if trouble.cause is Cause.NOT_FOUND and where is not None:
        return ConfigError(f"there is no object {where}", fix=f"aspot s3 ls s3://{where.bucket}/ shows what is there")
    if trouble.code in PERMISSION or trouble.code == "403":
        permission = _PERMISSIONS.get(action, f"s3:{action}")
        return AuthError(
            f"these credentials may not use {where or 'S3'}: the permission {permission} is missing, or the bucket's "
            "own policy denies it",
            code=trouble.code,
            request_id=trouble.request_id,
            fix="if the bucket is yours, add it to your user's or role's policy; it may also be somebody else's",
        )
    if trouble.code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "301"):
        return CloudError(
            f"{where} is in another region than the one that was asked",
            code=trouble.code,
            request_id=trouble.request_id,
            fix="give its region: --region REGION",
        )
    return to_error(trouble)
