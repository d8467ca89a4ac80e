"""An attempt's output: raw bytes, appended at once; the local size is the cursor, across truncations too."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.archive.sink import RESTARTED, FileSink
from aspot.errors import AspotError


def test_nothing_is_made_before_the_first_byte(tmp_path):
    sink = FileSink(tmp_path / "a1")
    assert sink.offsets() == (0, 0)
    assert not (tmp_path / "a1").exists()


def test_bytes_are_kept_raw_and_visible_at_once(tmp_path):
    sink = FileSink(tmp_path / "a1")
    sink.write("stdout", b"\xff\x00\r\n")
    sink.write("stderr", b"\x1b[2J")
    assert (tmp_path / "a1/stdout").read_bytes() == b"\xff\x00\r\n"
    assert sink.offsets() == (4, 4)


def test_another_sink_goes_on_where_the_first_stopped(tmp_path):
    FileSink(tmp_path).write("stdout", b"one")
    again = FileSink(tmp_path)
    assert again.offsets() == (3, 0)
    again.write("stdout", b"two")
    assert (tmp_path / "stdout").read_bytes() == b"onetwo"


def test_a_truncated_log_is_marked_and_counted_from_zero(tmp_path):
    sink = FileSink(tmp_path)
    sink.write("stdout", b"before")
    sink.restart("stdout")
    assert sink.offsets() == (0, 0)
    sink.write("stdout", b"after")
    assert FileSink(tmp_path).offsets() == (5, 0)
    assert (tmp_path / "stdout").read_bytes() == b"before" + RESTARTED + b"after"


def test_a_log_may_be_truncated_before_its_first_byte_and_twice(tmp_path):
    sink = FileSink(tmp_path)
    sink.restart("stderr")
    sink.restart("stderr")
    sink.write("stderr", b"x")
    assert sink.offsets() == (0, 1)


def test_a_restart_cut_in_the_middle_never_counts_below_zero(tmp_path):
    (tmp_path / "stdout.base").write_bytes(b"1000")
    assert FileSink(tmp_path).offsets() == (0, 0)


@given(chunks=st.lists(st.one_of(st.binary(max_size=50), st.none()), max_size=20))
def test_offsets_count_what_came_since_the_last_truncation(tmp_path_factory, chunks):
    folder = tmp_path_factory.mktemp("sink")
    since = 0
    for chunk in chunks:
        sink = FileSink(folder)
        if chunk is None:
            sink.restart("stdout")
            since = 0
        else:
            sink.write("stdout", chunk)
            since += len(chunk)
        assert sink.offsets() == (since, 0)


def test_hundreds_of_sinks_hold_nothing_open(tmp_path):
    before = len(os.listdir("/dev/fd"))
    sinks = [FileSink(tmp_path / str(number)) for number in range(300)]
    for sink in sinks:
        sink.write("stdout", b"x")
    assert len(os.listdir("/dev/fd")) == before


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AspotError, match=r"cannot write to .*file.*Not a directory"):
        FileSink(tmp_path / "file" / "a1").write("stdout", b"x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_with_the_fix(tmp_path):
    (tmp_path / "stdout").symlink_to("/dev/full")
    with pytest.raises(AspotError, match="No space left") as caught:
        FileSink(tmp_path).write("stdout", b"x")
    assert caught.value.fix.startswith("make room")
