"""One file between S3 and a machine's disk, on the machine: in parts, each verified, taken up where a break left it.

Travels there with `carrier`: plain Python 3.8 of the standard library.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any
from xml.sax.saxutils import escape

from aspot.storage import partials, rules
from aspot.storage.partials import Note
from aspot.storage.post import FOLDER
from aspot.storage.rules import Item, Part
from aspot.storage.wire import Refused, Wire, tree_of

PARTS_AT_ONCE = 12
EVERY_S = 0.3
ALIVE_S = 10.0
"""A line comes at least this often: silence means a broken connection."""
BIGGEST_HELD = 64 * rules.MIB


class NotCopied(Exception):
    """One file that was not copied, and why."""


class Teller:
    """Writes lines for the other side: what is to do, how it goes, what came of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moved = self._done = 0

    def say(self, **words: object) -> None:
        """Write a line."""
        with self._lock:
            sys.stdout.write(json.dumps(words) + "\n")
            sys.stdout.flush()

    def moved(self, size: int) -> None:
        """Count bytes."""
        with self._lock:
            self._moved += size

    def done(self) -> None:
        """Count a file."""
        with self._lock:
            self._done += 1

    def flush(self) -> None:
        """Say what was counted since the last time."""
        with self._lock:
            moved, done, self._moved, self._done = self._moved, self._done, 0, 0
        if moved or done:
            self.say(moved=moved, done=done)

    def keep_telling(self) -> None:
        """Say it now and then, for ever."""
        began = time.monotonic()
        while True:
            time.sleep(EVERY_S)
            self.flush()
            if time.monotonic() - began > ALIVE_S:
                began = time.monotonic()
                self.say(moved=0, done=0)


class Lift:
    """Moves single files.

    Args:
        wire: The bucket.
        prefix: What the names of its objects begin with.
        tell: Where to tell how it goes.
    """

    def __init__(self, wire: Wire, prefix: str, tell: Teller) -> None:
        self._wire, self._prefix, self._tell = wire, prefix, tell
        self.pool = ThreadPoolExecutor(PARTS_AT_ONCE)

    def upload(self, item: Item, path: str) -> None:
        """Copy a file to its object."""
        before = os.stat(path)
        key = self._prefix + item.name
        kind, encoding = mimetypes.guess_type(item.name)
        headers = {"Content-Type": kind} if kind and not encoding else {}
        if before.st_size <= rules.PART:
            content = _read(path, Part(1, 0, before.st_size))
            checksum = {"x-amz-checksum-sha256": rules.sha256(content)}
            self._wire.ask("PutObject", "PUT", key, headers={**headers, **checksum}, body=content)
            self._tell.moved(len(content))
            return
        wanted = rules.parts(before.st_size, rules.part_size(before.st_size))
        note = note_path(
            f"{self._wire.endpoint} {self._wire.bucket} {key} {path} {before.st_size} {before.st_mtime_ns}"
        )
        upload, there = self.begun(note, key, {**headers, "x-amz-checksum-algorithm": "SHA256"})
        sent = finish([self.pool.submit(self._send, path, key, upload, part, there) for part in wanted])
        after = os.stat(path)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise NotCopied("it changed while it was copied; the same command copies it anew")
        rows = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(etag)}</ETag>"
            f"<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>"
            for part, (etag, checksum) in zip(wanted, sent)  # noqa: B905 - Python 3.8
        )
        self.complete(note, key, upload, rows, [etag for etag, _ in sent])

    def complete(self, note: str, key: str, upload: str, rows: str, etags: list[Any]) -> str:
        """End an upload, and forget its note; return the object's ETag."""
        body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        try:
            answer = self._wire.ask("CompleteMultipartUpload", "POST", key, query={"uploadId": upload}, body=body)
        except Refused as refused:
            if refused.code != "NoSuchUpload":
                raise
            digests = [bytes.fromhex(etag.strip('"')) for etag in etags if len(etag.strip('"')) == 32]
            head = self._wire.ask("HeadObject", "HEAD", key)
            made = str(head.headers.get("etag", ""))
            if made.strip('"') != rules.whole_etag(digests, is_one=False):
                raise NotCopied("somebody else ended this upload; the same command begins it anew") from refused
        else:
            if b"<Error>" in answer.body:  # S3 may say so after its 200
                raise NotCopied("S3 could not put its parts together; the same command tries again")
            made = tree_of(answer.body).findtext("ETag") or ""
        os.unlink(note)
        return made.strip('"')

    def begun(self, note: str, key: str, headers: dict[str, Any]) -> tuple[Any, Any]:
        """Return the upload to go on with and the parts that S3 has of it; a new one if there is none."""
        try:
            with open(note, encoding="utf-8") as source:
                upload = source.read()
            return upload, self._listed(key, upload)
        except FileNotFoundError:
            pass
        except Refused as refused:
            if refused.code != "NoSuchUpload":
                raise
        body = self._wire.ask("CreateMultipartUpload", "POST", key, query={"uploads": ""}, headers=headers).body
        upload = tree_of(body).findtext("UploadId") or ""
        with open(note, "w", encoding="utf-8") as target:
            target.write(upload)
        return upload, {}

    def _listed(self, key: str, upload: str) -> dict[int, Any]:
        found: dict[int, Any] = {}
        query = {"uploadId": upload}
        while True:
            tree = tree_of(self._wire.ask("ListParts", "GET", key, query=query).body)
            for one in tree.findall("Part"):
                words = [one.findtext(name) or "" for name in ("PartNumber", "Size", "ETag", "ChecksumSHA256")]
                found[int(words[0])] = (int(words[1]), words[2], words[3])
            if tree.findtext("IsTruncated") != "true":
                return found
            query["part-number-marker"] = tree.findtext("NextPartNumberMarker") or ""

    def _send(self, path: str, key: str, upload: str, part: Part, there: dict[int, Any]) -> tuple[Any, Any]:
        content = _read(path, part)
        checksum = rules.sha256(content)
        size, etag, theirs = there.get(part.number, (0, "", ""))
        is_there = theirs == checksum if theirs else etag.strip('"') == rules.md5(content).hexdigest()
        if not (size == part.length and is_there):
            query = {"partNumber": part.number, "uploadId": upload}
            headers = {"x-amz-checksum-sha256": checksum}
            etag = self._wire.ask("UploadPart", "PUT", key, query=query, headers=headers, body=content).headers["etag"]
        self._tell.moved(part.length)
        return etag, checksum

    def download(self, item: Item, path: str) -> None:
        """Copy an object to its file, which appears whole, with the object's time."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.isdir(path):
            raise NotCopied("a folder of that name is there")
        fitting = [each for each in rules.part_sizes(item.size, item.etag) if "-" in item.etag and each <= BIGGEST_HELD]
        each = fitting[0] if fitting else rules.part_size(item.size)
        wanted = rules.parts(item.size, each)
        there, noted = partials.partial(path)
        note = Note(noted, f"{self._wire.endpoint} {self._wire.bucket}/{self._prefix}{item.name} {item.etag} {each}")
        digests = partials.came(there, note, wanted)
        if not digests:
            with open(there, "wb") as target:
                target.truncate(item.size)
            note.begin()
        lock = threading.Lock()
        jobs = [self.pool.submit(self._fetch, item, part, there, note, digests, lock) for part in wanted]
        finish(jobs)
        ordered = [bytes.fromhex(digests[part.number]) for part in wanted]
        is_one = "-" not in item.etag and len(wanted) == 1
        if rules.whole_etag(ordered, is_one=is_one) != item.etag:
            self._examine(item, there, each)
        partials.place(there, path, item.modified)
        os.unlink(noted)

    def _fetch(
        self, item: Item, part: Part, there: str, note: Note, digests: dict[int, str], lock: threading.Lock
    ) -> None:
        if part.number not in digests:
            headers = {"If-Match": f'"{item.etag}"'}
            if item.size:
                headers["Range"] = f"bytes={part.start}-{part.start + part.length - 1}"
            try:
                content = self._wire.ask("GetObject", "GET", self._prefix + item.name, headers=headers).body
            except Refused as refused:
                if refused.code in ("PreconditionFailed", "NoSuchKey"):
                    raise NotCopied("it changed while it was copied; the same command copies it anew") from refused
                raise
            if len(content) != part.length:
                raise NotCopied("S3 sent another length than it said")
            with open(there, "r+b") as target:
                target.seek(part.start)
                target.write(content)
            with lock:
                digests[part.number] = rules.md5(content).hexdigest()
                note.add(part.number, digests[part.number])
        self._tell.moved(part.length)

    def _examine(self, item: Item, there: str, each: int) -> None:
        """Find out whether a download whose ETag is not as expected is damaged, or cannot be told by its ETag."""
        if rules.is_content(there, item.size, item.etag):
            return
        head = self._wire.ask("HeadObject", "HEAD", self._prefix + item.name, query={"partNumber": 1}).headers
        is_plain = head.get("x-amz-server-side-encryption", "AES256") == "AES256"
        is_plain = is_plain and "x-amz-server-side-encryption-customer-algorithm" not in head
        if is_plain and ("-" not in item.etag or int(head["content-length"]) == each):
            os.unlink(there)
            raise NotCopied("what came is not what S3 holds (checksum); the same command copies it anew")


def finish(jobs: list[Future[Any]]) -> list[Any]:
    """Return the results of jobs in order, or raise their first failure and drop those that have not begun."""
    done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
    broken = [job for job in done if job.exception() is not None]
    if broken:
        for job in jobs:
            job.cancel()
    return [job.result() for job in broken or jobs]


def _read(path: str, part: Part) -> bytes:
    with open(path, "rb") as source:
        source.seek(part.start)
        content = source.read(part.length)
    if len(content) != part.length:
        raise NotCopied("it became shorter while it was copied")
    return content


def note_path(what: str) -> str:
    """Return where it is noted which upload belongs to what."""
    name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(os.path.expanduser(FOLDER), f"{name}.upload")
