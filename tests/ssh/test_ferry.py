"""A folder here synced with one of a machine that lies: nothing lands outside of it, nothing false is believed."""

from __future__ import annotations

import hashlib
import json
import sys

import pytest

from aspot.errors import AspotError, ConfigError, LinkError
from aspot.storage.copying import How
from aspot.storage.ferry import Ferry
from aspot.transfers.sync import NoWatch

pytestmark = pytest.mark.anyio

GOOD = b"content"


@pytest.fixture
async def connection(guest, remote):
    made = await remote.log_in(guest.target(), silence_s=60)
    yield made
    made.abort()


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "here" / "into"
    folder.mkdir(parents=True)
    return folder


def lie(guest, *pieces: bytes) -> None:
    """Have the machine's Python say these pieces, each when a line has come."""
    liar = guest.folder / "liar.py"
    for number, piece in enumerate(pieces):
        (guest.folder / f"piece{number}").write_bytes(piece)
    liar.write_text(f"""
import sys
put, source = sys.stdout.buffer, sys.stdin.buffer
source.read(int(sys.argv[3]))
source.readline()
put.write(b"@aspot\\n")
put.flush()
for number in range({len(pieces)}):
    source.readline()
    put.write(open({str(guest.folder)!r} + f"/piece{{number}}", "rb").read())
    put.flush()
source.read()
""")
    guest.shim("python3", f'#!/bin/sh\nexec {sys.executable} -I {liar} "$@"\n')


def line(**words: object) -> bytes:
    return json.dumps(words).encode() + b"\n"


def listing(*rows: object) -> bytes:
    return line(files=rows) + line(end=True, skipped={})


def sent(content: bytes, *, sha: str = "", mtime: object = 1e9) -> bytes:
    frames = b"%d\n%s0\n" % (len(content), content)
    return line(comes=True) + frames + line(sha256=sha or hashlib.sha256(content).hexdigest(), mtime=mtime, x=False)


def outside(into):
    return {str(path) for path in into.parent.rglob("*") if into not in path.parents}


async def bring(connection, into, **how):
    ferry = Ferry(here=into, there="data", is_upload=False, how=How(**how))
    return await ferry.run(connection, label="box_1", watch=NoWatch())


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/tmp/x",
        "a/../../x",
        "a/./b",
        "a//b",
        "",
        ".",
        "a\nb",
        "\x1b[2J",
        "\ud800",
        "x" * 256,
        "d/" * 70 + "x",
        "a\\b",
    ],
)
async def test_a_hostile_name_is_never_asked_for(guest, connection, into, name):
    before = outside(into)
    lie(guest, listing([name, 1, 1e9], ["good", len(GOOD), 1e9]), sent(GOOD))
    outcome = await bring(connection, into)
    assert outcome.copied == ["good"]
    (why,) = outcome.failed.values()
    assert why.startswith("not taken: ")
    assert all(key.isprintable() for key in outcome.failed)
    assert outside(into) == before
    assert [path.name for path in into.rglob("*")] == ["good"]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"nonsense\n"],
        [b"[1]\n"],
        [listing(["a", -1, 1e9])],
        [listing(["a", 1.5, 1e9])],
        [listing(["a", 1, float("nan")])],
        [listing(["a", 1, 1e300])],
        [listing(["a", 1])],
        [listing([1, 1, 1])],
        [listing(["a", 7, 1e9]), line(comes=True) + b"8\ncontents0\n"],
        [listing(["a", 7, 1e9]), line(comes=True) + b"-7\ncontent0\n"],
        [listing(["a", 7, 1e9]), line(comes=True) + b"7" * 40 + b"\n"],
        [listing(["a", 7, 1e9]), sent(GOOD, mtime="now")],
    ],
)
async def test_what_makes_no_sense_is_refused(guest, connection, into, pieces):
    lie(guest, *pieces)
    with pytest.raises(LinkError, match="box_1: the machine's answer makes no sense"):
        await bring(connection, into)
    assert [path.name for path in into.rglob("*") if not path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (sent(GOOD, sha="0" * 64), "not what was sent"),
        (sent(b"short"), "it changed"),
        (line(failed="gone"), "gone"),
        (line(comes=True) + b"0\n" + line(failed="\x1b[2Jred"), "\\x1b[2Jred"),
    ],
)
async def test_a_file_that_is_not_what_it_should_be_is_not_placed(guest, connection, into, answer, why):
    (into / "a").write_bytes(b"old")
    lie(guest, listing(["a", len(GOOD), 1e9]), answer)
    outcome = await bring(connection, into)
    assert why in outcome.failed["a"]
    assert (into / "a").read_bytes() == b"old"


async def test_a_strange_name_there_is_no_matter_for_an_upload(guest, connection, into):
    lie(guest, listing(["../x", 1, 1e9], ["b", 1, 1e9]))
    up = Ferry(here=into, there="data", is_upload=True, how=How())
    assert (await up.run(connection, label="box_1", watch=NoWatch())).ok
    lie(guest, listing(["../x", 1, 1e9], ["b", 1, 1e9]), line(refused={"b": "busy"}))
    up = Ferry(here=into, there="data", is_upload=True, how=How(delete=True))
    outcome = await up.run(connection, label="box_1", watch=NoWatch())
    assert sorted(outcome.failed) == ["../x", "b"]
    assert outcome.deleted == []


async def test_its_own_words_are_passed_on(guest, connection, into):
    lie(guest, line(error="no room", fix="make some", code=3))
    with pytest.raises(AspotError, match="box_1: no room"):
        await bring(connection, into)
    lie(guest, line(error="not there", fix="", code=2))
    with pytest.raises(ConfigError, match="box_1: not there"):
        await bring(connection, into)


async def test_without_python_it_says_so(guest, connection, into):
    guest.shim("python3", "#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(LinkError, match="box_1 cannot copy: broken") as caught:
        await bring(connection, into)
    assert "python3" in caught.value.fix


async def test_a_beginning_that_is_not_the_same_is_not_built_upon(guest, connection, into):
    (guest.home / "data").mkdir()
    content = b"x" * (9 << 20)
    (guest.home / "data" / "big").write_bytes(content)
    (into / ".big.aspot-part").write_bytes(b"y" * (1 << 20))
    assert (await bring(connection, into)).copied == ["big"]
    assert (into / "big").read_bytes() == content
    (into / "big").write_bytes(b"z" * (9 << 20))
    (guest.home / "data" / ".big.aspot-part").write_bytes(b"y" * (1 << 20))
    back = Ferry(here=into, there="data", is_upload=True, how=How())
    assert (await back.run(connection, label="box_1", watch=NoWatch())).copied == ["big"]
    assert (guest.home / "data" / "big").read_bytes() == b"z" * (9 << 20)
