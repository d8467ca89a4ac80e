"""A machine that lies about everything: nothing lands outside the folder, nothing false is believed (THREATS T3)."""

from __future__ import annotations

import hashlib
import os
import sys

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aspot.errors import LinkError
from aspot.files import haul
from aspot.machine.model import JobSpec
from aspot.ports import LinkDropped
from tests.ssh.guest import Sink

pytestmark = pytest.mark.anyio

SPEC = JobSpec(name="job", script="x", command="x", download=("out", "**"))
STATUS = b"v1 rc=0 why=exit end=1700000000 boot=b out=0 err=0 ok\n"
NO_LOGS = b"0 0\n0 0\n"


def record(name: bytes, *, kind: bytes = b"f", mode: bytes = b"644", size: int = 1, readable: bytes = b"r") -> bytes:
    return b"%s%s%s %d %s\0" % (readable, kind, mode, size, name)


def lie(guest, *pieces: bytes) -> None:
    """Put a program in the runner's place that says these pieces, the second after the choice came."""
    liar = guest.folder / "liar.py"
    pieces = tuple(piece for piece in pieces if piece)
    for number, piece in enumerate(pieces):
        (guest.folder / f"piece{number}").write_bytes(piece)
    liar.write_text(f"""
import sys
out = sys.stdout.buffer
def say(number):
    out.write(open({str(guest.folder)!r} + f"/piece{{number}}", "rb").read()); out.flush()
while sys.stdin.buffer.readline().strip():
    pass
out.write(b"@aspot\\n")
say(0)
if {len(pieces)} > 1:
    chosen = sys.stdin.buffer.read()
    open({str(guest.folder)!r} + "/chosen", "wb").write(chosen)
    say(1)
""")
    (guest.home / ".aspot/run").write_text(f"exec {sys.executable} -I {liar}\n")


def contents(*files: bytes) -> bytes:
    """What an honest machine would send for these contents, in one batch."""
    sums = b"".join(hashlib.sha256(file).hexdigest().encode() + b"  name\n" for file in files)
    return b"%d\n" % len(files) + b"".join(files) + sums + b"end\n"


def listing(*records: bytes) -> bytes:
    return STATUS + NO_LOGS + b"G\n" + b"".join(records) + b"\0"


def outside(into):
    """Everything around the landing folder, to the byte."""
    found = {}
    for path in sorted(into.parent.rglob("*")):
        if into not in path.parents and "guest" not in path.parts:
            found[str(path)] = path.read_bytes() if path.is_file() and not path.is_symlink() else path.is_symlink()
    return found


HOSTILE = [
    b"../escaped",
    b"/tmp/aspot-escaped",
    b"./../escaped",
    b"./out/../../escaped",
    b"./out/..",
    b"./out/.",
    b"./out//x",
    b"./out/a\\..\\b",
    b"./out/a\nb",
    b"./out/\x1b[2Jx",
    b"./out/\x00"[:-1] + b"\x7f",
    b"./out/" + b"x" * 256,
    b"./" + b"d/" * 70 + b"x",
    b"./out/\xff\xfe",
    b"./out/\xc2\x85",
    b"out/../x",
    b"~/x/..",
    b"./out/" + "é".encode() * 130,
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_is_never_asked_for(link, guest, into, name):
    before = outside(into)
    lie(guest, listing(record(name), record(b"./out/good", size=2)), contents(b"ok"))
    found = await link.fetch_result(SPEC, 1, Sink(), into)
    assert found.files == ("out/good",)
    assert len(found.missing) == 1
    assert found.missing[0].isprintable()
    assert (guest.folder / "chosen").read_bytes() == b"./out/good\0"
    assert outside(into) == before
    assert [str(path.relative_to(into)) for path in sorted(into.rglob("*"))] == ["out", "out/good"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8, unique=True))
async def test_no_name_at_all_gets_out(link, guest, tmp_path_factory, names):
    into = tmp_path_factory.mktemp("landing") / "into"
    into.mkdir()
    before = outside(into)
    records = [record(name.replace(b"\0", b"/"), size=0) for name in names]
    lie(guest, listing(*records), contents(*[b""] * len(records)))
    try:
        found = await link.fetch_result(SPEC, 1, Sink(), into)
        assert all((into / name).is_file() for name in found.files)
    except LinkError:
        pass  # fewer were chosen than the lie sends
    assert outside(into) == before


async def test_links_and_special_files_are_never_made(link, guest, into):
    kinds = {b"l": "a link", b"p": "a FIFO", b"s": "a socket", b"c": "a device", b"b": "a device", b"D": "neither"}
    records = [record(b"./out/" + kind, kind=kind) for kind in kinds]
    lie(guest, listing(*records, record(b"./out/secret", readable=b"-")), b"end\n")
    found = await link.fetch_result(SPEC, 1, Sink(), into)
    assert found.files == ()
    assert [text in line for text, line in zip(kinds.values(), found.missing, strict=False)] == [True] * 6
    assert "not readable" in found.missing[6]


async def test_a_link_that_becomes_a_folder_is_a_folder_here(link, guest, into):
    lie(guest, listing(record(b"./out/l", kind=b"l"), record(b"./out/l/x", size=2)), contents(b"in"))
    found = await link.fetch_result(SPEC, 1, Sink(), into)
    assert (into / "out/l/x").read_bytes() == b"in"
    assert not (into / "out/l").is_symlink()
    assert found.files == ("out/l/x",)


async def test_a_file_that_is_a_folder_too_and_a_name_twice_are_said(link, guest, into):
    records = (record(b"./out/a", size=1), record(b"./out/a/b", size=1), record(b"./out/a", size=1))
    lie(guest, listing(*records), contents(b"1", b"2"))
    found = await link.fetch_result(SPEC, 1, Sink(), into)
    assert found.files == ("out/a",)
    assert (into / "out/a").read_bytes() == b"1"
    assert any("out/a/b" in line for line in found.missing)


async def test_modes_are_ours(link, guest, into):
    records = (record(b"./out/suid", mode=b"6777"), record(b"./out/plain", mode=b"0"))
    lie(guest, listing(*records), contents(b"1", b"2"))
    await link.fetch_result(SPEC, 1, Sink(), into)
    assert oct((into / "out/suid").stat().st_mode & 0o7777) == "0o700"
    assert oct((into / "out/plain").stat().st_mode & 0o7777) == "0o600"


async def test_more_than_may_be_brought_home_is_said_and_the_rest_comes(link, guest, into):
    lie(guest, listing(record(b"./out/huge", size=1 << 60), record(b"./out/good", size=2)), contents(b"ok"))
    found = await link.fetch_result(SPEC, 1, Sink(), into)
    assert found.files == ("out/good",)
    assert found.missing == ("out/huge (more than may be brought home)",)


async def test_too_many_files_are_cut(link, guest, into, monkeypatch):
    monkeypatch.setattr(haul, "MOST_FILES", 3)
    records = [record(b"./out/%d" % number, size=1) for number in range(5)]
    lie(guest, listing(*records), contents(b"1", b"2", b"3"))
    found = await link.fetch_result(SPEC, 1, Sink(), into)
    assert len(found.files) == 3
    assert len(found.missing) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"nonsense\n", b""),
        (STATUS.replace(b" ok", b""), b""),
        (STATUS + b"1 2\n0 0\n", b""),
        (STATUS + b"x y\n", b""),
        (STATUS.replace(b"out=0", b"out=9") + b"0 9\nshort", b""),
        (STATUS.replace(b"out=0", b"out=9") + b"0 0\n0 0\n", b""),
        (listing(b"rf644 -1 ./out/a\0"), b""),
        (listing(b"rf644 ./out/a\0"), b""),
        (listing(b"nonsense\0"), b""),
        (listing(record(b"./out/a", size=2)), contents(b"ab")[:-40]),
        (listing(record(b"./out/a", size=2)), contents(b"ab").replace(b"ab", b"xx")),
        (listing(record(b"./out/a", size=2)), b"2\nab\n"),
        (listing(record(b"./out/a", size=2)), b"0\n"),
        (listing(record(b"./out/a", size=2)), b"-1\n"),
        (listing(record(b"./out/a", size=2)), b"x" * 100_000),
        (listing(record(b"./out/a", size=2)), contents(b"ab").replace(b"end\n", b"more\n")),
    ],
)
async def test_what_makes_no_sense_is_an_error_that_names_the_machine(link, guest, into, first, second):
    lie(guest, first, second)
    with pytest.raises((LinkError, LinkDropped)) as caught:
        await link.fetch_result(SPEC, 1, Sink(), into)
    if isinstance(caught.value, LinkError):
        assert str(caught.value).startswith("t_1: ")


async def test_facts_are_taken_to_the_letter(link, guest):
    events = guest.home / ".aspot/events"
    lines = [
        "notice yesterday",
        "exited ../x 1",
        "exited job one",
        "hook job 1",
        "notice 2026-01-02T03:04:05Z",
        "rebalance",
        "x" * 3000,
        "exited job 99999999999999999999999999",
        "hook job 1 7",
        "\x1b[2J",
        "exited good 2 v1 rc=0 nonsense",
    ]
    events.write_text("\n".join(lines) + "\n")
    facts = []
    async for fact in link.watch():
        facts.append(repr(fact).partition("(")[0])
        if "good" in repr(fact):
            break
    assert facts == ["RunnerNotice", "RunnerRebalance", "RunnerExited", "RunnerHookDone", "RunnerExited"]


async def test_an_endless_line_of_events_is_not_kept(link, guest):
    with (guest.home / ".aspot/events").open("w") as events:
        events.write("x" * 1_000_000)
    with pytest.raises(LinkDropped):
        async for _ in link.watch():
            pass


async def test_output_that_does_not_fit_what_is_here_is_refused(link, guest):
    (guest.home / ".aspot/run").write_text("printf '@aspot\\n7 0\\nstdout'; printf '@aspot\\n0 0\\n' >&2\n")
    sink = Sink()
    with pytest.raises(LinkDropped):
        await link.follow("job", 1, sink)
    assert not sink.kept["stdout"]


async def test_a_full_disk_here_is_the_users_affair(link, guest):
    class Full(Sink):
        def write(self, stream, chunk):
            raise OSError(28, os.strerror(28))

    (guest.home / ".aspot/run").write_text("printf '@aspot\\n0 0\\nstdout'; printf '@aspot\\n0 0\\n' >&2; sleep 5\n")
    with pytest.raises(OSError, match="No space"):
        await link.follow("job", 1, Full())


@pytest.mark.parametrize("words", ["3 9", "0 3", "0 -7", "0", "0 x", "0 0 0", "x 0"])
async def test_what_it_says_of_its_outputs_limit_brings_nobody_to_a_loop(link, guest, words):
    sink = Sink()
    text = f"printf '@aspot\\n{words}\\nstdout'; printf '@aspot\\n0 0\\n' >&2; exec sleep 5\n"
    (guest.home / ".aspot/run").write_text(text)
    with anyio.fail_after(60), pytest.raises(LinkDropped):
        await link.follow("job", 1, sink)
    assert sink.offsets() in ((0, 0), (3, 0))


async def test_what_it_lists_of_a_run_is_bounded_and_names_are_judged(guest, remote):
    from tests.ssh.guest import LEASE

    link = await remote.connect(guest.target())
    await link.arm(LEASE)
    good = [f"job-{number} 1 {{}}" for number in range(3)]
    bad = ["../x 1 {}", "job 0 {}", "job 9999999999999999999 {}", "job -1 {}", "job", "", "- 1 {}", "job 1001 {}"]
    answer = "\n".join(["@aspot", "listing", *bad, *good, "end", ""])
    (guest.folder / "answer").write_text(answer)
    (guest.home / ".aspot/run").write_text(f"cat {guest.folder}/answer\n")
    assert await link.attempts() == [(f"job-{number}", 1, "{}") for number in range(3)]
    endless = f"printf '@aspot\\nlisting\\n'; exec {sys.executable} -I -c 'while True: print(\"job 1\")'\n"
    (guest.home / ".aspot/run").write_text(endless)
    assert len(await link.attempts()) == 10_000
    (guest.home / ".aspot/run").write_text("printf '@aspot\\n'; exec cat /dev/zero\n")
    with pytest.raises(LinkDropped):
        await link.attempts()
