"""A sync between S3 and a machine's disk, run on the machine: told by a line of JSON, it tells how it goes by lines.

Travels there with `lift`, `wire`, `rules` and `partials`: plain Python 3.8 of the standard library. It ends when its
input does: nobody waits for it any more. What it has done by then is done, and the next one goes on from there.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.sax.saxutils import escape

from aspot.storage import rules
from aspot.storage.lift import FOLDER, Lift, NotCopied, Teller, finish
from aspot.storage.rules import Item, UnsafeName
from aspot.storage.wire import Metadata, NoRole, Refused, Wire, tree_of

FILES_AT_ONCE = 8
GREETING = "@aspot\n"
"""Said first: a shell's start-up files may say something before it."""
BATCH = 1000
TAKE_S = 20.0
"""How long an earlier one for the same sync may take to end."""
EXIT_USE, EXIT_CLOUD, EXIT_LEFT = 2, 3, 130


class Failure(Exception):
    """The whole sync cannot be.

    Args:
        message: What happened.
        fix: What to do.
        code: Exit code.
    """

    def __init__(self, message: str, fix: str = "", code: int = EXIT_CLOUD) -> None:
        super().__init__(message)
        self.message, self.fix, self.code = message, fix, code


class Carrier:
    """One sync.

    Args:
        order: `source` and `dest` (one is `s3://…`), `delete`, `by_content`, `dry`.
        teller: Where to tell how it goes.
    """

    def __init__(self, order: dict[str, Any], teller: Teller) -> None:
        self._order, self._tell = order, teller
        self._is_upload = order["dest"].startswith("s3://")
        place = order["dest" if self._is_upload else "source"][len("s3://") :]
        bucket, _, key = place.partition("/")
        self._prefix = key.rstrip("/") + "/" if key.rstrip("/") else ""
        self._folder = os.path.expanduser(order["source" if self._is_upload else "dest"])
        self._wire = Wire(bucket, Metadata())
        self._lift, self._lock = Lift(self._wire, self._prefix, teller), threading.Lock()
        self.outcome: dict[str, Any] = {"copied": [], "bytes": 0, "same": 0, "deleted": [], "skipped": {}, "failed": {}}
        self._there: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Do it; return what came of it.

        Raises:
            Failure: If it cannot be.
        """
        self._check()
        skipped = self.outcome["skipped"] if self._is_upload else {}
        here = {item.name: item for item in self._files(skipped)}
        objects = self._wire.items(self._prefix)
        if not self._is_upload and not objects:
            raise Failure(f"there is nothing in {self._order['source']}", code=EXIT_USE)
        sources, self._there = (here, objects) if self._is_upload else (self._safe(objects), here)
        order = self._order
        plan = rules.plan(sources, self._there, delete=order["delete"], by_content=order["by_content"])
        self.outcome["same"] = len(plan.same)
        waiting = [(item, False) for item in plan.copy] + [(item, True) for item in plan.look]
        self._tell.say(files=len(waiting), size=sum(item.size for item, _ in waiting))
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            finish([pool.submit(self._one, item, is_look) for item, is_look in waiting])
        self._delete([item.name for item in plan.delete if not self._is_spared(item.name)])
        return self.outcome

    def _check(self) -> None:
        """Make sure that the machine's role may look into the bucket, before anything is read."""
        self._wire.ask("HeadBucket", "HEAD")

    def _files(self, skipped: dict[str, Any]) -> list[Any]:
        if not self._is_upload and not os.path.exists(self._folder):
            return []
        if not os.path.isdir(self._folder):
            what = "a file" if os.path.exists(self._folder) else "not there"
            raise Failure(f"{self._folder} is {what}", "name a folder of the machine", EXIT_USE)
        return list(rules.files(self._folder, skipped.__setitem__))

    def _safe(self, objects: dict[str, Any]) -> dict[str, Any]:
        kept = {}
        for name, item in objects.items():
            try:
                rules.local_parts(name)
                kept[name] = item
            except UnsafeName as unsafe:
                self.outcome["failed"][name] = str(unsafe)
        return kept

    def _is_spared(self, name: str) -> bool:
        left = self.outcome["skipped"]
        return any(name == one or name.startswith(one.rstrip("/") + "/") or not one for one in left)

    def _one(self, item: Item, is_look: bool) -> None:
        path = os.path.join(self._folder, item.name)
        try:
            if is_look and self._is_same(item, path):
                self._tell.moved(item.size)
                with self._lock:
                    self.outcome["same"] += 1
            else:
                if not self._order["dry"]:
                    (self._lift.upload if self._is_upload else self._lift.download)(item, path)
                with self._lock:
                    self.outcome["bytes"] += item.size
                    self.outcome["copied"].append(item.name)
        except NotCopied as error:
            self.outcome["failed"][item.name] = str(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Failure(f"the disk of {self._folder} is full", "make room; the same command goes on") from error
            self.outcome["failed"][item.name] = error.strerror or str(error)
        self._tell.done()

    def _is_same(self, item: Item, path: str) -> bool:
        etag = self._there[item.name].etag if self._is_upload else item.etag
        if not rules.is_content(path, item.size, etag):
            return False
        if not self._is_upload and not self._order["dry"]:
            os.utime(path, (item.modified, item.modified))
        return True

    def _delete(self, names: list[Any]) -> None:
        failed: dict[str, Any] = {}
        if not self._order["dry"]:
            failed = self._delete_objects(names) if self._is_upload else self._delete_files(names)
        self.outcome["failed"].update(failed)
        self.outcome["deleted"] = [name for name in names if name not in failed]

    def _delete_files(self, names: list[Any]) -> dict[str, Any]:
        failed = {}
        for name in names:
            try:
                os.unlink(os.path.join(self._folder, name))
            except OSError as error:
                failed[name] = error.strerror or str(error)
        return failed

    def _delete_objects(self, names: list[Any]) -> dict[str, Any]:
        failed = {}
        for at in range(0, len(names), BATCH):
            rows = "".join(
                f"<Object><Key>{escape(self._prefix + name)}</Key></Object>" for name in names[at : at + BATCH]
            )
            body = f"<Delete><Quiet>true</Quiet>{rows}</Delete>".encode()
            digest = base64.b64encode(rules.md5(body).digest()).decode()
            answer = self._wire.ask(
                "DeleteObjects", "POST", query={"delete": ""}, headers={"Content-MD5": digest}, body=body
            )
            for one in tree_of(answer.body).findall("Error"):
                name = (one.findtext("Key") or "")[len(self._prefix) :]
                code, said = one.findtext("Code"), one.findtext("Message")
                is_denied = code == "AccessDenied"
                failed[name] = "the permission s3:DeleteObject is missing" if is_denied else f"{code}: {said}"
        return failed


def _lock(order: dict[str, Any]) -> int:
    """Take the lock of this sync; an earlier one whose connection broke may still be at it, and is ended."""
    folder = os.path.expanduser(FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    name = hashlib.sha256(f"{order['source']}\n{order['dest']}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    held = os.open(os.path.join(folder, f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + TAKE_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > until:
                raise Failure("an earlier sync of the same folders does not end") from None
            number = os.pread(held, 20, 0)
            if number.isdigit():
                os.kill(int(number), signal.SIGTERM)
            time.sleep(0.1)
    os.ftruncate(held, 0)
    os.pwrite(held, str(os.getpid()).encode(), 0)
    return held


PERMISSIONS = {
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
}


def explained(refused: Refused, bucket: str) -> Failure:
    """Return what a refusal means for the whole."""
    if refused.code == "NoSuchBucket" or (refused.action == "HeadBucket" and refused.status == 404):
        return Failure(f"there is no bucket {bucket!r}", "aspot s3 ls shows yours", EXIT_USE)
    if refused.status == 403:
        permission = PERMISSIONS.get(refused.action, refused.action)
        fix = f"a role that may: aspot roles create NAME --bucket {bucket}"
        return Failure(f"its role may not use the bucket {bucket}: the permission s3:{permission} is missing", fix)
    if not refused.status:
        way = "its VPC endpoint for S3, or its way to the internet"
        return Failure(refused.message, f"look at {way if refused.action != 'metadata' else 'its metadata options'}")
    return Failure(f"S3 refused {refused.action} ({refused.code or refused.status}): {refused.message}")


def _until_input_ends() -> None:
    """Leave when nobody waits any more."""
    while os.read(0, 4096):
        pass
    os._exit(EXIT_LEFT)


def _line() -> bytes:
    """Return the first line of the input, byte by byte: what comes after it is not ours to hold."""
    found = b""
    while not found.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            os._exit(EXIT_LEFT)
        found += piece
    return found


def main() -> None:
    """Read the order, carry it out, leave with its exit code."""
    sys.stdout.write(GREETING)
    sys.stdout.flush()
    order, teller = json.loads(_line()), Teller()
    threading.Thread(target=_until_input_ends, daemon=True).start()
    threading.Thread(target=teller.keep_telling, daemon=True).start()
    bucket = (order["dest"] if order["dest"].startswith("s3://") else order["source"])[len("s3://") :].partition("/")[0]
    try:
        held = _lock(order)
        outcome = Carrier(order, teller).run()
        os.close(held)
        failure = None
    except Failure as error:
        failure = error
    except Refused as error:
        failure = explained(error, bucket)
    except NoRole:
        fix = "launch it with one (--instance-profile NAME); aspot roles create NAME --bucket BUCKET makes one"
        failure = Failure("it has no instance profile, so it has no credentials for S3", fix, EXIT_USE)
    except OSError as error:
        failure = Failure(f"{error.filename or 'the machine'}: {error.strerror or error}")
    teller.flush()
    if failure is not None:
        teller.say(error=failure.message, fix=failure.fix, code=failure.code)
        os._exit(failure.code)
    teller.say(outcome=outcome)
    os._exit(EXIT_CLOUD if outcome["failed"] else 0)


if __name__ == "__main__":
    main()
