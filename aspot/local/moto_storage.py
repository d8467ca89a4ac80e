"""What the local cloud knows of moto's file systems and objects, beside `moto_seams`; moto's parts are imported late.

Written for moto 5.2.x. Semi-private here: `efs_backends` with its `mount_targets_by_id`; `s3_backends` with its
`buckets`, their `keys` and `multiparts`. On moto's own thread only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from aspot.local.moto_seams import ACCOUNT, MotoRegion

__all__ = ["NFS", "file_system_at", "has_upload", "object_at"]

NFS = 2049


def file_system_at(region: MotoRegion, address: str, groups: Iterable[str]) -> str | None:
    """Return the file system whose mount target has this address; "" if the target's groups do not let these in.

    Args:
        region: Where the machine is.
        address: The mount target's.
        groups: The machine's security groups.
    """
    if "moto.efs.models" not in sys.modules:
        return None  # then nobody has made one
    from moto.efs.models import efs_backends

    targets: Any = efs_backends[ACCOUNT][region.name].mount_targets_by_id
    for target in list(targets.values()):
        if target.ip_address == address:
            admits = region.admits_members(target.security_groups or (), groups, NFS)
            return str(target.file_system_id) if admits else ""
    return None


def object_at(bucket: str, key: str) -> tuple[int, str] | str:
    """Return the size and ETag of an object; S3's word for it if it is not there."""
    from moto.s3.models import s3_backends

    held = s3_backends[ACCOUNT]["aws"].buckets.get(bucket)
    if held is None:
        return "NoSuchBucket"
    found: Any = held.keys.get(key)
    return "NoSuchKey" if found is None else (int(found.size), str(found.etag).strip('"'))


def has_upload(bucket: str, upload: str) -> bool:
    """Tell whether a bucket has an upload that has not ended."""
    from moto.s3.models import s3_backends

    held = s3_backends[ACCOUNT]["aws"].buckets.get(bucket)
    return held is not None and upload in held.multiparts
