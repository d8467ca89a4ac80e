"""What a machine tells a client that has lost its journal, in each shell."""

from __future__ import annotations

from aspot.ssh.noted import spec_of
from tests.runner.conftest import RUN


def listed(machine, run=RUN):
    answer = machine.run("list", run)
    assert answer.code == 0, answer
    lines = answer.said.splitlines()
    assert (lines[0], lines[-1]) == ("listing", "end")
    return {tuple(line.split(" ", 2)[:2]): line.split(" ", 2)[2] for line in lines[1:-1]}


def test_every_attempt_is_listed_with_what_it_is(machine):
    assert listed(machine) == {}
    odd = "echo 'a\\b' \"$HOME\" \t`id` é"
    machine.start(odd, download=("out", "a b/*"), params={"lr": 0.1, "n\n": None}, timeout_s=50.0)
    machine.ended()
    machine.start("sleep 60", job="other", number=12, checkpoint=("ckpt",))
    machine.ready("waiting")
    (machine.home / ".aspot" / "01OTHER" / "job" / "a1" / "lock").mkdir(parents=True)
    found = listed(machine)
    assert set(found) == {("job", "1"), ("other", "12")}
    spec = spec_of("job", found["job", "1"])
    assert (spec.script, spec.command, spec.download, spec.timeout_s) == (odd, odd, ("out", "a b/*"), 50.0)
    assert spec.params == {"lr": 0.1, "n\n": None}
    assert spec_of("other", found["other", "12"]).checkpoint == ("ckpt",)
    assert (machine.attempt() / "spec").stat().st_mode & 0o777 == 0o600
    assert machine.run("stop", RUN, "other", 12, "cancel", 10).said == "stopped\n"


def test_an_attempt_without_a_note_is_listed_all_the_same(machine):
    (machine.attempt() / "lock").mkdir(parents=True)
    assert listed(machine) == {("job", "1"): ""}
    assert machine.run("list", "../x").code == 120
