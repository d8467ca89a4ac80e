"""Parts of machines by themselves: messages with descriptors, files, tasks, folders, what is known of the host."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from aspot.local.guests import shared
from aspot.local.guests.crew import Crew
from aspot.local.guests.inside.files import OPERATIONS, open_file
from aspot.local.guests.inside.wire import Broken, Wire, encode
from aspot.local.guests.layout import remove_tree
from aspot.local.guests.leftovers import kill_marked
from aspot.local.guests.link import Link, MachineGone, MessageSocket
from aspot.local.guests.shared import Owner, Shared


@pytest.fixture
def wires():
    left, right = socket.socketpair()
    with left, right:
        yield Wire(left), Wire(right)


def test_messages_arrive_whole_with_their_descriptors(wires, tmp_path):
    sender, receiver = wires
    with open(tmp_path / "a", "w+") as first, open(tmp_path / "b", "w+") as second:
        first.write("a"), second.write("b")
        first.flush(), second.flush()
        sender.send({"n": 1})
        sender.send({"n": 2}, [first.fileno()])
        sender.send({"n": 3, "odd": "a\udcff"})
        sender.send({"n": 4}, [second.fileno(), first.fileno()])
    got = []
    while len(got) < 4:
        got += receiver.receive()
    assert [message["n"] for message, _fds in got] == [1, 2, 3, 4]
    assert got[2][0]["odd"] == "a\udcff"
    assert [[_content(fd) for fd in fds] for _message, fds in got] == [[], ["a"], [], ["b", "a"]]


def _content(fd):
    assert not os.get_inheritable(fd)
    with os.fdopen(fd) as file:
        file.seek(0)
        return file.read()


def test_a_message_in_pieces_is_one_message(wires):
    sender, receiver = wires
    line = encode({"text": "x" * 100})
    sender.sock.sendall(line[:50])
    assert receiver.receive() == []
    sender.sock.sendall(line[50:] + line[:10])
    assert [message["text"] for message, _fds in receiver.receive()] == ["x" * 100]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"fds":"x"}\n', b"\xff\n"])
def test_what_is_no_message_breaks_the_wire(wires, line):
    sender, receiver = wires
    sender.sock.sendall(line)
    with pytest.raises(Broken):
        receiver.receive()


def test_descriptors_nobody_asked_for_are_closed(wires):
    sender, receiver = wires
    reader, writer = os.pipe()
    socket.send_fds(sender.sock, [encode({"n": 1})], [writer])
    receiver.receive()
    os.close(writer)
    sender.sock.close()
    with pytest.raises(Broken):
        receiver.receive()
    assert os.read(reader, 1) == b""
    os.close(reader)


async def test_much_is_sent_without_waiting_for_the_other_side(until):
    ours, theirs = socket.socketpair()
    ended = []
    mine = MessageSocket(ours, on_message=lambda *_: None, on_end=lambda: ended.append(1))
    reader, writer = os.pipe()
    for number in range(200):
        mine.send({"n": number, "pad": "x" * 10_000}, [os.dup(reader)])
    os.close(reader)
    other, got = Wire(theirs), []
    while len(got) < 200:
        got += await asyncio.to_thread(other.receive)
    assert [message["n"] for message, _fds in got] == list(range(200))
    for _message, fds in got:
        os.close(*fds)
    theirs.close()
    await until(lambda: ended)
    mine.send({"n": 1}, [writer])
    mine.close()
    with pytest.raises(OSError, match="Bad file"):
        os.close(writer)


async def test_an_init_that_talks_nonsense_is_cut_off(until):
    ours, theirs = socket.socketpair()
    ended, exits = [], []
    link = Link(ours, on_control=lambda _line: None, on_end=lambda: ended.append(1))
    link.spawn(["x"], path="/x", env={}, fds=[], on_exit=exits.append)
    theirs.sendall(encode({"event": "exited"}))
    await until(lambda: ended)
    assert exits == [None]
    with pytest.raises(MachineGone):
        await link.ready()
    with pytest.raises(MachineGone):
        await link.file("stat", "/")
    link.spawn(["x"], path="/x", env={}, fds=[os.dup(0)], on_exit=exits.append)
    await until(lambda: exits == [None, None])
    theirs.close()


async def test_who_waits_for_a_file_hears_of_the_end():
    ours, theirs = socket.socketpair()
    link = Link(ours, on_control=lambda _line: None, on_end=lambda: None)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_outcome(link))
        await asyncio.sleep(0)
        link.close()
    assert asked.result() is MachineGone
    theirs.close()


async def _outcome(link):
    try:
        return await link.file("stat", "/")
    except OSError as error:
        return type(error)


def test_file_operations(tmp_path):
    path = str(tmp_path / "d/f")
    OPERATIONS["write"](path, "a\udcff", 0o640, False)
    OPERATIONS["write"](path, "b", 0o640, True)
    assert Path(path).read_bytes() == b"a\xffb"
    assert OPERATIONS["read"](path) == "a\udcffb"
    mode, size, *_ = OPERATIONS["stat"](path)
    assert (stat.S_IMODE(mode), size) == (0o640, 3)
    OPERATIONS["set"](path, {"size": 1, "mode": 0o600, "times_ns": [1, 2], "owner": [os.getuid(), os.getgid()]}, True)
    assert OPERATIONS["lstat"](path)[-2:] == [1, 2]
    assert [name for name, _fields in OPERATIONS["scan"](str(tmp_path / "d"))] == [".", "..", "f"]
    with pytest.raises(FileExistsError):
        OPERATIONS["rename_new"](path, path)
    OPERATIONS["rename_new"](path, path + "2")
    assert OPERATIONS["space"](path + "2")[0] > 0
    os.mkfifo(path)
    with pytest.raises(PermissionError):
        open_file(path, os.O_RDONLY, 0)


async def test_a_task_that_fails_is_logged_and_ends_no_other(caplog, until):
    crew = Crew()
    await crew.start()
    lasting = asyncio.Event()

    async def fail():
        raise ValueError("no")

    async def last():
        try:
            await asyncio.sleep(1000)
        finally:
            lasting.set()

    with caplog.at_level(logging.ERROR):
        crew.start_soon(fail(), name="failing")
        crew.start_soon(last(), name="lasting")
        await until(lambda: caplog.records)
    assert caplog.records[0].task == "failing"
    assert not lasting.is_set()
    await crew.aclose()
    assert lasting.is_set()
    with pytest.raises(RuntimeError):
        crew.start_soon(fail(), name="late")


def test_a_tree_is_removed_whatever_its_modes_and_never_through_links(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "tree/a/b/file").write_text("x")
    (tmp_path / "tree/a/link").symlink_to(outside)
    (tmp_path / "tree/a/b").chmod(0)
    (tmp_path / "tree/a").chmod(0o500)
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert (outside / "file").exists()


def test_a_mark_nobody_carries_finds_nobody():
    assert kill_marked(f"ASPOT_PARK={os.urandom(8).hex()}") == 0


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("/root", True),
        ("/data/home/u", True),
        ("/srv/app", True),
        ("/", False),
        ("/srv", False),
        ("/usr/sbin", False),
        ("/home/u", False),
        ("/tmp/home", False),
        ("/var/tmp/home", False),
    ],
)
def test_only_homes_are_hidden(path, hidden):
    assert shared._is_home(path) is hidden


def test_the_shared_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "lacks_python", lambda: True)
    made = Shared(tmp_path / "shared")
    made.create()
    assert {path.name for path in (made.folder / "bin").iterdir()} == {*shared.SHIMS, "shim", "python3"}
    assert os.access(made.folder / "bin/systemctl", os.X_OK)
    (passwd, _), (group, _) = made.accounts("u", home="/home/u", shell="/bin/dash", owner=Owner(5, 6))
    assert (made.folder / passwd).read_text().startswith("u:x:5:6:u:/home/u:/bin/dash\n")
    assert "u:x:6:" in (made.folder / group).read_text()


def test_a_resolver_below_run_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(shared.os.path, "realpath", lambda _path: "/run/there/resolv.conf")
    monkeypatch.setattr(shared.os.path, "isfile", lambda _path: True)
    monkeypatch.setattr(Path, "read_text", lambda _path: "nameserver 127.0.0.53\n")
    assert shared.resolver.__wrapped__() == ("/run/there/resolv.conf", "nameserver 127.0.0.53\n")
