"""Landing: whatever the names and whatever lies in the way, nothing is touched outside, nothing inside is replaced."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspot.files import landing as module
from aspot.files.landing import MOST_OPEN, Landing, is_about_name
from aspot.files.names import HostileName, components
from tests.files.test_names import RAW


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def put(landing, name, content=b"x", *, is_executable=False):
    fd = landing.create(tuple(name.split("/")), is_executable=is_executable)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def refuses(landing, name):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which of several it is depends on the disk
        put(landing, name)
    assert is_about_name(caught.value)


def open_files():
    return len(os.listdir("/dev/fd"))


def test_files_land_private_and_plain(root):
    old = os.umask(0)
    try:
        with Landing(root) as landing:
            put(landing, "a/b/c.txt", b"content")
            put(landing, "run.sh", is_executable=True)
            landing.folder(("empty", "deep"))
            landing.sync()
    finally:
        os.umask(old)
    modes = {path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
    assert modes == {"a": 0o700, "a/b": 0o700, "a/b/c.txt": 0o600, "run.sh": 0o700, "empty": 0o700, "empty/deep": 0o700}
    assert (root / "a/b/c.txt").read_bytes() == b"content"


def test_nothing_is_replaced(root):
    with Landing(root) as landing:
        put(landing, "a", b"first")
        refuses(landing, "a")
        put(landing, "folder/x")
        refuses(landing, "folder")
        refuses(landing, "a/x")
        assert landing.folder(("a",)) == landing.folder(("a", "b")) == landing.folder(("y" * 256,)) == -1
    assert (root / "a").read_bytes() == b"first"


@pytest.mark.parametrize("to", ["..", "/tmp", ".", "nowhere", "file", "folder"])
@pytest.mark.parametrize("name", ["planted", "planted/x", "folder/planted", "folder/planted/x"])
def test_a_link_in_the_way_is_never_followed(root, to, name):
    (root / "file").write_bytes(b"mine")
    (root / "folder").mkdir()
    (root / "planted").symlink_to(to)
    (root / "folder" / "planted").symlink_to(to)
    before = _everything(root.parent)
    with Landing(root) as landing:
        refuses(landing, name)
        landing.sync()
    assert _everything(root.parent) == before


def test_a_folder_that_became_a_link_meanwhile_is_not_followed(root):
    (root.parent / "outside").mkdir()
    with Landing(root) as landing:
        put(landing, "a/x")
        for number in range(MOST_OPEN + 1):
            landing.folder((f"f{number}",))  # so that "a" must be opened again
        (root / "a").rename(root / "moved")
        (root / "a").symlink_to(root.parent / "outside")
        refuses(landing, "a/y")
    assert not list((root.parent / "outside").iterdir())


def test_a_hard_link_or_fifo_in_the_way_is_left_alone(root):
    (root.parent / "secret").write_bytes(b"secret")
    os.link(root.parent / "secret", root / "hard")
    os.mkfifo(root / "fifo")
    with Landing(root) as landing:
        refuses(landing, "hard")
        refuses(landing, "fifo")
        refuses(landing, "fifo/x")
    assert (root.parent / "secret").read_bytes() == b"secret"


def test_a_root_that_is_a_link_is_refused(root):
    (root.parent / "alias").symlink_to(root)
    with pytest.raises(OSError):  # noqa: PT011
        Landing(root.parent / "alias")


def test_paths_too_long_to_open_are_refused(root):
    room = os.pathconf(root, "PC_PATH_MAX") - len(os.fsencode(root)) - 2
    parts = ["x" * 200] * (room // 201)
    rest = room - len("/".join(parts))
    parts = [*parts, "x" * (rest - 1)] if rest > 50 else [*parts[:-1], parts[-1] + "x" * rest]
    with Landing(root) as landing:
        put(landing, "/".join(parts))
        refuses(landing, "/".join([*parts[:-1], parts[-1] + "y"]))
        refuses(landing, "/".join([*parts[:-1], parts[-1] + "y", "z"]))
        refuses(landing, "y" * 256)
        put(landing, "ok")
    assert Path(root, *parts).read_bytes() == b"x"


def test_names_that_differ_in_case_only_do_not_replace_each_other(root):
    with Landing(root) as landing:
        put(landing, "Model.bin", b"one")
        with contextlib.suppress(FileExistsError):  # on macOS
            put(landing, "model.bin", b"two")
    assert (root / "Model.bin").read_bytes() == b"one"


def test_names_that_differ_in_composition_only_do_not_replace_each_other(root):
    composed, apart = (unicodedata.normalize(form, "ü") for form in ("NFC", "NFD"))
    with Landing(root) as landing:
        put(landing, composed, b"one")
        with contextlib.suppress(FileExistsError):  # on macOS
            put(landing, apart, b"two")
    assert (root / composed).read_bytes() == b"one"


def test_few_folders_are_open_at_once_and_none_afterwards(root):
    before = open_files()
    with Landing(root) as landing:
        for number in range(3 * MOST_OPEN):
            put(landing, f"f{number}/x")
        put(landing, "/".join(["d"] * 64))
        for number in range(3 * MOST_OPEN):
            put(landing, f"f{number}/y")
        assert open_files() <= before + MOST_OPEN + 1
        landing.sync()
        assert open_files() <= before + MOST_OPEN + 1
    assert open_files() == before
    landing.close()
    assert len(list(root.glob("f*/*"))) == 6 * MOST_OPEN


@pytest.mark.parametrize("has_syncfs", [True, False])
def test_many_files_are_synced_together(root, monkeypatch, has_syncfs):
    if not has_syncfs:  # as on macOS
        monkeypatch.setattr(module, "_sync_disk", lambda _: False)
    with Landing(root) as landing:
        for number in range(module.FSYNC_EACH):
            put(landing, f"{number % 5}/{number}")
        landing.sync()


def test_a_disk_that_fails_says_so(root):
    with Landing(root) as landing:
        put(landing, "x")
        (root / "x").unlink()
        with pytest.raises(FileNotFoundError):
            landing.sync()
        (root / "a").mkdir()
        landing.folder(("a",))
        (root / "a").rmdir()
        with pytest.raises(FileNotFoundError):
            landing.folder(("a", "b"))


def test_a_full_disk_is_not_about_names():
    assert not is_about_name(OSError(28, "No space left on device"))


def test_a_process_that_dies_in_the_middle_leaves_nothing_but_plain_files_in_its_folder(root):
    program = (
        "import os, sys; from pathlib import Path; from aspot.files.landing import Landing\n"
        "landing = Landing(Path(sys.argv[1])); fd = landing.create(('a', 'b'), is_executable=False)\n"
        "os.write(fd, b'half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, root], check=False).returncode == -9
    assert _everything(root) == {"a": None, "a/b": b"half"}
    with Landing(root) as landing:  # staging is emptied before it is used again; even if not, a half file never counts
        refuses(landing, "a/b")


@given(st.lists(st.tuples(RAW, st.sampled_from("fdx"), st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_sequence_of_names_gets_out(steps):
    """Files, folders and planted links in any order: what lies around the landing place is as before."""
    with tempfile.TemporaryDirectory() as place:
        world = Path(place)
        (world / "root").mkdir()
        (world / "canary").write_bytes(b"canary")
        (world / "folder").mkdir()
        _land(world / "root", steps)
        found = _everything(world)
        assert {name: what for name, what in found.items() if not name.startswith("root")} == {
            "canary": b"canary",
            "folder": None,
        }


def _land(root, steps):
    with Landing(root) as landing:
        for raw, kind, is_planted in steps:
            try:
                parts = components(raw)
            except HostileName:
                continue
            try:
                if is_planted:
                    Path(root, *parts).symlink_to("/".join([".."] * len(parts)) + "/canary")
                if kind == "d":
                    landing.folder(parts)
                else:
                    put(landing, "/".join(parts), is_executable=kind == "x")
            except OSError as error:
                assert is_about_name(error) or is_planted  # noqa: PT017


def _everything(top):
    found = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder, name)
            kind = stat.S_IFMT(path.lstat().st_mode)
            what = os.readlink(path) if kind == stat.S_IFLNK else path.read_bytes() if kind == stat.S_IFREG else None
            found[path.relative_to(top).as_posix()] = what
    return found
