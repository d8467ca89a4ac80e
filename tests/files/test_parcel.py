"""Parcels: what is read on the other side is what is here, whatever its names, sizes, links and times."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspot.files import tar
from aspot.files.parcel import Hashes, lone, pack
from aspot.files.scan import scan_uploads
from aspot.ports import Undeliverable
from tests.files.project import Link, needs_modes, plant


def parcel(base, uploads=((".", ""),), hashes=None):
    return pack(scan_uploads(base, uploads), hashes or Hashes())


def stream(found, names=None):
    return b"".join(found.stream("t/", found.entries if names is None else names)) + tar.END


def unpacked(found, into):
    """Unpack with the system's tar, as the runner does; check sums as it does."""
    subprocess.run(["tar", "-xof", "-"], cwd=into, input=stream(found), check=True)
    if found.hashes and shutil.which("sha256sum"):
        (into / "sums").write_bytes(found.sums("t/"))
        subprocess.run(["sha256sum", "-c", "--status", "sums"], cwd=into, check=True)
    return into / "t"


@pytest.fixture
def there(tmp_path):
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


ODD = ["a b", "ü", "a\\b", "-rf", "*", "x" * 255, "'", '"', "$HOME", "..x", os.fsdecode(b"caf\xe9"), " ", "\\"]


def test_odd_names_come_through(tmp_path, there):
    here = plant(tmp_path / "here", {f"d/{name}": name.encode("utf-8", "surrogateescape") for name in ODD})
    plant(here, {"/".join(["y" * 90] * 5) + "/z": "deep", "link": Link("/".join(["y" * 90] * 5))})
    found = unpacked(parcel(here), there)
    assert {name: (found / "d" / name).read_bytes() for name in ODD} == {name: os.fsencode(name) for name in ODD}
    assert (found / "link" / "z").read_text() == "deep"


def test_modes_and_times_come_through(tmp_path, there):
    here = plant(tmp_path / "here", {"run.sh": "x", "data": "y"})
    (here / "run.sh").chmod(0o755)
    for name, when in (("run.sh", 1_000_000_000), ("data", 8**11 + 5)):
        os.utime(here / name, (when, when))
    found = unpacked(parcel(here), there)
    assert os.access(found / "run.sh", os.X_OK)
    assert not (found / "data").stat().st_mode & 0o111
    assert int((found / "run.sh").stat().st_mtime) == 1_000_000_000


@given(st.integers(-(2**40), 2**50), st.integers(0, 2**50))
def test_headers_are_always_one_block(time, size):
    head = tar.header(b"x", size=size, time=time)
    assert len(head) == tar.BLOCK
    member = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
    assert (member.size, member.mtime) == (size, min(max(0, time), 8**11 - 1))


def test_lengths_are_as_told(tmp_path):
    here = plant(tmp_path / "here", {"a": "x" * 513, "b": "", "c" * 200: "1", "l": Link("a")})
    found = parcel(here)
    assert found.length("t/", tuple(found.entries)) + len(tar.END) == len(stream(found))
    assert found.count(tuple(found.entries)) == (3, 514)
    assert found.count(("a",)) == (1, 513)


def test_a_small_file_from_memory():
    with tarfile.open(fileobj=io.BytesIO(lone("sums", b"content") + tar.END)) as read:
        member = read.next()
        assert (member.name, read.extractfile(member).read()) == ("sums", b"content")


@pytest.mark.parametrize("change", ["content", "name", "mode", "link", "folder"])
def test_every_change_gives_another_digest(tmp_path, change):
    here = plant(tmp_path / "here", {"a": "1", "b": "2", "link": Link("a"), "d": None})
    before = parcel(here)
    assert parcel(here).digest == before.digest
    match change:
        case "content":
            plant(here, {"a": "3"})
        case "name":
            (here / "a").rename(here / "c")
            (here / "link").unlink()
            (here / "link").symlink_to("c")
        case "mode":
            (here / "a").chmod(0o700)
        case "link":
            (here / "link").unlink()
            (here / "link").symlink_to("b")
        case "folder":
            (here / "d").rmdir()
    assert parcel(here).digest != before.digest


def test_unchanged_files_are_not_read_again(tmp_path):
    here, hashes = plant(tmp_path / "here", {"a": "1"}), Hashes()
    scan = scan_uploads(here, [(".", "")])
    assert not hashes.knows(scan)
    first = pack(scan, hashes)
    assert hashes.knows(scan)
    assert pack(scan, hashes) == first


def test_a_file_that_shrinks_on_the_way_is_refused(tmp_path):
    here = plant(tmp_path / "here", {"a": "123"})
    found = parcel(here)
    plant(here, {"a": "1"})
    with pytest.raises(Undeliverable, match="shorter") as caught:
        stream(found)
    assert caught.value.is_local


def test_a_file_that_grows_on_the_way_keeps_the_stream_in_order(tmp_path, there):
    here = plant(tmp_path / "here", {"a": "123", "b": "456"})
    found = parcel(here)
    plant(here, {"a": "12345"})
    with tarfile.open(fileobj=io.BytesIO(stream(found))) as read:
        assert {member.name: read.extractfile(member).read() for member in read} == {"t/a": b"123", "t/b": b"456"}


@needs_modes
def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    here = plant(tmp_path / "here", {"a": "123"})
    (here / "a").chmod(0)
    with pytest.raises(Undeliverable, match="Permission denied") as caught:
        parcel(here)
    assert caught.value.is_local


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)
TREES = st.dictionaries(PATHS, st.one_of(st.none(), st.sampled_from(["1", "22"]), TARGETS.map(Link)), max_size=7)


@given(
    TREES,
    st.sampled_from([((".", ""),), (("a", ""), ("b", "")), (("a", "."),), (("*", ""),), (("a", "x"), ("a/b", ""))]),
)
@settings(max_examples=150, deadline=None)
def test_every_path_that_can_be_read_here_reads_the_same_there(tree, uploads):
    """Whatever the links: below what was named, what a program opens by a path is there, too; or all is refused."""
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as other:
        base, there = Path(place, "1/2/3/4/base"), Path(other)
        base.mkdir(parents=True)
        _plant_what_fits(base, tree)
        try:
            scan = scan_uploads(base, uploads)
        except Undeliverable:
            return
        found = unpacked(pack(scan, Hashes()), there)
        (there / "t").mkdir(exist_ok=True)
        for local, remote in uploads:
            for top in base.glob("[!.]*") if local == "*" else [base / local]:
                name = (remote or top.relative_to(base).as_posix()) if local != "." else "."
                landed = found / local if remote == "." and top.is_file() else found / name
                assert _read(top, 5) == _read(landed, 5, only=_read(top, 5).keys())
        assert not [path for path in found.rglob("*") if path.is_symlink() and not path.exists()]


def _plant_what_fits(base, tree):
    for name, what in tree.items():
        try:
            plant(base, {name: what})
        except OSError:
            continue  # a file or a circle is where a folder would have to be


def _read(top, depth, only=None):
    """Return the content of everything that can be opened at or below a path, following links."""
    found = {}
    if top.is_file():
        found["."] = top.read_bytes()
    elif top.is_dir() and depth:
        for child in top.iterdir():
            found |= {f"{child.name}/{name}": what for name, what in _read(child, depth - 1).items()}
    return found if only is None else {name: what for name, what in found.items() if name in only}


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not here")
def test_busybox_reads_it_too(tmp_path, there):
    here = plant(tmp_path / "here", {"a/" + "x" * 150: "1", "link": Link("a"), "b": ""})
    subprocess.run(["busybox", "tar", "-xof", "-"], cwd=there, input=stream(parcel(here)), check=True)
    assert (there / "t" / "link" / ("x" * 150)).read_text() == "1"
