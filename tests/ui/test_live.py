"""The live view on a real terminal (a pty): what it writes there, what keys do, and how it leaves the terminal."""

import contextlib
import os
import re
import sys
import termios
import threading
from pathlib import Path

import anyio
import attrs
import pexpect
import pytest
from rich.console import Console

from aspot.machine import news as nw
from aspot.ui.live import LiveView

CHILD = Path(__file__).with_name("live_child.py")
OURS = re.compile(rb"\x1b\[[0-9;]*[mAK]|\x1b\[\?25[hl]|\x1b\[1A|\x1b\[2K|\r")
"""All that rich's Live sends of itself: colours, cursor up, erase line, cursor on and off, carriage return."""


@pytest.fixture
def live(tmp_path):
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    env.pop("NO_COLOR", None)
    child = pexpect.spawn(
        sys.executable, [str(CHILD), str(tmp_path / "stop")], env=env, dimensions=(24, 100), timeout=20
    )
    child.delaybeforesend = None
    child.stop = (tmp_path / "stop").touch
    yield child
    child.close(force=True)


def modes(child):
    return termios.tcgetattr(child.child_fd)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def seen(child, pattern):
    child.expect(pattern)
    return child.before + child.after


def test_what_it_shows_and_how_it_leaves_the_terminal(live):
    before = modes(live)
    raw = seen(live, "Ctrl-C stops everything, l logs")
    assert modes(live) == termios.ISIG
    assert b"warned:" in raw
    assert b"epoch 7" not in raw
    live.send("l")
    raw += seen(live, r"train \| epoch 7")
    raw += seen(live, "l hides logs")
    live.send("l")
    raw += seen(live, "everything, l logs")
    live.stop()
    live.expect(pexpect.EOF)
    raw += live.before
    assert raw.rstrip().endswith(b"ended")
    assert raw.rindex(b"\x1b[?25h") > raw.rindex(b"\x1b[?25l")
    assert_no_hostile_bytes(raw)
    assert before == termios.ICANON | termios.ECHO | termios.ISIG


def assert_no_hostile_bytes(raw):
    text = OURS.sub(b"", raw).decode("utf-8")
    left = [character for character in text if not character.isprintable() and character != "\n"]
    assert left == []


def test_ctrl_c_puts_the_terminal_back(live):
    before = modes(live)
    raw = seen(live, "Ctrl-C stops everything")
    live.sendintr()
    live.expect("KeyboardInterrupt")
    raw += live.before
    assert modes(live) == before
    assert raw.rindex(b"\x1b[?25h") > raw.rindex(b"\x1b[?25l")


# --- without a terminal of our own: what it costs, and that it never stalls the loop ---


def console_on(fd):
    """Return a console that owns this terminal: closing its file closes it, whatever could not be written."""
    stream = os.fdopen(fd, "w", encoding="utf-8")
    return Console(file=stream, force_terminal=True, width=100, height=30, markup=False, highlight=False)


async def drain(fd, into):
    while True:
        try:
            into.append(await anyio.to_thread.run_sync(os.read, fd, 65536, abandon_on_cancel=True))
        except OSError:
            return


async def test_a_stopped_terminal_does_not_stop_the_news(scenes):
    """Nobody reads the terminal: its buffer is full at once, and the writer blocks, in its thread."""
    main, side = os.openpty()
    console = console_on(side)
    taken = []
    left = threading.Event()

    class Leaving(LiveView):
        def _leave(self, live, get_run):
            try:
                super()._leave(live, get_run)
            finally:
                left.set()

    async def news():
        for number in range(3000):
            yield scenes.told(nw.LogLine, line="x" * 400)
            taken.append(number)
            if number % 10 == 0:
                await anyio.sleep(0.001)

    try:
        view = Leaving(logs=True, console=console, stdin_fd=side)
        with anyio.fail_after(60):
            await view.watch(news(), scenes.study)
        assert len(taken) == 3000
    finally:
        os.close(main)  # whoever still writes is told so
        await anyio.to_thread.run_sync(left.wait, 20)  # only then may the other number be given to somebody else
        with contextlib.suppress(OSError):
            console.file.close()


async def test_too_many_lines_are_counted_not_shown(scenes):
    main, side = os.openpty()
    console = console_on(side)
    got = []

    async def news():
        for number in range(1000):
            yield scenes.told(nw.LogLine, line=f"line {number}")
        await anyio.sleep(0.3)

    async with anyio.create_task_group() as group:
        group.start_soon(drain, main, got)
        await LiveView(logs=True, console=console, stdin_fd=side).watch(news(), scenes.study)
        console.file.close()  # what was written is read to its end
    os.close(main)
    text = b"".join(got).decode()
    assert "line 199" in text
    assert "line 200" not in text
    assert "… 800 lines not shown here" in text


async def test_two_hundred_jobs_are_drawn_with_little_work(scenes):
    """Every event changes the run; drawing still takes a small share of one processor."""
    machines = [scenes.instance(number) for number in range(200)]
    jobs = [scenes.job(f"j{number}", scenes.attempt(f"j{number}", machine)) for number, machine in enumerate(machines)]
    pictures = []

    class Counted(LiveView):
        def _picture(self, run, *, footer):
            pictures.append(footer)
            return super()._picture(run, footer=footer)

    seen_events = iter(range(10**6))

    async def news():
        for _ in range(200):
            yield scenes.told(nw.CheckpointSaved)
            await anyio.sleep(0.005)

    with open(os.devnull, "w") as nothing:
        console = Console(file=nothing, force_terminal=True, width=100, height=40, markup=False)
        run = scenes.run(jobs, machines, spec={"limit": 200})
        await Counted(console=console, stdin_fd=-1).watch(news(), lambda: attrs.evolve(run, seen=next(seen_events)))
    assert 2 <= len(pictures) <= 8
