"""S3 as the local cloud speaks it before moto answers: which action a request is, and who may not do that.

moto keeps buckets and objects; what it lets pass and S3 does not is refused here: a wrong Region, a broken checksum,
a copy of an object that changed or is too large, and a machine whose role does not allow it.
May import: cloud, moto_seams, moto_storage, permissions, refusal.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from urllib.parse import unquote
from xml.sax.saxutils import escape

import attrs

from aspot.local.cloud import Cloud
from aspot.local.moto_seams import bucket_region, role_policies
from aspot.local.moto_storage import has_upload, object_at
from aspot.local.permissions import is_allowed
from aspot.local.refusal import Refusal

__all__ = ["S3Request", "check", "error_document", "s3_request"]

_GUEST_TOKEN = "local-cloud-"
_PERMISSIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "UploadPartCopy": "PutObject",
    "DeleteObjects": "DeleteObject",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
}
"""Actions whose permission has another name (IAM's service authorization reference for S3, 2026)."""

_MOST_COPIED = 5 << 30
_STATUS = {
    "AccessDenied": 403,
    "InvalidAccessKeyId": 403,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "InternalError": 500,
    "SlowDown": 503,
}


@attrs.frozen(kw_only=True)
class S3Request:
    """What a request asks of S3, read from its path and query."""

    action: str
    bucket: str
    key: str
    upload: str = ""

    @property
    def permission(self) -> str:
        """Return the permission that it takes."""
        return f"s3:{_PERMISSIONS.get(self.action, self.action)}"

    @property
    def resource(self) -> str:
        """Return what it takes the permission on."""
        if not self.bucket:
            return "*"
        if self.action == "DeleteObjects":  # S3 judges each object; here all of them at once
            return f"arn:aws:s3:::{self.bucket}/*"
        return f"arn:aws:s3:::{self.bucket}/{self.key}" if self.key else f"arn:aws:s3:::{self.bucket}"


def s3_request(method: str, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> S3Request:
    """Return what a path-style request asks for.

    >>> s3_request("PUT", "/data/a/b", {"partNumber": "1", "uploadId": "u"}, {}).action
    'UploadPart'
    >>> s3_request("GET", "/data", {"list-type": "2"}, {}).permission
    's3:ListBucket'
    """
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket:
        return S3Request(action="ListBuckets", bucket="", key="")
    action = _object_action(method, form, headers) if key else _bucket_action(method, form)
    return S3Request(action=action, bucket=bucket, key=key, upload=form.get("uploadId", ""))


def _object_action(method: str, form: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if method == "PUT" and "uploadId" in form and "X-Amz-Copy-Source" in headers:
        return "UploadPartCopy"
    if "uploadId" in form:
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return names.get(method, "ListParts")
    if method == "POST" and "uploads" in form:
        return "CreateMultipartUpload"
    if method == "PUT" and "X-Amz-Copy-Source" in headers:
        return "CopyObject"
    return f"{method.capitalize()}Object"


def _bucket_action(method: str, form: Mapping[str, str]) -> str:
    if method == "POST" and "delete" in form:
        return "DeleteObjects"
    if method == "GET":
        for word, action in (("location", "GetBucketLocation"), ("uploads", "ListMultipartUploads")):
            if word in form:
                return action
        if not set(form) - _LISTING:
            return "ListObjectsV2" if "list-type" in form else "ListObjects"
    names = {"PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}
    return names.get(method, "GetBucket") if not form else f"{method.capitalize()}Bucket{min(form).title()}"


_LISTING = {
    "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "continuation-token", "start-after", "marker",
    "fetch-owner",
}  # fmt: skip


async def check(cloud: Cloud, request: S3Request, *, region: str, headers: Mapping[str, str], body: bytes) -> None:
    """Refuse what S3 refuses and moto does not.

    Raises:
        Refusal: as S3 refuses it.
    """
    token, source = headers.get("X-Amz-Security-Token", ""), _source(request, headers)
    if token.startswith(_GUEST_TOKEN):
        for asked in (request, source) if source is not None else (request,):
            await _check_guest(cloud, asked, token.removeprefix(_GUEST_TOKEN))
    if request.bucket and request.action != "CreateBucket":
        home = await cloud.moto.call(bucket_region, request.bucket)
        if home and home != region:
            raise Refusal(
                "PermanentRedirect",
                f"The bucket you are attempting to access must be addressed using the specified endpoint: {home}.",
                status=301,
                headers={"x-amz-bucket-region": home},
            )
    if source is not None:
        await _check_copy(cloud, request, source, headers)
    for name, digest in _DIGESTS.items():
        wanted = headers.get(name)
        if wanted and headers.get("X-Amz-Content-Sha256", "").startswith("STREAMING"):
            continue  # the body has a frame of its own, which moto takes off
        if wanted and "-" not in wanted and request.action in ("PutObject", "UploadPart") and digest(body) != wanted:
            raise Refusal("BadDigest", "The checksum you specified did not match the calculated checksum.", status=400)


def _source(request: S3Request, headers: Mapping[str, str]) -> S3Request | None:
    """Return the reading that a copy is, too; None for what is no copy."""
    if request.action not in ("CopyObject", "UploadPartCopy"):
        return None
    bucket, _, key = unquote(headers["X-Amz-Copy-Source"].partition("?")[0]).removeprefix("/").partition("/")
    return S3Request(action="GetObject", bucket=bucket, key=key)


async def _check_copy(cloud: Cloud, request: S3Request, source: S3Request, headers: Mapping[str, str]) -> None:
    """Refuse what S3 refuses of copies (S3 API reference, CopyObject and UploadPartCopy, 2026)."""
    found = await cloud.moto.call(object_at, source.bucket, source.key)
    if isinstance(found, str):
        raise Refusal(found, "The specified bucket or key does not exist.", status=404)
    size, etag = found
    if headers.get("X-Amz-Copy-Source-If-Match", etag).strip('"') != etag:
        raise Refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", status=412)
    if request.action == "UploadPartCopy":
        if not await cloud.moto.call(has_upload, request.bucket, request.upload):
            raise Refusal("NoSuchUpload", "The specified upload does not exist.", status=404)
        size = _length(headers.get("X-Amz-Copy-Source-Range", f"bytes=0-{size - 1}"), size)
    if size > _MOST_COPIED:
        most = f"is larger than the maximum allowable size for a copy source: {_MOST_COPIED}"
        raise Refusal("InvalidRequest", f"The specified copy source {most}", status=400)


def _length(span: str, size: int) -> int:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", span)
    if found is None or not int(found[1]) <= int(found[2]) < size:
        raise Refusal("InvalidRange", f"Range specified is not valid for source object of size: {size}", status=416)
    return int(found[2]) - int(found[1]) + 1


async def _check_guest(cloud: Cloud, request: S3Request, instance: str) -> None:
    role = cloud.find(instance).launch.role
    documents = await cloud.moto.call(role_policies, role) if role else []
    if not is_allowed(documents, request.permission, request.resource):
        who = f"arn:aws:sts::123456789012:assumed-role/{role}/{instance}"
        raise Refusal(
            "AccessDenied",
            f"User: {who} is not authorized to perform: {request.permission} on resource: {request.resource} "
            "because no identity-based policy allows the action",
            status=403,
        )


def _encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


_DIGESTS: dict[str, Callable[[bytes], str]] = {
    "X-Amz-Checksum-Crc32": lambda body: _encoded(zlib.crc32(body).to_bytes(4, "big")),
    "X-Amz-Checksum-Sha256": lambda body: _encoded(hashlib.sha256(body).digest()),
    "Content-Md5": lambda body: _encoded(hashlib.md5(body, usedforsecurity=False).digest()),
}


def error_document(refusal: Refusal, *, request_id: str) -> tuple[int, str]:
    """Return the HTTP status and the text of a refusal, in S3's form."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    return _STATUS.get(refusal.code, refusal.status), text
