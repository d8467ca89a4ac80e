"""Who drives a run: epochs, words for machines, and what users read."""

from datetime import UTC, datetime

import pytest

from aspot.machine.client import Client
from aspot.machine.farewell import taken_lines

AT = datetime(2026, 11, 23, 16, 7, 1, 500_000, tzinfo=UTC)


def test_a_later_client_has_a_higher_epoch():
    first = Client.taking(at=AT, after=0, pid=1, host="a")
    assert first.since == AT
    assert Client.taking(at=AT, after=first.epoch, pid=2, host="a").epoch == first.epoch + 1
    assert Client.taking(at=datetime(2001, 1, 1, tzinfo=UTC), after=first.epoch, pid=2, host="a").epoch > first.epoch


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("desk.example", "desk.example"),
        ("Ann's Mac; rm -rf ~", "Ann-s-Mac-rm--rf-"),
        ("", "unknown"),
        ("x" * 99, "x" * 64),
    ],
)
def test_a_word_is_safe_for_every_shell_and_can_be_read_again(host: str, told: str):
    client = Client(epoch=12, pid=34, host=host)
    assert client.word == f"@12.34.{told}"
    assert Client.read(f"taken over by {client.word}.\n") is not None
    assert Client.read(client.word) == Client(epoch=12, pid=34, host=told)


@pytest.mark.parametrize("text", ["", "stop", "@1.2", "@x.2.host", f"@{'9' * 15}.1.host"])
def test_what_names_nobody_is_not_read(text: str):
    assert Client.read(text) is None


def test_who_was_taken_over_reads_by_whom_and_the_way_back():
    lines = list(taken_lines("night", Client.taking(at=AT, after=0, pid=7, host="desk")))
    assert lines[0].startswith("night was taken over by process 7 on desk at 2026-11-")
    assert lines[0].endswith(": nothing more is done here.")
    assert "aspot attach night --take-over" in lines[1]
