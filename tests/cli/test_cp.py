"""`aspot cp`: both directions, whole or not at all, whatever the machine calls its files."""

import os
import subprocess
from pathlib import Path

import pytest
from local_world import until, write
from processes import OnTerminal, Piped

from aspot.cli import cp


@pytest.fixture
def tree(cloud):
    write("src/a.txt", "a\n")
    write("src/deep/b c.txt", "b\n")
    write("src/.hidden/.venv", "kept: nothing is left out of a copy\n")
    os.symlink("a.txt", "src/link")
    Path("src/run.sh").write_text("#!/bin/sh\n")
    Path("src/run.sh").chmod(0o755)
    Path("src/empty").mkdir()
    return Path("src")


def found(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


FILES = [".hidden/.venv", "a.txt", "deep/b c.txt", "link", "run.sh"]


def test_there_and_back(aspot, machine, tree):
    home = machine.home()
    assert aspot("cp", tree, "box:") == (0, "", "4 files, 50 B to box_1\n")
    assert found(home / "src") == FILES
    assert (home / "src/empty").is_dir()
    assert os.readlink(home / "src/link") == "a.txt"
    assert os.access(home / "src/run.sh", os.X_OK)
    assert not os.access(home / "src/a.txt", os.X_OK)
    (home / "src/link").unlink()
    assert aspot("cp", "-q", "box:src", "back") == (0, "", "")
    assert found(Path("back")) == [name for name in FILES if name != "link"]
    assert Path("back/empty").is_dir()
    assert os.access("back/run.sh", os.X_OK)
    assert Path("back/deep/b c.txt").read_text() == "b\n"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".aspot")] == []
    assert [path.name for path in home.iterdir() if path.name.startswith(".aspot-cp")] == []


def test_names_are_those_of_cp(aspot, machine, tree):
    home = machine.home()
    assert aspot("cp", "src/a.txt", "box:new/place/b.txt")[0] == 0
    assert (home / "new/place/b.txt").read_text() == "a\n"
    assert aspot("cp", "src/a.txt", "src/run.sh", "box_1:~/new")[0] == 0, "several go into a folder"
    assert aspot("cp", "src/a.txt", "box/one:new/made/")[0] == 0, "a slash makes a folder"
    assert found(home / "new") == ["a.txt", "made/a.txt", "place/b.txt", "run.sh"]
    assert aspot("cp", "src/.", f"box:{home.parent.parent.name}-absent")[0] == 0
    write("a.txt", "newer\n")
    assert aspot("cp", "a.txt", "box:/home/ec2-user/new")[0] == 0, "what is there is replaced"
    assert (home / "new/a.txt").read_text() == "newer\n"
    write("new/extra.txt", "extra\n")
    assert aspot("cp", "new", "box:")[0] == 0, "a folder is merged into one that is there"
    assert found(home / "new") == ["a.txt", "extra.txt", "made/a.txt", "place/b.txt", "run.sh"]
    assert aspot("cp", "box:new/a.txt", "here.txt")[0] == 0
    assert Path("here.txt").read_text() == "newer\n"
    assert aspot("cp", "box:new/*.txt", "box:new/made", "some/where")[0] == 0
    assert found(Path("some/where")) == ["a.txt", "extra.txt", "made/a.txt"]
    assert aspot("cp", "box:new/*/?.txt", "deep/")[0] == 0
    assert found(Path("deep")) == ["made/a.txt", "place/b.txt"]
    assert aspot("cp", "box:new/**/a.txt", "deeper/")[0] == 0
    assert found(Path("deeper")) == ["a.txt", "made/a.txt"]
    assert aspot("cp", "box:/etc/hostname", ".")[0] == 0
    assert Path("hostname").exists()


def test_a_big_file_in_pieces(aspot, machine):
    content = os.urandom(1 << 20) * 24
    Path("big").write_bytes(content)
    assert aspot("cp", "big", "box:") == (0, "", "1 file, 25 MB to box_1\n")
    assert aspot("cp", "box:big", "again") == (0, "", "1 file, 25 MB from box_1\n")
    assert Path("again").read_bytes() == content


def test_what_a_machine_may_call_its_files(aspot, machine, tmp_path):
    """Links, FIFOs, names that steer a terminal: told, not brought, and nothing lands outside."""
    home = machine.home()
    (home / "odd").mkdir(mode=0o777)
    (home / "odd").chmod(0o777)
    write(home / "odd/good.txt", "good\n")
    (home / "odd/good.txt").chmod(0o644)
    write(home / "odd/back\\slash", "no\n")
    write(home / "odd/esc\x1b[2J", "no\n")
    os.symlink("/etc/passwd", home / "odd/passwd")
    os.symlink("/etc", home / "odd/folder")
    os.mkfifo(home / "odd/pipe")
    code, _, err = aspot("cp", "box:odd", ".")
    assert code == 3
    assert found(Path("odd")) == ["good.txt"]
    assert "\x1b" not in err
    for told in ("odd/passwd (a link, not brought home)", "odd/pipe (a FIFO, not brought home)", "a backslash in it"):
        assert told in err
    code, _, err = aspot("cp", "box:odd/passwd", "p.txt")
    assert code == 0, "a link that is named is followed, as cp does"
    assert Path("p.txt").read_text() != ""


def test_nothing_lands_through_a_link_here(aspot, machine, tmp_path):
    """A link in the way is not followed: the machine must not choose a place of its own."""
    (tmp_path / "elsewhere").mkdir()
    Path("dest/src").mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere", "dest/src/deep")
    os.symlink(tmp_path / "elsewhere/file", "dest/src/a.txt")
    write("src/deep/b.txt", "b\n")
    write("src/a.txt", "a\n")
    assert aspot("cp", "-q", "src", "box:")[0] == 0
    code, _, err = aspot("cp", "box:src", "dest")
    assert (code, list((tmp_path / "elsewhere").iterdir())) == (3, [])
    assert "src/deep" in err
    assert "something else of that name is here" in err
    assert Path("dest/src/a.txt").read_text() == "a\n"
    assert not Path("dest/src/a.txt").is_symlink()


def test_wrong_words(aspot, machine, tree):
    for words, said in (
        (["src", "dst"], "error: one side of a copy is a machine, the other is here"),
        (["box:a", "box:b"], "error: one side of a copy is a machine, the other is here"),
        (["src", "box:a", "box:b"], "error: one side of a copy is a machine, the other is here"),
        (["src"], "error: name what to copy, and where to"),
        (["nothing", "box:"], "error: no such file here: nothing"),
        (["nope:x", "."], "error: nothing called 'nope' is running"),
        (["box:nothing", "."], "error: box:nothing is not there"),
        (["box:*.nothing", "."], "error: box:*.nothing is not there"),
        (["box:no/such/folder/x", "."], "error: box_1: "),
    ):
        code, out, err = aspot("cp", *words)
        assert (code, out) == (3 if "box_1" in said else 2, ""), words
        assert err.startswith(said), err
    assert found(Path()) == [f"{name}" for name in sorted([*(f"src/{item}" for item in FILES), "one.sh"])]
    code, _, err = aspot("cp", "src", "box:/proc/nothing")
    assert code == 3
    assert err.startswith("error: box_1: ")
    assert aspot("cp", "src/a.txt", "box:src")[0] == 0
    code, _, err = aspot("cp", "src", "box:")
    assert (code, err) == (3, "error: box_1: src is a file there\n")


def test_a_name_with_a_colon_is_a_file_when_it_is_one_here(cloud):
    write("box:x", "")
    assert cp._End.of("box:x") == cp._End("", "box:x")
    assert cp._End.of("box:y") == cp._End("box", "y")
    assert cp._End.of("./z:y") == cp._End("", "./z:y")
    assert cp._End.of("lr-study/train:out/*.pt") == cp._End("lr-study/train", "out/*.pt")


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_connection_that_breaks_changes_nothing(machine, wire, way):
    Path("big").write_bytes(os.urandom(1 << 20) * 40)
    home = machine.home()
    if way == "back":
        (home / "big").write_bytes(Path("big").read_bytes())
        (home / "big").chmod(0o644)
    wire.limit(8 << 20)
    words = ["big", "box:new/"] if way == "there" else ["box:big", "back"]
    done = subprocess.run([*wire.aspot, "cp", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr.count("copying again from the beginning") == cp.TRIES - 1
    assert "error: box_1: " in done.stderr
    assert ("nothing was changed there" if way == "there" else "nothing of big was changed here") in done.stderr
    assert found(Path()) == ["big", "one.sh"]
    until(lambda: found(home / "new") == [] if (home / "new").exists() else True)


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_copy_goes_on_over_another_connection(machine, wire, start, way):
    content = os.urandom(1 << 20) * 40
    Path("big").write_bytes(content)
    home = machine.home()
    if way == "back":
        (home / "big").write_bytes(content)
        (home / "big").chmod(0o644)
    wire.proxy.up.bytes_per_s = wire.proxy.down.bytes_per_s = 30 << 20
    copied = start(Piped, "cp", *(["big", "box:new"] if way == "there" else ["box:big", "back"]), program=wire.aspot)
    until(lambda: wire.proxy.up.passed + wire.proxy.down.passed > 4 << 20)
    wire.reset()
    assert copied.end() == 0, copied.err
    assert copied.err.startswith("the connection to box_1 broke: copying again from the beginning\n")
    assert (home / "new" if way == "there" else Path("back")).read_bytes() == content


def test_a_folder_whose_arrival_was_not_heard_of_does_not_go_into_itself(machine, tmp_path):
    """The second try means what the first one did, though the folder is there by now."""
    import asyncio

    from aspot.ssh.copy import Upload
    from aspot.way import Way

    write("tree/a.txt", "a\n")
    upload = Upload(items=[(Path("tree"), "tree")], dest="new", how="as")

    async def twice():
        for _ in range(2):
            connection = await Way.to("box").connect()
            assert await upload.send(connection, progress=lambda _done, _total: None) == (1, 2)
            connection.abort()

    asyncio.run(twice())
    assert found(machine.home() / "new") == ["a.txt"]


def test_progress_on_a_terminal(machine, start):
    Path("big").write_bytes(bytes(1 << 20) * 60)
    copied = start(OnTerminal, "cp", "big", "box:")
    copied.says("to box_1: ")
    copied.says(" of 63 MB, ")
    copied.says("1 file, 63 MB to box_1")
    assert copied.end() == 0
