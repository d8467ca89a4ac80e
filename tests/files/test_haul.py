"""What comes home: the machine's claims are judged, its stream is checked to the last byte."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspot.files import haul
from aspot.files.haul import Damaged, Listed, Unpacker, choose, parse_listing, room_at
from aspot.files.landing import Landing
from aspot.files.patterns import parse
from tests.files.test_names import HOSTILE, RAW

ROOM = 1 << 30


def listed(name, size=0, *, kind="f", mode=0o644, is_readable=True):
    raw = name if isinstance(name, bytes) else name.encode()
    return Listed(raw=raw, kind=kind, mode=mode, size=size, is_readable=is_readable)


def chosen(*entries, patterns=("out",), room=ROOM):
    return choose(entries, parse(patterns)[0], room=room)


def names(choice):
    return ["/".join(file.parts) for file in choice.files]


# --- the listing ---


def test_both_kinds_of_listing_are_read():
    gnu = b"rf644 3 ./out/a b\0rd755 4096 ./out\0-l777 0 ./out/link\0"
    assert parse_listing("G", gnu) == (
        listed("./out/a b", 3),
        listed("./out", 4096, kind="d", mode=0o755),
        listed("./out/link", 0, kind="l", mode=0o777, is_readable=False),
    )
    modes = [
        stat.S_IFREG | 0o600,
        stat.S_IFDIR | 0o700,
        stat.S_IFLNK | 0o777,
        stat.S_IFIFO,
        stat.S_IFSOCK,
        stat.S_IFBLK,
    ]
    lines = b"".join(b"%x 3\n" % mode for mode in modes)
    found = parse_listing("B", b"".join(b"./%d\0" % number for number in range(6)), lines)
    assert [entry.kind for entry in found] == ["f", "d", "l", "p", "s", "c"]
    assert parse_listing("G", b"\0") == parse_listing("B", b"\0") == ()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"r",
        b"rf644",
        b"rf644 3",
        b"  x",
        b"r 3 x",
        b" 3 x",
        b"rf9 3 x",
        b"rf644 -1 x",
        b"rf644 ? x",
        b"rf644 1e9 x",
        b"\xff\xff 3 x",
        b"rf644 " + b"9" * 5000 + b" x",
    ],
)
def test_listings_that_make_no_sense_are_damaged(record):
    with pytest.raises(Damaged):
        parse_listing("G", record + b"\0" + b"rf644 3 ok\0")


@pytest.mark.parametrize(
    ("names_", "lines"), [(b"a\0b\0", b"81a4 3\n"), (b"a\0", b"81a4 3\n81a4 3\n"), (b"a\0", b"x\n")]
)
def test_lines_that_do_not_fit_the_names_are_damaged(names_, lines):
    with pytest.raises(Damaged):
        parse_listing("B", names_, lines)


@given(st.sampled_from("GB"), st.binary(max_size=60), st.binary(max_size=30))
def test_any_bytes_are_a_listing_or_damaged(kind, raw, lines):
    try:
        found = parse_listing(kind, raw, lines)
    except Damaged:
        return
    choose(found, parse(["out"])[0], room=ROOM)


def test_an_endless_listing_is_damaged(monkeypatch):
    monkeypatch.setattr(haul, "MOST_LISTED", 3)
    with pytest.raises(Damaged, match="more than 3 files"):
        parse_listing("G", b"rf644 3 x\0" * 4)


# --- the choice ---


@pytest.mark.parametrize("raw", HOSTILE[3:])
def test_hostile_names_are_told_and_not_taken(raw):
    choice = chosen(listed(b"out/ok"), listed(raw), patterns=["."])
    assert names(choice) == ["out/ok"]
    assert not choice.folders
    assert "not taken: " in choice.missing[-1]
    assert choice.missing[-1].isprintable()


@pytest.mark.parametrize(
    ("kind", "why"), [("l", "link"), ("p", "FIFO"), ("s", "socket"), ("c", "device"), ("b", "device"), ("?", "neither")]
)
def test_only_files_and_folders_come_home(kind, why):
    choice = chosen(listed("out/x", kind=kind), listed("out/ok"))
    assert names(choice) == ["out/ok"]
    assert len(choice.missing) == 1
    assert choice.missing[0].startswith("out/x (")
    assert why in choice.missing[0]


def test_what_is_not_there_is_missing():
    choice = chosen(listed("out", kind="d"), listed("out/a"), patterns=["out/", "logs", "*.bin", "out/a", "out/*.txt"])
    assert names(choice) == ["out/a"]
    assert choice.missing == ("logs", "*.bin", "out/*.txt")


def test_what_was_not_asked_for_is_not_taken():
    choice = chosen(listed("src/x"), listed("outer"), listed("x/out"), listed("out/ok"))
    assert names(choice) == ["out/ok"]
    assert choice.missing == ()


def test_a_name_that_comes_twice_is_taken_once():
    choice = chosen(listed("out/x", 1), listed("out/x", 5), listed("./out/x", 7), listed("out/x", kind="d"))
    assert [(file.parts, file.size) for file in choice.files] == [(("out", "x"), 1)]
    assert choice.folders == ()


def test_what_cannot_be_read_there_is_told():
    assert chosen(listed("out/x", is_readable=False)).missing == ("out/x (not readable there)",)


def test_bytes_are_capped():
    choice = chosen(listed("out/a", 6), listed("out/huge", 1 << 60), listed("out/b", 5), listed("out/c", 4), room=10)
    assert names(choice) == ["out/a", "out/c"]
    assert choice.size == 10
    assert choice.missing == ("out/huge (more than may be brought home)", "out/b (more than may be brought home)")


def test_files_and_folders_and_complaints_are_capped(monkeypatch):
    monkeypatch.setattr(haul, "MOST_FILES", 3)
    monkeypatch.setattr(haul, "MOST_FOLDERS", 5)
    monkeypatch.setattr(haul, "MOST_MISSING", 2)
    assert len(chosen(*(listed(f"out/{number}") for number in range(9))).files) == 3
    deep = chosen(*(listed(f"out/{number}/" + "d/" * 60 + "x") for number in range(9)))
    assert (len(deep.files), len(deep.missing)) == (0, 2)
    folders = chosen(*(listed(f"out/{number}", kind="d") for number in range(9)))
    assert (len(folders.folders), len(folders.missing)) == (4, 2)


def test_there_is_room_on_a_disk(tmp_path):
    assert 0 < room_at(tmp_path) < os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize


# --- the stream ---


def batch(*contents, prefix=b""):
    sums = b"".join(prefix + hashlib.sha256(content).hexdigest().encode() + b"  out/x\n" for content in contents)
    return b"%d\n" % len(contents) + b"".join(contents) + sums


def unpack(folder, files, stream, *, step=1 << 16):
    """Feed a stream; return the unpacker when it says that it is done."""
    folder.mkdir(exist_ok=True)
    with Landing(folder) as landing:
        unpacker = Unpacker(landing, chosen(*files, patterns=["."]).files)
        for at in range(0, len(stream), step):
            unpacker.feed(stream[at : at + step])
        return unpacker


def on_disk(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = (listed("out/a", 3), listed("out/deep/b", 0), listed("run", 5, mode=0o755))
WHOLE = batch(b"one", b"") + batch(b"three", prefix=b"\\") + b"end\n"


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_whole_stream_is_written_down(tmp_path, step):
    unpacker = unpack(tmp_path / "root", FILES, WHOLE, step=step)
    assert unpacker.is_done
    assert unpacker.refused == []
    assert on_disk(tmp_path / "root") == {"out/a": b"one", "out/deep/b": b"", "run": b"three"}
    assert stat.S_IMODE((tmp_path / "root" / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "root" / "out" / "a").stat().st_mode) == 0o600


def test_nothing_to_bring_is_a_stream_too(tmp_path):
    assert unpack(tmp_path / "root", (), b"end\n").is_done


@given(st.integers(0, len(WHOLE) - 1))
@settings(max_examples=60, deadline=None)
def test_a_stream_that_is_cut_short_is_never_done(tmp_path_factory, length):
    assert not unpack(tmp_path_factory.mktemp("root") / "x", FILES, WHOLE[:length]).is_done


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_damage_or_changes_nothing(tmp_path_factory, at, byte):
    """Whatever one byte becomes: the files are right if it counts as whole (names beside hashes don't matter)."""
    root = tmp_path_factory.mktemp("root") / "x"
    stream = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    try:
        is_done = unpack(root, FILES, stream).is_done
    except Damaged:
        return
    if is_done:
        assert on_disk(root) == {"out/a": b"one", "out/deep/b": b"", "run": b"three"}


@pytest.mark.parametrize(
    "stream",
    [
        batch(b"two"),  # another content than its hash
        b"1\nONE" + hashlib.sha256(b"one").hexdigest().encode() + b"  x\n",
        b"0\n",
        b"-1\n",
        b"4\n",
        b"one\n",
        b"\n",
        b"9" * 5000 + b"\n",
        b"x" * 70000,
        batch(b"one", b"", b"three") + b"more\n",
        batch(b"one", b"", b"three") + batch(b"x"),
        batch(b"one", b"")[:-66] + b"\n" * 66,
    ],
)
def test_streams_that_are_not_as_announced_are_damaged(tmp_path, stream):
    if stream == batch(b"two"):
        stream = stream.replace(b"two", b"TWO")
    with pytest.raises(Damaged):
        unpack(tmp_path / "root", FILES, stream)


def test_a_file_that_became_longer_is_damaged(tmp_path):
    content = b"one and more"
    stream = b"1\n" + content + hashlib.sha256(content).hexdigest().encode() + b"  x\n"
    with pytest.raises(Damaged, match="changed meanwhile"):
        unpack(tmp_path / "root", FILES[:1], stream)


def test_a_name_that_is_file_and_folder_loses_one_not_all(tmp_path):
    files = (listed("out/x", 1), listed("out/x/y", 1), listed("out/z", 1))
    unpacker = unpack(tmp_path / "root", files, batch(b"1", b"2", b"3") + b"end\n")
    assert unpacker.is_done
    assert [file.raw for file in unpacker.refused] == [b"out/x/y"]
    assert on_disk(tmp_path / "root") == {"out/x": b"1", "out/z": b"3"}


def test_a_name_that_this_disk_does_not_take_loses_one_not_all(tmp_path):
    long = "/".join(["x" * 255] * 16)
    files = (listed(long, 1), listed("out/z", 1))
    unpacker = unpack(tmp_path / "root", files, batch(b"1", b"3") + b"end\n")
    assert [file.raw for file in unpacker.refused] == [long.encode()]
    assert on_disk(tmp_path / "root") == {"out/z": b"3"}


def test_a_link_planted_in_the_way_loses_one_not_all(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    unpacker = unpack(tmp_path / "root", (listed("out/x", 1), listed("z", 1)), batch(b"1", b"3") + b"end\n")
    assert [file.raw for file in unpacker.refused] == [b"out/x"]
    assert not (tmp_path / "x").exists()


def test_a_full_disk_is_said_and_nothing_stays_open(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(haul, "_write", full)
    with pytest.raises(OSError, match="No space"):
        unpack(tmp_path / "root", FILES, WHOLE)
    monkeypatch.setattr(Landing, "create", full)
    with pytest.raises(OSError, match="No space"):
        unpack(tmp_path / "other", FILES, WHOLE)
    assert len(os.listdir("/dev/fd")) == before


@given(st.lists(st.tuples(RAW, st.sampled_from("fdlps"), st.integers(0, 3)), max_size=8), st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_a_lying_machine_stays_in_its_folder(tmp_path_factory, entries, noise):
    world = tmp_path_factory.mktemp("world")
    (world / "canary").write_bytes(b"canary")
    files = [listed(raw, size, kind=kind) for raw, kind, size in entries]
    wanted = chosen(*files, patterns=["."]).files
    honest = (batch(*(b"x" * file.size for file in wanted)) if wanted else b"") + b"end\n"
    assert unpack(world / "honest", files, honest).is_done
    with contextlib.suppress(Damaged):
        unpack(world / "lying", files, noise)
    assert {path.name for path in world.iterdir()} == {"canary", "honest", "lying"}
    assert (world / "canary").read_bytes() == b"canary"
    for path in world.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.is_file()
