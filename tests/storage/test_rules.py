"""What is copied, how it is cut, which names are safe: pure, but for the files that are read."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.storage import partials, rules
from aspot.storage.partials import Note
from aspot.storage.rules import Item, Part, UnsafeName

OLD, NEW = 1_700_000_000.0, 1_700_100_000.0


@given(size=st.integers(0, rules.BIGGEST))
def test_parts_are_neither_too_many_nor_too_small(size):
    each = rules.part_size(size)
    assert each >= rules.PART
    assert -(-size // each) <= rules.MOST_PARTS


@given(size=st.integers(1, rules.BIGGEST), each=st.integers(1, rules.BIGGEST), count=st.integers(1, 10_000))
def test_copies_within_s3_keep_its_limits_and_the_parts_they_can(size, each, count):
    for etag in ("0" * 32, f"{'0' * 32}-{count}", f"{'0' * 32}-{-(-size // each)}"):
        found = rules.copy_part_size(size, etag, min(each, size))
        longest = found or size
        assert longest <= rules.COPY_MOST
        assert -(-size // longest) <= rules.MOST_PARTS or "-" in etag
        assert not found or -(-size // found) == 1 or found >= rules.LEAST_PART
    assert rules.copy_part_size(12 * rules.MIB, "0-3", 5 * rules.MIB) == 5 * rules.MIB
    assert rules.copy_part_size(12 * rules.MIB, "0-4", 5 * rules.MIB) == 0


def test_objects_are_compared_by_their_etags():
    source = {name: Item(name, 1, NEW, etag) for name, etag in (("a", "1"), ("b", "2"))}
    dest = {name: Item(name, 1, OLD, "1") for name in "ab"}
    made = rules.plan(source, dest, delete=False)
    assert ([item.name for item in made.same], [item.name for item in made.look]) == (["a"], ["b"])


@given(size=st.integers(0, 500), each=st.integers(1, 50))
def test_parts_cover_a_file_once(size, each):
    cut = rules.parts(size, each)
    assert [part.number for part in cut] == list(range(1, len(cut) + 1))
    assert cut[0].start == 0
    assert [part.start + part.length for part in cut] == [*(part.start for part in cut[1:]), size]


def names(items):
    return [item.name for item in items]


@pytest.mark.parametrize(
    ("source", "dest", "where"),
    [
        (Item("a", 1, NEW), None, "copy"),
        (Item("a", 1, OLD), Item("a", 2, NEW, "e"), "copy"),
        (Item("a", 1, OLD), Item("a", 1, NEW, "e"), "same"),
        (Item("a", 1, NEW), Item("a", 1, OLD, "e"), "look"),
        (Item("a", 1, NEW - 59), Item("a", 1, NEW, "e"), "look"),
        (Item("a", 1, OLD, "e"), Item("a", 1, OLD), "same"),
        (Item("a", 1, OLD, "e"), Item("a", 1, NEW), "look"),
        (Item("a", 1, NEW, "e"), Item("a", 1, OLD), "look"),
    ],
)
def test_what_is_copied(source, dest, where):
    plan = rules.plan({"a": source}, {"a": dest} if dest else {}, delete=True)
    assert names(getattr(plan, where)) == ["a"]
    assert sum(map(len, plan)) == 1


def test_contents_are_compared_whatever_the_times_if_asked():
    plan = rules.plan({"a": Item("a", 1, OLD)}, {"a": Item("a", 1, NEW, "e")}, delete=False, by_content=True)
    assert names(plan.look) == ["a"]


def test_only_what_the_source_lacks_is_deleted_and_only_if_asked():
    dests = {name: Item(name, 1, NEW, "e") for name in ("a", "b")}
    assert names(rules.plan({"a": Item("a", 1, OLD)}, dests, delete=True).delete) == ["b"]
    assert rules.plan({"a": Item("a", 1, OLD)}, dests, delete=False).delete == []


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "a//b", "a/./b", "a/", "", "a\0b", "x" * 256])
def test_names_that_lead_out_or_cannot_be(name):
    with pytest.raises(UnsafeName):
        rules.local_parts(name)


def test_a_folder_is_listed_without_what_is_no_file(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    (tmp_path / "link").symlink_to("a/x")
    (tmp_path / "folder").symlink_to("a")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".y.aspot-part").write_text("half")
    skipped = {}
    found = {item.name: item.size for item in rules.files(str(tmp_path), skipped.__setitem__)}
    assert found == {"a/x": 1, "link": 1}
    assert skipped == {"folder": "link to a folder", "gone": "dangling link", "pipe": "not a file"}


@pytest.mark.parametrize("each", [5 << 20, 8 << 20, 16 << 20])
def test_a_file_is_known_by_its_etag_whatever_tool_made_it(tmp_path, each):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(20 << 20))
    etag = rules.file_etag(str(path), 20 << 20, each, is_one=False)
    assert rules.is_content(str(path), 20 << 20, etag)
    with path.open("r+b") as target:
        target.write(b"changed")
    assert not rules.is_content(str(path), 20 << 20, etag)


def test_parts_that_came_are_read_again(tmp_path):
    path, note = str(tmp_path / "half"), Note(str(tmp_path / "note"), "object 1")
    wanted = [Part(1, 0, 4), Part(2, 4, 4), Part(3, 8, 4)]
    note.begin()
    for part, content in zip(wanted, (b"aaaa", b"bbbb"), strict=False):
        note.add(part.number, rules.md5(content).hexdigest())
    (tmp_path / "half").write_bytes(b"aaaa????" + bytes(4))
    assert list(partials.came(path, note, wanted)) == [1]
    assert partials.came(path, Note(str(tmp_path / "note"), "object 2"), wanted) == {}
    assert partials.came(str(tmp_path / "none"), note, wanted) == {}


def test_a_note_that_was_cut_off_counts_for_what_is_whole(tmp_path):
    note = Note(str(tmp_path / "note"), "object")
    note.begin()
    note.add(1, "ab")
    (tmp_path / "note").write_text((tmp_path / "note").read_text() + "2 c")
    assert note.read() == {1: "ab"}
