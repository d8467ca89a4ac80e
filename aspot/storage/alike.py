"""Whether two objects have the same content, by what S3 says of each: its ETag and checksums. Pure.

Travels to machines beside `carrier`: plain Python 3.8 of the standard library. What S3 says goes by its API's names.
"""

from __future__ import annotations

from typing import Any, Dict, Optional  # noqa: UP035 - Python 3.8

from aspot.storage.rules import Item

CHECKSUMS = ("CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256")
Head = Dict[str, Any]  # noqa: UP006 - evaluated, and on Python 3.8


def is_same(item: Item, there: Item, source: Head, dest: Head, *, by_content: bool) -> bool:
    """Tell whether two objects of the same size have the same content.

    Where neither checksums nor ETags tell, the later of the two decides, unless contents are to be compared: then they
    count as different.
    """
    told = verdict(source, dest)
    if told is not None:
        return told
    if is_plain(source) and is_plain(dest) and "-" not in item.etag + there.etag:
        return item.etag == there.etag
    return not by_content and item.modified < there.modified


def is_damaged(item: Item, source: Head, dest: Head, *, is_alike: bool) -> bool:
    """Tell whether a copy whose ETag is not its source's is no copy.

    Args:
        item: The source as it was to be copied.
        source: What S3 says of it.
        dest: What S3 says of the copy.
        is_alike: Whether it was made in the same parts.
    """
    if int(dest["ContentLength"]) != item.size:
        return True
    told = verdict(source, dest)
    return not told if told is not None else is_alike and is_plain(source) and is_plain(dest)


def verdict(source: Head, dest: Head) -> Optional[bool]:  # noqa: UP045 - Python 3.8
    """Return whether two objects are the same by a checksum over all of each; None if they have none in common."""
    for name in CHECKSUMS:
        sums = [head.get(f"Checksum{name}") for head in (source, dest)]
        if all(head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" for head in (source, dest)) and all(
            one and "-" not in one for one in sums
        ):
            return bool(sums[0] == sums[1])
    return None


def is_plain(head: Head) -> bool:
    """Tell whether an object's ETag is an MD5: not where it is encrypted by KMS or a key of one's own."""
    return head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head
