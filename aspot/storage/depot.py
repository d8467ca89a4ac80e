"""A folder of a machine, served to a client that syncs with it: listed, hashed, written to and read from.

Travels there with `porter`: plain Python 3.8 of the standard library. The client asks by lines of JSON, and is answered
in order. Contents travel in frames, a line with their length before each and a `0` after the last, then a line of JSON
with their SHA-256. A line `{}` may come between any two and means that somebody is at work.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import threading
import time
from typing import Any, BinaryIO

from aspot.storage import partials, post, rules
from aspot.storage.post import EXIT_USE, Failure

BATCH = 500
FRAME = rules.MIB
ALIVE_S = 10.0
CHANGED = "it changed while it was copied; the same command copies it anew"


class Out:
    """Writes to the client, and now and then that somebody is at work."""

    def __init__(self, target: BinaryIO) -> None:
        self._target, self._lock = target, threading.Lock()

    def say(self, **words: object) -> None:
        """Write a line."""
        self.write(json.dumps(words).encode() + b"\n")

    def write(self, content: bytes) -> None:
        """Write."""
        with self._lock:
            self._target.write(content)
            self._target.flush()

    def keep_telling(self) -> None:
        """Say now and then that somebody is at work, for ever."""
        while True:
            time.sleep(ALIVE_S)
            self.say()


class Depot:
    """One folder.

    Args:
        folder: Below the user's home unless absolute.
        source: Where the client asks.
        out: Where it is answered.
    """

    def __init__(self, folder: str, source: BinaryIO, out: Out) -> None:
        self._folder = os.path.expanduser(folder)
        self._in, self._out = source, out
        self._begun: tuple[str, int, Any] = ("", 0, None)  # a file, how much of it was read, and its hash so far

    def serve(self) -> None:
        """Answer until the client has gone.

        Raises:
            Failure: If the folder cannot be used.
        """
        deeds = {
            "list": self.list,
            "hash": self.hash,
            "part": self.part,
            "put": self.put,
            "get": self.get,
            "touch": self.touch,
            "delete": self.delete,
        }
        while True:
            line = self._in.readline()
            if not line.endswith(b"\n"):
                return
            order = json.loads(line)
            try:
                deeds[order["do"]](order)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise post.full(self._folder) from error
                self._out.say(failed=error.strerror or str(error))

    def _path(self, order: dict[str, Any]) -> str:
        return os.path.join(self._folder, *rules.local_parts(order["name"]))

    def list(self, order: dict[str, Any]) -> None:
        """Name the files, each with its size and time, and what is left out."""
        skipped: dict[str, str] = {}
        if os.path.isdir(self._folder):
            batch = []
            for item in rules.files(self._folder, skipped.__setitem__):
                batch.append(item[:3])
                if len(batch) >= BATCH:
                    self._out.say(files=batch)
                    batch = []
            self._out.say(files=batch)
        elif order["is_source"] or os.path.lexists(self._folder):
            what = "a file" if os.path.lexists(self._folder) else "not there"
            raise Failure(f"{self._folder} is {what}", "name a folder of the machine", EXIT_USE)
        self._out.say(end=True, skipped=skipped)

    def hash(self, order: dict[str, Any]) -> None:
        """Tell the SHA-256 of a file, or of so many bytes at its beginning."""
        self._tell_hash(order, self._path(order), order.get("length"))

    def part(self, order: dict[str, Any]) -> None:
        """Tell what a broken copy left of a file: its length and SHA-256."""
        there, _ = partials.partial(self._path(order))
        if not os.path.isfile(there):
            self._out.say(length=0, sha256="")
            return
        self._tell_hash(order, there, None)

    def _tell_hash(self, order: dict[str, Any], path: str, most: int | None) -> None:
        digest, length = hashlib.sha256(), 0
        with open(path, "rb") as source:
            while most is None or length < most:
                piece = source.read(FRAME if most is None else min(FRAME, most - length))
                if not piece:
                    break
                digest.update(piece)
                length += len(piece)
        self._begun = (order["name"], length, digest.copy())
        self._out.say(length=length, sha256=digest.hexdigest())

    def _digest(self, order: dict[str, Any]) -> Any:
        """Return the hash of what the client has, or sends no more, of a file: what was told last."""
        if not order["start"]:
            return hashlib.sha256()
        name, length, digest = self._begun
        if (name, length) != (order["name"], order["start"]):
            raise OSError(errno.EINVAL, "it was not asked what is there")
        return digest.copy()

    def put(self, order: dict[str, Any]) -> None:
        """Take a file, which appears whole, once its hash is right."""
        failed, target, there, path = "", None, "", ""
        digest = hashlib.sha256()
        try:
            path, digest = self._path(order), self._digest(order)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, "a folder of that name is there")
            there, _ = partials.partial(path)
            target = open(there, "r+b" if order["start"] else "wb")  # noqa: SIM115 - closed below
            target.seek(order["start"])
            target.truncate()
        except OSError as error:
            failed = _why(error, self._folder)
        try:
            for piece in self._frames():
                if target is not None and not failed:
                    digest.update(piece)
                    try:
                        target.write(piece)
                    except OSError as error:
                        failed = _why(error, self._folder)
        finally:
            if target is not None:
                target.close()
        end = json.loads(self._in.readline() or b"{}")
        if not end:
            return  # the client has gone; the rest comes another time
        if failed or "sha256" not in end:
            self._out.say(failed=failed or CHANGED)
            return
        if end["sha256"] != digest.hexdigest():
            os.unlink(there)
            self._out.say(failed="what came is not what was sent (checksum); the same command copies it anew")
            return
        if end["x"]:
            partials.let_run(there)
        partials.place(there, path, end["mtime"])
        self._out.say(done=True)

    def _frames(self) -> Any:
        while True:
            left = int(self._in.readline() or b"0")
            if not left:
                return
            while left:
                piece = self._in.read(left)
                if not piece:
                    return
                left -= len(piece)
                yield piece

    def get(self, order: dict[str, Any]) -> None:
        """Send a file, or what follows so many bytes at its beginning."""
        digest = self._digest(order)
        with open(self._path(order), "rb") as source:
            before = os.fstat(source.fileno())
            if before.st_size != order["size"]:
                self._out.say(failed=CHANGED)
                return
            self._out.say(comes=True)
            source.seek(order["start"])
            left = before.st_size - order["start"]
            while left:
                piece = source.read(min(FRAME, left))
                if not piece:
                    break
                left -= len(piece)
                digest.update(piece)
                self._out.write(b"%d\n" % len(piece) + piece)
            after = os.fstat(source.fileno())
        self._out.write(b"0\n")
        if left or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._out.say(failed=CHANGED)
            return
        self._out.say(sha256=digest.hexdigest(), mtime=before.st_mtime, x=bool(before.st_mode & 0o100))

    def touch(self, order: dict[str, Any]) -> None:
        """Give a file, which was found to be the client's, the time that it has there."""
        os.utime(self._path(order), (order["mtime"], order["mtime"]))
        self._out.say(done=True)

    def delete(self, order: dict[str, Any]) -> None:
        """Delete files; tell those that were not, and why."""
        refused = {}
        for name in order["names"]:
            try:
                os.unlink(os.path.join(self._folder, *rules.local_parts(name)))
            except OSError as error:
                refused[name] = error.strerror or str(error)
        self._out.say(refused=refused)


def _why(error: OSError, folder: str) -> str:
    """Return why a file is not copied.

    Raises:
        Failure: If no other will be, either.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise post.full(folder) from error
    return error.strerror or str(error)


def serve(order: dict[str, Any]) -> int:
    """Serve a folder; return the exit code."""
    out = Out(sys.stdout.buffer)
    threading.Thread(target=out.keep_telling, daemon=True).start()
    try:
        held = post.take_lock(f"{order['folder']}\n{order['client']}")
        Depot(order["folder"], sys.stdin.buffer, out).serve()
        os.close(held)
    except Failure as failure:
        out.say(error=failure.message, fix=failure.fix, code=failure.code)
        return failure.code
    except BrokenPipeError:
        return post.EXIT_LEFT
    return 0
