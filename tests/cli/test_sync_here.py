"""`aspot sync` between a folder here and one of a machine, both ways."""

import os
import signal
from pathlib import Path

import pytest
from local_world import json_lines, until
from processes import OnTerminal, Piped

MIB = 1 << 20
BIG = 20 * MIB


def put(path, content, *, mode=0o644):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def sync(aspot, *words):
    code, out, err = aspot("sync", *words, "--json")
    assert code == 0, err
    (told,) = json_lines(out)
    return told


def test_there_and_back_and_only_what_changed(aspot, machine):
    home = machine.home()
    contents = {"a.txt": b"one", "sub/deep/ü +%&.txt": b"two", "empty": b"", "big": os.urandom(BIG)}
    contents |= {f"many/{number}": b"%d" % number for number in range(150)}
    for name, content in contents.items():
        put(Path("here", name), content)
    put("here/run.sh", b"#!/bin/sh\n", mode=0o755)
    contents["run.sh"] = b"#!/bin/sh\n"
    told = sync(aspot, "here", "box:data")
    assert sorted(told["copied"]) == sorted(contents)
    assert (told["bytes"], told["machine"]) == (sum(map(len, contents.values())), "box")
    assert tree(home / "data") == contents
    assert os.access(home / "data" / "run.sh", os.X_OK)
    assert not os.access(home / "data" / "a.txt", os.X_OK)
    assert sync(aspot, "box_1:~/data", "back")["bytes"] == told["bytes"]
    assert tree("back") == contents
    assert os.access("back/run.sh", os.X_OK)
    for words in (("here", "box:data"), ("box:data", "back"), ("here", "box:data", "--checksum")):
        told = sync(aspot, *words)
        assert (told["copied"], told["same"], told["bytes"]) == ([], len(contents), 0)

    put("here/a.txt", b"new")  # of the same size
    put("here/big", contents["big"])  # only its time is another: looked into, and not sent
    os.unlink("here/empty")
    code, out, _ = aspot("sync", "here", "box:data", "--delete", "--dry-run")
    assert (code, out.splitlines()) == (0, ["would copy a.txt", "would delete empty"])
    assert (home / "data" / "empty").exists()
    told = sync(aspot, "here", "box:data", "--delete")
    assert (told["copied"], told["deleted"], told["same"]) == (["a.txt"], ["empty"], len(contents) - 2)
    assert tree(home / "data") == tree("here")
    assert (home / "data" / "big").stat().st_mtime == pytest.approx(Path("here/big").stat().st_mtime, abs=0.01)
    put("back/only-here", b"1")
    told = sync(aspot, "box:data", "back", "--delete")
    assert (told["copied"], sorted(told["deleted"])) == (["a.txt"], ["empty", "only-here"])
    assert tree("back") == tree("here")


def test_what_stands_in_the_way_is_named_and_the_rest_goes_on(aspot, machine):
    home = machine.home()
    put("here/a", b"1")
    put("here/folder", b"2")
    os.mkfifo("here/pipe")
    (home / "data" / "folder").mkdir(parents=True)
    (home / "data").chmod(0o777)
    code, out, err = aspot("sync", "here", "box:data", "--json")
    (told,) = json_lines(out)
    assert (code, told["copied"], list(told["failed"]), list(told["skipped"])) == (3, ["a"], ["folder"], ["pipe"])
    assert "not copied: folder: " in err
    put(home / "out" / "a", b"1")
    put(home / "out" / "b" / "c", b"2")
    put(home / "out" / "back\\slash", b"3")
    (home / "out" / "far").symlink_to("/etc")
    elsewhere = Path("elsewhere").absolute()
    elsewhere.mkdir()
    put("back/a/x", b"")
    Path("back/b").symlink_to(elsewhere)
    code, out, err = aspot("sync", "box:out", "back", "--json")
    (told,) = json_lines(out)
    assert (code, told["copied"], list(told["skipped"])) == (3, [], ["far"])
    assert sorted(told["failed"]) == ["a", "b/c", "back\\slash"]
    assert os.listdir(elsewhere) == [], "no link here is followed"
    for words, code, said in (
        (("box:none", "back"), 2, "box_1: none is not there"),
        (("box:out/a", "back"), 2, "box_1: out/a is a file"),
        (("here/a", "box:data"), 2, "here/a is a file"),
        (("here", "box:/proc/x"), 3, "not copied: a: "),
        (("here", "none:data"), 2, "nothing called 'none' is running"),
        (("none", "box:data"), 2, "no such file here: none"),
    ):
        found = aspot("sync", *words)
        assert (found[0], said in found[2]) == (code, True), found
        assert "Traceback" not in found[2]


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_broken_connection_is_made_again_and_nothing_is_sent_twice(machine, wire, start, way):
    home, content = machine.home(), os.urandom(MIB) * 40
    here = Path("here").absolute()
    put((here if way == "there" else home / "data") / "big", content)
    wire.proxy.up.bytes_per_s = wire.proxy.down.bytes_per_s = 30 << 20
    words = ("here", "box:data") if way == "there" else ("box:data", "here")
    process = start(Piped, "sync", *words, program=wire.aspot)
    partial = (home / "data" if way == "there" else here) / ".big.aspot-part"
    until(lambda: partial.exists() and partial.stat().st_size > 16 * MIB)
    before = wire.proxy.up.passed + wire.proxy.down.passed
    wire.reset()
    assert process.end() == 0, process.err
    assert "the connection to box_1 broke; connecting again" in process.err
    assert tree(here) == tree(home / "data") == {"big": content}
    assert wire.proxy.up.passed + wire.proxy.down.passed - before < 30 * MIB


def test_a_client_that_was_killed_goes_on(aspot, machine, wire, start):
    home, content = machine.home(), os.urandom(MIB) * 40
    put("here/a", b"1")
    put("here/big", content)
    wire.proxy.up.bytes_per_s = 20 << 20
    process = start(Piped, "sync", "here", "box:data", program=wire.aspot)
    partial = home / "data" / ".big.aspot-part"
    until(lambda: partial.exists() and partial.stat().st_size > 16 * MIB)
    process.kill()
    before = wire.proxy.up.passed
    wire.proxy.up.bytes_per_s = float("inf")
    process = start(Piped, "sync", "here", "box:data", "--json", program=wire.aspot)
    assert process.end() == 0, process.err
    (told,) = json_lines(process.out)
    assert (told["copied"], told["same"]) == (["big"], 1)
    assert wire.proxy.up.passed - before < 30 * MIB
    assert tree(home / "data") == {"a": b"1", "big": content}


def test_two_pairs_at_once_again_and_again(machine, start):
    home = machine.home()
    put("here/a", b"1")
    put(home / "out" / "b", b"2")
    words = ("here", "box:data", "box:out", "back", "--every", "1s", "--json")
    process = start(Piped, "sync", *words)
    until(lambda: (home / "data/a").exists() and Path("back/b").exists(), what=lambda: process.out + process.err)
    put("here/c", b"3")
    put(home / "out" / "d", b"4")
    until(lambda: (home / "data/c").exists() and Path("back/d").exists(), what=lambda: process.out + process.err)
    process.signal(signal.SIGINT)
    assert process.end() == 130
    copied = {(line["source"], name) for line in json_lines(process.out) for name in line["copied"]}
    assert copied == {("here", "a"), ("here", "c"), ("out", "b"), ("out", "d")}
    assert "the same command goes on from here" in process.err
    assert "Traceback" not in process.err


def test_the_view_shows_each(machine, start):
    put("one/big", bytes(30 * MIB))
    put("two/big", bytes(30 * MIB))
    process = start(OnTerminal, "sync", "one", "box:1", "two", "box:2")
    assert process.end() == 0
    assert "one → box:1: 1 file copied" in process.said
    assert "two → box:2: 1 file copied" in process.said


def test_between_two_folders_of_a_machine(aspot, machine):
    home = machine.home()
    put(home / "data" / "a", b"1")
    put(home / "data" / "b" / "run", os.urandom(BIG), mode=0o755)
    told = sync(aspot, "box:data", "box:copy")
    assert sorted(told["copied"]) == ["a", "b/run"]
    assert tree(home / "copy") == tree(home / "data")
    assert os.access(home / "copy" / "b" / "run", os.X_OK)
    assert sync(aspot, "box:data", "box:copy", "--checksum")["same"] == 2
    put(home / "data" / "a", b"2")
    put(home / "copy" / "more", b"")
    told = sync(aspot, "box:data", "box:copy", "--delete")
    assert (told["copied"], told["deleted"]) == (["a"], ["more"])
    code, _, err = aspot("sync", "box:data", "box:data/in")
    assert (code, "is in the other" in err) == (2, True)
