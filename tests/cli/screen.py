"""A terminal that tmux plays on this side: keys go in, what its screen shows comes out as text."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


class Screen:
    """A screen with a shell of ours (bash, prompt `here$ `) in a tmux server of its own; everything shown is recorded.

    Args:
        folder: Where the server's socket and its shell's files go.
        columns, rows: Its size.
    """

    def __init__(self, folder: Path, *, columns: int = 100, rows: int = 30) -> None:
        self.record: list[str] = []
        self._socket = folder / "screen"
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        conf = folder / "screen.conf"
        conf.write_text("set -g default-terminal screen-256color\nset -g status off\nset -g escape-time 0\n")
        shell = "env -u TMUX -u TMUX_PANE PS1='here$ ' bash --norc --noprofile"
        words = ["-f", str(conf), "new-session", "-d", "-s", "s", "-x", str(columns), "-y", str(rows), shell]
        self._tmux(*words)
        self.shows("here$")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self._socket), *words], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout

    def run(self, *words: str) -> None:
        """Type a command line into the shell here."""
        self.type(shlex.join(words))
        self.key("Enter")

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", "s", "-l", text)

    def key(self, *names: str) -> None:
        """Press keys by tmux's names: `Enter`, `C-c`, `Escape`."""
        self._tmux("send-keys", "-t", "s", *names)

    def enter(self, text: str) -> None:
        self.type(text)
        self.key("Enter")

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-t", "s", "-x", str(columns), "-y", str(rows))

    def text(self, *, colours: bool = False) -> str:
        """What the screen shows now, without blank lines at its end."""
        shown = self._tmux("capture-pane", "-p", "-t", "s", *(["-e"] if colours else []))
        return "\n".join(line.rstrip() for line in shown.rstrip().splitlines())

    def shows(self, wanted: str | Callable[[str], object], *, within_s: float = 60.0, colours: bool = False) -> str:
        """Wait until the screen shows a text (or one that a test holds for); return all of it."""
        deadline = time.monotonic() + within_s
        while True:
            text = self.text(colours=colours)
            if wanted in text if isinstance(wanted, str) else wanted(text):
                self.record.append(text)
                return text
            assert time.monotonic() < deadline, f"{wanted!r} was not shown:\n{text}"
            time.sleep(0.05)

    def close(self) -> None:
        self._tmux("kill-server")
