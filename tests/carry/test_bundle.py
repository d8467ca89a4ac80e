"""The bundle's format: private, whole, and nothing in it but what the list says, whoever wrote it."""

import hashlib
import json
import os
import subprocess

import pytest

from aspot.carry import bundle as bundles
from aspot.carry.bundle import LIST, Bundle, Changed, Cover, Item, listed, write
from aspot.errors import AspotError, ConfigError
from aspot.files import tar
from aspot.files.landing import Landing

COVER = Cover(run="r", name="n", region="here", origin="me@home", results="/there")


@pytest.fixture
def sources(tmp_path):
    """Files of several sizes, around a tar's block."""
    found = {}
    for name, size in (("run/a", 0), ("run/b/c", 511), ("run/b/d", 512), ("here/" + "long/" * 30 + "e", 70_000)):
        path = tmp_path / f"source-{len(found)}"
        path.write_bytes(os.urandom(size))
        found[name] = path
    found["run/b/d"].chmod(0o755)
    return found


@pytest.fixture
def made(tmp_path, sources):
    path = tmp_path / "x.aspot"
    write(path, COVER, [(listed(name, source), source) for name, source in sources.items()], ["run/empty"])
    return path


def unpacked(path, into):
    into.mkdir()
    with Bundle(path) as bundle, Landing(into) as landing:
        bundle.unpack(lambda parts: (landing, parts))
    return into


def test_it_comes_out_as_it_went_in(made, sources, tmp_path):
    there = unpacked(made, tmp_path / "there")
    for name, source in sources.items():
        assert (there / name).read_bytes() == source.read_bytes()
    assert os.access(there / "run/b/d", os.X_OK)
    assert not os.access(there / "run/a", os.X_OK)
    assert list((there / "run/empty").iterdir()) == []
    with Bundle(made) as bundle:
        assert bundle.cover == COVER
        assert bundle.size == sum(path.stat().st_size for path in sources.values())


def test_it_is_private_whatever_the_umask_and_never_written_over(made, sources, tmp_path):
    old = os.umask(0)
    try:
        write(tmp_path / "open.aspot", COVER, [], [])
    finally:
        os.umask(old)
    assert (tmp_path / "open.aspot").stat().st_mode & 0o777 == 0o600
    before = made.read_bytes()
    with pytest.raises(FileExistsError):
        write(made, COVER, [], [])
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        write(tmp_path / "link", COVER, [], [])
    assert made.read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


def test_tar_shows_it(made, sources):
    shown = subprocess.run(["tar", "-tf", made], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [LIST.decode(), *sources]


def test_a_file_that_changes_is_not_taken_half(sources, tmp_path):
    items = [(listed(name, source), source) for name, source in sources.items()]
    longer = sources["run/b/c"]
    longer.write_bytes(longer.read_bytes() + b"more")  # as a log does: what was listed is still there
    write(tmp_path / "grown.aspot", COVER, items, [])
    there = unpacked(tmp_path / "grown.aspot", tmp_path / "there")
    assert (there / "run/b/c").stat().st_size == 511
    for content in (b"other" * 103, b"short"):
        longer.write_bytes(content)
        with pytest.raises(Changed):
            write(tmp_path / "bad.aspot", COVER, items, [])
        assert not (tmp_path / "bad.aspot").exists()


def test_a_bit_that_is_wrong_anywhere_is_found(made, tmp_path):
    whole = bytearray(made.read_bytes())
    for at in range(0, len(whole), 97):
        bent = bytearray(whole)
        bent[at] ^= 4
        path = tmp_path / "bent"
        path.write_bytes(bent)
        with pytest.raises(AspotError):
            unpacked(path, tmp_path / f"bent-{at}")


@pytest.mark.parametrize("cut", [0, 1, 511, 512, 700, 1500, -1, -1024, -1025])
def test_one_that_is_cut_short_is_said_before_anything_lands(made, tmp_path, cut):
    path = tmp_path / "cut"
    path.write_bytes(made.read_bytes()[:cut])
    with pytest.raises(AspotError):
        Bundle(path)


def forged(path, rows, folders=(), *, members=b"", **changes):
    """A bundle as a stranger might write it: its list is in order, and says what he likes."""
    whole = {"version": 1, "cover": {**vars_of(COVER)}, "files": rows, "folders": list(folders), **changes}
    text = json.dumps(whole).encode()
    content = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    head = tar.header(LIST, size=len(content)) + content + tar.padding(len(content))
    path.write_bytes(head + members + tar.END)
    return path


def vars_of(cover):
    return {name: getattr(cover, name) for name in ("run", "name", "region", "origin", "results", "stayed")}


EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a//b", "a/./b", "", ".", "a\nb", "a\x1b[2J", "a\\b", "x" * 300, "a/" * 80 + "b"]
)
def test_hostile_names_are_refused(tmp_path, name):
    for rows, folders in (([[name, 0, EMPTY, False]], []), ([], [name])):
        with pytest.raises(AspotError, match="makes no sense"):
            Bundle(forged(tmp_path / "evil", rows, folders))


@pytest.mark.parametrize(
    "rows",
    [
        [["a", -1, EMPTY, False]],
        [["a", "1", EMPTY, False]],
        [["a", 0, EMPTY, False]] * 2,
        [["a", 0]],
        [5],
        "text",
        [[["a"], 0, EMPTY, False]],
    ],
)
def test_lists_that_make_no_sense_are_refused(tmp_path, rows):
    with pytest.raises(AspotError, match="makes no sense"):
        Bundle(forged(tmp_path / "evil", rows))


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "MOST_FILES", 2)
    with pytest.raises(AspotError, match="makes no sense"):
        Bundle(forged(tmp_path / "evil", [[f"f{n}", 0, EMPTY, False] for n in range(3)]))


def test_sizes_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(AspotError, match="bytes in place of"):
        Bundle(forged(tmp_path / "evil", [["a", 1 << 50, EMPTY, False]]))


def test_no_member_but_plain_files_is_ever_read(tmp_path):
    """A link, a device or another name where the list says a file: its header is not the one that is called for."""
    item = Item(name="a", size=0, sha256=EMPTY)
    for member in (
        tar.header(b"a", kind=tar.LINK, link=b"/etc/passwd"),
        tar.header(b"a", kind=b"3"),
        tar.header(b"b"),
        tar.header(b"a", mode=0o4755),
    ):
        assert len(member) == len(item.header)
        into = tmp_path / f"into-{hashlib.sha256(member).hexdigest()[:8]}"
        with pytest.raises(AspotError, match="is damaged"):
            unpacked(forged(tmp_path / "evil", [["a", 0, EMPTY, False]], members=member), into)
        assert list(into.iterdir()) == []


def test_a_newer_one_and_what_is_none_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match="newer aspot"):
        Bundle(forged(tmp_path / "newer", [], version=2))
    for content in (b"", b"hello", bytes(4096), tar.header(b"other", size=0) + tar.END):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(ConfigError, match="is no bundle"):
            Bundle(tmp_path / "other")
    with pytest.raises(ConfigError, match="cannot read"):
        Bundle(tmp_path)
