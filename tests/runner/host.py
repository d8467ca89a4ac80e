"""A process that stands for a machine's init: runs commands on request and reaps whatever is left to it.

Read from stdin: one JSON object a line, `{"id", "argv", "env", "cwd", "stdin"}`; written to stdout: `{"id", "code",
"out", "err"}`.
When stdin ends, everything it ever started is killed.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
running = {}


def start(request):
    files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed with the answer
    files[0].write(request["stdin"].encode("latin-1"))
    files[0].seek(0)
    child = subprocess.Popen(
        request["argv"],
        env=request["env"],
        cwd=request["cwd"],
        start_new_session=True,
        stdin=files[0],
        stdout=files[1],
        stderr=files[2],
    )
    running[child.pid] = (request["id"], child, files)


def reap():
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in running:
            answer(*running.pop(pid), os.waitstatus_to_exitcode(status))


def answer(number, child, files, code):
    child.returncode = code
    texts = []
    for file in files[1:]:
        file.seek(0)
        texts.append(file.read().decode("latin-1"))
    for file in files:
        file.close()
    print(json.dumps({"id": number, "code": code, "out": texts[0], "err": texts[1]}), flush=True)


def end_all():
    """Kill every descendant: those deeper down become children of ours when their parents die."""
    deadline = time.monotonic() + 10
    while (found := list(children())) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0)[0] not in found[-1:]:
                pass


def children():
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and parent(name) == os.getpid():
                yield int(name)


def parent(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    watch = selectors.DefaultSelector()
    watch.register(0, selectors.EVENT_READ)
    watch.register(wake, selectors.EVENT_READ)
    held = b""
    while True:
        for key, _ in watch.select():
            chunk = os.read(key.fd, 1 << 20)
            if key.fd == wake:
                reap()
                continue
            if not chunk:
                end_all()
                return
            held += chunk
            *lines, held = held.split(b"\n")
            for line in lines:
                start(json.loads(line))


if __name__ == "__main__":
    sys.exit(main())
