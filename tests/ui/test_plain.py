import contextlib
import io
import os
import sys

import anyio
import pytest

from aspot.machine import news as nw
from aspot.ui.lines import Digest, names, sentence
from aspot.ui.plain import PlainView
from aspot.ui.pump import Out


@pytest.fixture
def told(scenes):
    """Return what a digest makes of news that came together."""

    def tell(*news, logs=False):
        digest = Digest(logs=logs)
        for item in news:
            digest.take(item)
        return [text for _, text in digest.lines()]

    return tell


def test_launches_that_come_together_are_one_line(scenes, told):
    pools = [("c7g.large", "us-east-1a")] * 5 + [("m7g.large", "us-east-1c")] * 3
    news = [scenes.told(nw.InstanceLaunched, type=kind, zone=zone) for kind, zone in pools]
    assert told(*news) == ["8 machines launched: 5 × c7g.large us-east-1a, 3 × m7g.large us-east-1c"]


def test_starts_and_successes_that_come_together_are_one_line(scenes, told):
    started = [scenes.told(nw.JobStarted, job=f"j{number}") for number in range(5)]
    ended = [scenes.told(nw.JobEnded, job=f"j{number}") for number in range(2)]
    assert told(*started, *ended) == ["j0, j1, j2 and 2 more started", "j0 and j1 succeeded"]


def test_failures_and_second_attempts_get_a_line_each(scenes, told):
    failed = [scenes.told(nw.JobEnded, job=name, status="failed", message=f"{name} failed: exit 3") for name in "ab"]
    again = scenes.told(nw.JobStarted, attempt=2, message="c started again on lr-study_2")
    assert told(*failed, again) == ["a failed: exit 3", "b failed: exit 3", "c started again on lr-study_2"]


def test_what_is_not_worth_a_line(scenes, told):
    silent = (nw.InstanceReady, nw.InstanceEnded, nw.CheckpointSaved, nw.FilesSent, nw.FilesReceived, nw.FleetFinished)
    assert told(*(scenes.told(kind) for kind in silent), scenes.told(nw.LogLine)) == []


def test_an_interruption_is_told_with_what_was_saved(scenes, told):
    assert told(
        scenes.told(nw.NoticeReceived, message="notice for lr-study_1: 120 s"),
        scenes.told(nw.CheckpointSaved, message="train: checkpoint saved, 4 MB"),
        scenes.told(nw.InstanceEnded, reason="interrupted by EC2"),
        scenes.told(nw.InstanceEnded, reason="interrupted by EC2", instance="lr-study_2", message="lr-study_2 is gone"),
    ) == ["notice for lr-study_1: 120 s", "train: checkpoint saved, 4 MB", "lr-study_2 is gone"]


def test_a_refusal_is_told_once_a_pool(scenes, told):
    again = [scenes.told(nw.LaunchRefused, message="c7g.large us-east-1a is full") for _ in range(3)]
    other = scenes.told(nw.LaunchRefused, pool="m7g.large us-east-1c", message="m7g.large us-east-1c is full")
    assert told(*again, other) == ["c7g.large us-east-1a is full", "m7g.large us-east-1c is full"]


def test_output_is_shown_where_it_is_wanted(scenes, told):
    assert told(scenes.told(nw.LogLine, line="epoch 1\r\n"), logs=True) == ["train | epoch 1"]


def test_what_is_left_is_told(scenes, told):
    assert told(scenes.told(nw.FleetFinished, left=("i-1",), message="left: i-1")) == ["left: i-1"]


def test_news_without_a_message_still_say_something(scenes):
    assert sentence(scenes.told(nw.BudgetReached)) == "train lr-study_1 budget reached"


def test_names():
    assert names(["a"]) == "a"
    assert names(["a", "b", "c"]) == "a, b and c"


async def listed(*news, pause_s=0.0):
    for item in news:
        yield item
    await anyio.sleep(pause_s)


async def test_lines_carry_the_time_since_the_start(scenes):
    stream = io.StringIO()
    news = listed(
        scenes.told(nw.JobStarted, at=12, message="train started on lr-study_1"),
        scenes.told(nw.JobEnded, at=72, message="train succeeded"),
    )
    await PlainView(stream=stream).watch(news, scenes.study)
    assert stream.getvalue() == "   0:12  train started on lr-study_1\n   1:12  train succeeded\n"


async def test_a_minute_of_silence_brings_the_headline(scenes):
    stream, moments = io.StringIO(), iter([60, 100, 130, 131, 140])
    view = PlainView(stream=stream, now=lambda: scenes.at(next(moments, 140)))
    await view.watch(listed(pause_s=1.2), scenes.study)
    assert stream.getvalue().startswith("   2:10  lr-study  3/8 done, 5 running, ")
    assert len(stream.getvalue().splitlines()) == 1


async def test_hostile_news_are_shown_safely(scenes):
    stream = io.StringIO()
    news = [scenes.told(nw.Warned, message=raw) for raw in scenes.hostile]
    news += [scenes.told(nw.LogLine, job=raw, line=raw) for raw in scenes.hostile]
    news += [scenes.told(nw.JobStarted, job=raw) for raw in scenes.hostile]
    news += [scenes.told(nw.InstanceLaunched, type=raw, zone=raw) for raw in scenes.hostile]
    await PlainView(stream=stream, logs=True).watch(listed(*news), scenes.study)
    assert all(character.isprintable() for character in stream.getvalue().replace("\n", ""))
    assert len(stream.getvalue().splitlines()) == 2 * len(scenes.hostile) + 2


# --- the stream ---


async def test_a_reader_that_has_gone_is_no_error():
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:
        out = Out(stream)
        await out.line("first")
        os.close(reading)
        for _ in range(3):
            await out.line("nobody reads this")


async def test_a_slow_reader_stops_its_writer_and_nobody_else():
    reading, writing = os.pipe()
    with contextlib.suppress(BrokenPipeError), open(writing, "w", encoding="utf-8") as stream:
        with anyio.move_on_after(1) as scope:
            for _ in range(100):
                await Out(stream).line("x" * 5000)
        assert scope.cancelled_caught
        os.close(reading)


async def test_a_narrow_encoding_is_no_error():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    await Out(stream).line("5 × c7g.large")
    assert raw.getvalue() == b"5 \\xd7 c7g.large\n"


async def test_a_broken_pipe_leaves_no_trace_at_the_end_of_the_program():
    program = (
        "import anyio, sys\n"
        "from aspot.ui.pump import Out\n"
        "async def main():\n"
        "    out = Out(sys.stdout)\n"
        "    sys.stdin.readline()\n"
        "    for _ in range(3):\n"
        "        await out.line('x')\n"
        "anyio.run(main)\n"
    )
    with anyio.fail_after(30):
        async with await anyio.open_process([sys.executable, "-c", program], stderr=-1) as process:
            await process.stdout.aclose()
            await process.stdin.send(b"go\n")
            said = b"".join([chunk async for chunk in process.stderr])
            await process.wait()
    assert (process.returncode, said) == (0, b"")
