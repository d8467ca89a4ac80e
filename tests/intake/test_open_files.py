"""How many instances there are open files for; limits of this process are put back."""

import os
import resource

import pytest

from aspot.errors import ConfigError
from aspot.intake import open_files
from aspot.intake.open_files import hold_open, make_room, needed_for, too_few
from aspot.runtime import wiring


@pytest.fixture
def limited(monkeypatch):
    """Return a function that pretends such limits; setting them is really tried on the pretended ones."""

    def call(soft, hard, *, others=10, refuses=False):
        found = [soft, hard]

        def change(_, limits):
            if refuses or limits[0] > found[1] != resource.RLIM_INFINITY:
                raise ValueError
            found[:] = limits

        monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(found))
        monkeypatch.setattr(resource, "setrlimit", change)
        monkeypatch.setattr(open_files, "_open_now", lambda: others)
        return found

    return call


def test_a_limit_that_does_is_left_alone(limited):
    limits = limited(1024, 4096)
    assert make_room(50).instances == 50
    assert limits == [1024, 4096]


def test_it_is_raised_as_far_as_needed(limited):
    limits = limited(256, 4096)
    room = make_room(200)
    assert room.instances == 200
    assert limits == [room.needed, 4096]
    assert room.needed == 10 + needed_for(200)


@pytest.mark.parametrize("refuses", [False, True])
def test_where_that_is_not_possible_fewer_instances_are_used(limited, refuses):
    limits = limited(200, 4096, refuses=True) if refuses else limited(100, 200)
    room = make_room(100)
    assert room.instances == 13
    assert 10 + needed_for(13) <= 200 < 10 + needed_for(14)
    assert limits[0] == 200
    assert too_few(room, 100) == (
        f"100 instances need up to {10 + needed_for(100)} open files, and this process may have 200: 13 at once; "
        f"`ulimit -n {10 + needed_for(100)}` before the start allows all"
    )


def test_without_room_for_one_nothing_is_begun(limited):
    limited(32, 32)
    with pytest.raises(ConfigError, match="32 files open") as caught:
        make_room(5)
    assert caught.value.fix.startswith("ulimit -n 1024")


def test_what_runs_already_is_held_or_refused(limited):
    limited(200, 200)
    hold_open("study", 13)
    hold_open("study", 0)
    with pytest.raises(ConfigError, match="fleet study has 14 instances") as caught:
        hold_open("study", 14)
    assert "ulimit -n" in caught.value.fix


def test_unlimited_is_unlimited_but_for_macos(limited, monkeypatch):
    limited(resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert make_room(1000).instances == 1000
    limits = limited(256, resource.RLIM_INFINITY)
    monkeypatch.setattr(open_files.sys, "platform", "darwin")
    assert make_room(1000).instances == 1000
    assert limits[0] <= open_files.MACOS_MOST


def test_open_files_are_counted():
    before = open_files._open_now()
    with open(os.devnull):
        assert open_files._open_now() == before + 1


def test_transfers_are_as_many_as_the_runtime_has_at_once():
    assert open_files.TRANSFERS == wiring.TRANSFERS
