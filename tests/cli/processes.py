"""`aspot` as a process of its own: in a pipe, or on a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pexpect
from nursery import Forked

ASPOT = [sys.executable, "-m", "aspot"]
END_S = SAYS_S = 60


class Piped:
    """A run of `aspot` whose output goes into pipes, read as it comes."""

    def __init__(self, *words: str, program: Sequence[str] = ()) -> None:
        if program:
            whole = [*program, *words]
            self._process = subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        else:
            self._process = Forked(words)
        self.pid = self._process.pid
        self._said = {"out": [], "err": []}
        self._readers = [self._read("out", self._process.stdout), self._read("err", self._process.stderr)]

    def _read(self, name, stream):
        def copy() -> None:
            with stream:
                for line in stream:
                    self._said[name].append(line)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        return thread

    @property
    def out(self) -> str:
        return "".join(self._said["out"])

    @property
    def err(self) -> str:
        return "".join(self._said["err"])

    def says(self, text: str, *, within_s: float = SAYS_S) -> None:
        """Wait until it has said this."""
        deadline = time.monotonic() + within_s
        while text not in self.out + self.err:
            assert self._process.poll() is None or text in self.out + self.err, f"it ended: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"{text!r} was not said: {self.out}{self.err}"
            time.sleep(0.05)

    def says_all(self, wanted: Sequence[re.Pattern[str]], *, within_s: float = SAYS_S) -> None:
        """Wait until what it has said matches all of these."""
        deadline = time.monotonic() + within_s
        while not all(item.search(self.out) for item in wanted):
            assert self._process.poll() is None, f"it ended: {self.out}{self.err}"
            assert time.monotonic() < deadline, f"{wanted} was not said: {self.out}{self.err}"
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def interrupt(self) -> None:
        """Press Ctrl-C, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def end(self, *, within_s: float = END_S) -> int:
        """Wait until it has ended; return its exit code."""
        code = self._process.wait(within_s)
        for reader in self._readers:
            reader.join(20)
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self.end()


class OnTerminal:
    """A run of `aspot` on a terminal of 100 columns."""

    def __init__(self, *words: str) -> None:
        environment = {**os.environ, "TERM": "xterm-256color"}
        self._child = pexpect.spawn(
            ASPOT[0], [*ASPOT[1:], *words], dimensions=(30, 100), env=environment, encoding="utf-8", timeout=SAYS_S
        )
        self.said = ""

    def says(self, text: str, *, within_s: float = SAYS_S) -> None:
        """Wait until it has said this."""
        try:
            self._child.expect_exact(text, timeout=within_s)
        except (pexpect.TIMEOUT, pexpect.EOF):
            raise AssertionError(f"{text!r} was not said: {self.said}{self._child.before}") from None
        self.said += self._child.before + self._child.after

    def ctrl_c(self) -> None:
        self._child.sendintr()

    def press(self, key: str) -> None:
        self._child.send(key)

    def end(self, *, within_s: float = END_S) -> int:
        """Wait until it has ended; return its exit code."""
        try:
            self._child.expect(pexpect.EOF, timeout=within_s)
        except pexpect.TIMEOUT:
            raise AssertionError(f"it did not end: {self.said}{self._child.before}") from None
        self.said += self._child.before
        self._child.close()
        return self._child.exitstatus if self._child.exitstatus is not None else -self._child.signalstatus

    def kill(self) -> None:
        self._child.close(force=True)
