"""Two clients of one machine: it heeds the one of the highest epoch that armed it, and changes nothing for others."""

from __future__ import annotations

import pytest
from waiting import until

from tests.runner.conftest import RUN, order
from tests.runner.test_lease import LONG, pid_of

FIRST, SECOND = "@1764000000001.10.first", "@1764000000002.20.second"


def arm(machine, client) -> int:
    watcher = machine.home / ".aspot/.machine/watcher"
    before = watcher.read_text() if watcher.exists() else ""
    number = machine.begin(client, "arm", LONG, LONG, LONG, LONG, stdin=b"keep\n")
    until(lambda: watcher.exists() and watcher.read_text() not in ("", before))
    return number


def refused(answer) -> bool:
    return answer.code == 119 and answer.err.strip() == f"taken over by {SECOND}" and "@aspot" not in answer.out


COMMANDS = {
    "deliver": ("deliver", RUN, "job", 2, "set", "full", "none", 0),
    "start": ("start", RUN, "job", 1),
    "stop": ("stop", RUN, "job", 1, "cancelled", 100),
    "release": ("release", RUN, "job", 1),
    "lease": ("lease",),
    "setup": ("setup", "digest"),
    "watch": ("watch",),
    "arm": ("arm", 1, 1, 1, 1),
}


def tree(machine) -> dict[str, str]:
    root = machine.home / ".aspot"
    ours = ("client", ".pid", "watch", "host")
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith("@") and not any(part in path.name for part in ours)
    }


def test_it_changes_nothing_for_a_client_that_was_taken_over(machine):
    arm(machine, FIRST)
    machine.ready()
    arm(machine, SECOND)
    watcher = pid_of(machine, "watcher")
    before = tree(machine)
    for name, words in COMMANDS.items():
        stdin = order("exit 0") if name in ("start", "setup") else b""
        answer = machine.run(FIRST, *words, stdin=stdin)
        assert refused(answer), (name, answer)
        bare = machine.run(*words, stdin=stdin)  # a client that says nothing of an epoch
        assert refused(bare), (name, bare)
    assert tree(machine) == before
    assert pid_of(machine, "watcher") == watcher
    assert not machine.attempt().joinpath("lock").exists()
    assert machine.run(FIRST, "status", RUN, "job", 1).said == "gone it was never started\n"  # it may look


def test_the_newer_client_goes_on_as_usual(machine):
    arm(machine, FIRST)
    arm(machine, SECOND)
    machine.ready()
    number = machine.begin(SECOND, "start", RUN, "job", 1, stdin=order("echo hello"))
    assert machine.wait(number).code == 0
    assert machine.ended().code == 0
    assert machine.run(SECOND, "lease").said == "renewed\n"
    assert machine.run(SECOND, "stop", RUN, "job", 1, "cancelled", 100).said == "stopped\n"
    assert machine.run(SECOND, "release", RUN, "job", 1).said == "released\n"


def test_an_order_of_a_client_that_slept_since_it_delivered_starts_nothing(machine):
    """The `deliver` of the first waits for its order while the second arms the machine."""
    arm(machine, FIRST)
    number, held = machine.begin_held(FIRST, "deliver", RUN, "job", 1, "set", "full", "none", 0)
    until((machine.attempt() / "ready").exists)
    arm(machine, SECOND)
    with held:
        held.write(order("echo never"))
    assert machine.wait(number).code == 119
    folder = machine.attempt()
    assert not (folder / "lock").exists()
    assert not (folder / "pid").exists()
    assert machine.wait(machine.begin(SECOND, "start", RUN, "job", 1, stdin=order("echo once"))).code == 0
    assert machine.ended().code == 0
    assert (folder / "stdout").read_text() == "once\n"


def test_files_of_a_client_that_slept_while_it_sent_them_are_not_put_in_place(machine):
    arm(machine, FIRST)
    number, held = machine.begin_held(FIRST, "deliver", RUN, "job", 1, "set", "full", "none", 10240)
    until((machine.attempt() / "work").exists)
    arm(machine, SECOND)
    with held:
        held.write(b"\0" * 10240)  # an empty archive
    assert machine.wait(number).code == 119
    assert not (machine.attempt() / "ready").exists()
    assert not (machine.home / ".aspot" / RUN / ".sets/set/t").exists()


@pytest.mark.parametrize("word", ["@", "@x/../y", "@1 2"])
def test_a_word_that_is_no_name_is_refused(machine, word):
    answer = machine.run(word, "arm", LONG, LONG, LONG, LONG, stdin=b"keep\n")
    assert answer.code != 0
    assert not (machine.home / ".aspot/.machine/lease").exists()
