"""One object copied to another within S3, asked for by the machine: its bytes do not come there.

Travels there with `carrier`: plain Python 3.8 of the standard library.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from aspot.storage import alike, rules
from aspot.storage.lift import Lift, NotCopied, Teller, finish, note_path
from aspot.storage.rules import Item, Part
from aspot.storage.wire import Answer, Refused, Wire, tree_of

CHANGED = "it changed while it was copied; the same command copies it anew"
KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type")
NAMES = {
    "content-length": "ContentLength",
    "x-amz-checksum-type": "ChecksumType",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
    **{f"x-amz-checksum-{name.lower()}": f"Checksum{name}" for name in alike.CHECKSUMS},
}


class Handover:
    """Copies objects to objects.

    Args:
        source, dest: Both buckets.
        prefixes: What the names in each begin with.
        lift: Of the destination.
        tell: Where to tell how it goes.
    """

    def __init__(self, source: Wire, dest: Wire, prefixes: tuple[str, str], lift: Lift, tell: Teller) -> None:
        self._source, self._dest, self._prefixes = source, dest, prefixes
        self._lift, self._tell = lift, tell

    def copy(self, item: Item) -> None:
        """Copy an object; tags stay behind."""
        source, dest = (prefix + item.name for prefix in self._prefixes)
        first = 0
        try:
            if "-" in item.etag or item.size > rules.COPY_MOST:
                head = self._source.ask("HeadObject", "HEAD", source, query={"partNumber": 1})
                first = int(head.headers["content-length"])
            each = rules.copy_part_size(item.size, item.etag, first)
            made = self._in_parts(item, source, dest, each) if each else self._whole(item, source, dest)
        except Refused as refused:
            if refused.code in ("PreconditionFailed", "NoSuchKey") or (refused.action, refused.status) == (
                "HeadObject",
                404,
            ):
                raise NotCopied(CHANGED) from refused
            if refused.status == 403:
                self._source.ask("HeadObject", "HEAD", source)  # refused, too, if it is the source that may not be read
            raise
        if made != item.etag:
            heads = [_looked(self._source, source), _looked(self._dest, dest)]
            if alike.is_damaged(item, *heads, is_alike=bool(each) or "-" not in item.etag):
                raise NotCopied("the copy is not what S3 holds of the source (checksum)")

    def is_same(self, item: Item, there: Item, *, by_content: bool) -> bool:
        """Tell whether both objects of a name have the same content."""
        if item.etag == there.etag:
            return True
        source, dest = (prefix + item.name for prefix in self._prefixes)
        heads = [_looked(self._source, source), _looked(self._dest, dest)]
        return alike.is_same(item, there, *heads, by_content=by_content)

    def _headers(self, item: Item, source: str) -> dict[str, Any]:
        where = quote(f"{self._source.bucket}/{source}", safe="/~-._")
        return {"x-amz-copy-source": where, "x-amz-copy-source-if-match": f'"{item.etag}"'}

    def _whole(self, item: Item, source: str, dest: str) -> str:
        headers = {**self._headers(item, source), "x-amz-tagging-directive": "REPLACE"}
        answer = self._dest.ask("CopyObject", "PUT", dest, headers=headers)
        self._tell.moved(item.size)
        return _etag(answer).strip('"')

    def _in_parts(self, item: Item, source: str, dest: str, each: int) -> str:
        place = f"{self._dest.endpoint} {self._dest.bucket} {dest}"
        note = note_path(f"{place} {self._source.bucket} {source} {item.etag} {each}")
        wanted = rules.parts(item.size, each)
        head = self._source.ask("HeadObject", "HEAD", source).headers
        kept = {name: head[name] for name in head if name in KEPT or name.startswith("x-amz-meta-")}
        upload, there = self._lift.begun(note, dest, kept)

        def copy(part: Part) -> str:
            size, etag, _ = there.get(part.number, (0, "", ""))
            if size != part.length:
                span = f"bytes={part.start}-{part.start + part.length - 1}"
                headers = {**self._headers(item, source), "x-amz-copy-source-range": span}
                query = {"partNumber": part.number, "uploadId": upload}
                etag = _etag(self._dest.ask("UploadPartCopy", "PUT", dest, query=query, headers=headers))
            self._tell.moved(part.length)
            return str(etag)

        etags = finish([self._lift.pool.submit(copy, part) for part in wanted])
        rows = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for part, etag in zip(wanted, etags)  # noqa: B905 - Python 3.8
        )
        return self._lift.complete(note, dest, upload, rows, etags)


def _etag(answer: Answer) -> str:
    """Return the ETag that an answer tells; S3 may say that it failed after its 200."""
    tree = tree_of(answer.body)
    if tree.tag == "Error":
        raise NotCopied(f"S3 could not copy it ({tree.findtext('Code')}); the same command tries again")
    return tree.findtext("ETag") or ""


def _looked(wire: Wire, key: str) -> dict[str, Any]:
    found = wire.ask("HeadObject", "HEAD", key, headers={"x-amz-checksum-mode": "ENABLED"}).headers
    return {name: found[header] for header, name in NAMES.items() if header in found}
