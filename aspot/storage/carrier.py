"""A sync that a machine carries out itself: between S3 and its disks, within S3, or between two folders of it.

Travels there with `porter`: plain Python 3.8 of the standard library. It tells how it goes by lines of JSON, and ends
when its input does: nobody waits for it any more. What it has done by then is done; the next one goes on from there.
"""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable  # noqa: UP035 - Python 3.8

from aspot.storage import post, rules, shift
from aspot.storage.handover import Handover
from aspot.storage.lift import Lift, NotCopied, Teller, finish
from aspot.storage.post import EXIT_CLOUD, EXIT_USE, Failure
from aspot.storage.rules import Item, UnsafeName
from aspot.storage.sides import SCHEME, Bucket, Folder
from aspot.storage.wire import Metadata, NoRole, Refused

FILES_AT_ONCE = 8

Move = Callable[[Item], None]
Look = Callable[[Item, Item], bool]


class Carrier:
    """One sync.

    Args:
        order: `source` and `dest` (`s3://…` or a folder), `delete`, `by_content`, `dry`.
        teller: Where to tell how it goes.
    """

    def __init__(self, order: dict[str, Any], teller: Teller) -> None:
        self._order, self._tell = order, teller
        metadata = Metadata()
        self._source: Any = _side(order["source"], metadata)
        self._dest: Any = _side(order["dest"], metadata)
        self._lock = threading.Lock()
        self.outcome: dict[str, Any] = {"copied": [], "bytes": 0, "same": 0, "deleted": [], "skipped": {}, "failed": {}}
        self._there: dict[str, Any] = {}
        self._move, self._look = self._ways()

    def _ways(self) -> tuple[Move, Look]:
        """Return how a file is copied between two such places, and how it is compared."""
        source, dest, tell = self._source, self._dest, self._tell
        if isinstance(source, Folder) and isinstance(dest, Folder):
            return (
                lambda item: shift.copy(_path(source, item), _path(dest, item), tell),
                lambda item, _: shift.is_same(_path(source, item), _path(dest, item)),
            )
        if isinstance(source, Folder):
            lift = Lift(dest.wire, dest.prefix, tell)
            return (
                lambda item: lift.upload(item, _path(source, item)),
                lambda item, there: rules.is_content(_path(source, item), item.size, there.etag),
            )
        if isinstance(dest, Folder):
            lift = Lift(source.wire, source.prefix, tell)
            return (
                lambda item: lift.download(item, _path(dest, item)),
                lambda item, _: rules.is_content(_path(dest, item), item.size, item.etag),
            )
        lift = Lift(dest.wire, dest.prefix, tell)
        within = Handover(source.wire, dest.wire, (source.prefix, dest.prefix), lift, tell)
        by_content = self._order["by_content"]
        return within.copy, lambda item, there: within.is_same(item, there, by_content=by_content)

    def run(self) -> dict[str, Any]:
        """Do it; return what came of it.

        Raises:
            Failure: If it cannot be.
        """
        order = self._order
        self._source.check()
        self._dest.check()
        self._refuse_overlap()
        sources = self._source.items(self.outcome["skipped"])
        self._there = self._dest.items(None)
        if isinstance(self._source, Bucket) and isinstance(self._dest, Folder):
            sources = self._safe(sources)
        plan = rules.plan(sources, self._there, delete=order["delete"], by_content=order["by_content"])
        self.outcome["same"] = len(plan.same)
        waiting = [(item, False) for item in plan.copy] + [(item, True) for item in plan.look]
        self._tell.say(files=len(waiting), size=sum(item.size for item, _ in waiting))
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            finish([pool.submit(self._one, item, is_look) for item, is_look in waiting])
        self._delete([item.name for item in plan.delete if not self._is_spared(item.name)])
        return self.outcome

    def _refuse_overlap(self) -> None:
        """Refuse folders of which one is in the other: a sync would copy or delete what it made."""
        if isinstance(self._source, Folder) and isinstance(self._dest, Folder):
            places = [os.path.join(os.path.realpath(side.path), "") for side in (self._source, self._dest)]
            if places[0].startswith(places[1]) or places[1].startswith(places[0]):
                fix = "name two folders side by side"
                raise Failure(f"one of {self._source.path} and {self._dest.path} is in the other", fix, EXIT_USE)

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
        try:
            if is_look and self._is_same(item):
                self._tell.moved(item.size)
                with self._lock:
                    self.outcome["same"] += 1
            else:
                if not self._order["dry"]:
                    self._move(item)
                with self._lock:
                    self.outcome["bytes"] += item.size
                    self.outcome["copied"].append(item.name)
        except NotCopied as error:
            self.outcome["failed"][item.name] = str(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise post.full(self._dest.path) from error
            self.outcome["failed"][item.name] = error.strerror or str(error)
        self._tell.done()

    def _is_same(self, item: Item) -> bool:
        """Compare contents; a file that is its source's gets its time, so that the next look is a short one."""
        if not self._look(item, self._there[item.name]):
            return False
        if isinstance(self._dest, Folder) and not self._order["dry"]:
            os.utime(_path(self._dest, item), (item.modified, item.modified))
        return True

    def _delete(self, names: list[Any]) -> None:
        failed: dict[str, Any] = {} if self._order["dry"] else self._dest.delete(names)
        self.outcome["failed"].update(failed)
        self.outcome["deleted"] = [name for name in names if name not in failed]


def _side(word: str, metadata: Metadata) -> Any:
    return Bucket(word, metadata) if word.startswith(SCHEME) else Folder(word)


def _path(folder: Folder, item: Item) -> str:
    return os.path.join(folder.path, item.name)


PERMISSIONS = {
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
}


def explained(refused: Refused) -> Failure:
    """Return what a refusal means for the whole."""
    bucket = refused.bucket
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


def work(order: dict[str, Any]) -> int:
    """Carry an order out; return the exit code."""
    teller = Teller()
    threading.Thread(target=post.leave_with_input, daemon=True).start()
    threading.Thread(target=teller.keep_telling, daemon=True).start()
    try:
        held = post.take_lock(f"{order['source']}\n{order['dest']}")
        outcome = Carrier(order, teller).run()
        os.close(held)
        failure = None
    except Failure as error:
        failure = error
    except Refused as error:
        failure = explained(error)
    except NoRole:
        fix = "launch it with one (--instance-profile NAME); aspot roles create NAME --bucket BUCKET makes one"
        failure = Failure("it has no instance profile, so it has no credentials for S3", fix, EXIT_USE)
    except OSError as error:
        failure = Failure(f"{error.filename or 'the machine'}: {error.strerror or error}")
    teller.flush()
    if failure is not None:
        teller.say(error=failure.message, fix=failure.fix, code=failure.code)
        return failure.code
    teller.say(outcome=outcome)
    return EXIT_CLOUD if outcome["failed"] else 0
