"""Is the harness any good? Each safeguard is broken in turn, and the random worlds have to notice (FAULTS B)."""

import re
from collections import Counter

import anyio
import attrs
import pytest
from simulated.stories import play
from simulated.world import World

from aspot.archive import accept
from aspot.archive.local import LocalArchive
from aspot.machine import attempts, change, checkpoints, instance_table, launches, schedule
from aspot.machine import events as ev
from aspot.machine.change import Change
from aspot.machine.endings import end_attempt
from aspot.machine.instance_table import Move, Rule
from aspot.machine.model import InstanceRecord, InstanceState, Outcome
from aspot.runtime import kept, link_keeper
from aspot.runtime.dispatch import Dispatch
from aspot.runtime.driver import MainLoop
from aspot.ssh import order
from tests.archive import test_accept
from tests.archive.conftest import RUN

SEEDS = 200


def caught(mark: str) -> str:
    """Play worlds until the oracle, not the product, says something with this mark; return it."""
    for seed in range(SEEDS):
        worlds: list[World] = []
        try:
            play(seed, seen=worlds.append)
        except (Exception, BaseExceptionGroup):
            for said in worlds[0].oracle.violations:
                if re.search(mark, said):
                    return said
    pytest.fail(f"{SEEDS} worlds noticed nothing of {mark}")


def test_a_status_without_its_sentinel(monkeypatch):
    monkeypatch.setattr(order, "_STATUS", re.compile(order._STATUS.pattern.replace(" ok", "(?: o?k?)?")))
    caught("V4: a status without its end")


def test_a_verdict_that_does_not_hold(monkeypatch):
    def end_and_try_again(change: Change, name: str, outcome: Outcome, *, because: str = "") -> None:
        end_attempt(change, name, outcome, because=because)
        job = change.run.jobs[name]
        if job.verdict is not None and len(job.attempts) < 3 and change.run.stop is None:
            change.job(name, verdict=None)
            change.enqueue(name)

    monkeypatch.setattr(attempts, "end_attempt", end_and_try_again)
    caught("V3|V5: .* started after a result was accepted")


def test_an_archive_that_publishes_again(monkeypatch, tmp_path):
    monkeypatch.setattr(accept, "stored", lambda _folder: {})
    archive = LocalArchive(tmp_path / "results", "study", run=RUN)
    archive.prepare()
    with pytest.raises(AssertionError):
        anyio.run(test_accept.test_accepting_again_changes_nothing, archive)


def test_a_doubtful_launch_that_is_asked_for_afresh(monkeypatch):
    monkeypatch.setattr(launches, "IN_DOUBT_WAITS_S", ())
    monkeypatch.setattr(launches, "SETTLE_S", 0.0)
    caught("V7: .* alive")


def test_a_token_that_is_repeated_with_other_parameters(monkeypatch):
    tries: Counter[tuple[int, str]] = Counter()
    ask = Dispatch._ask

    async def ask_for_more(self, spec):
        tries[id(self), spec.id] += 1
        more = spec.count + (tries[id(self), spec.id] > 1)
        return await ask(self, attrs.evolve(spec, count=more))

    monkeypatch.setattr(Dispatch, "_ask", ask_for_more)
    caught("token of .* used with other parameters")


def test_a_successor_that_does_not_wait_for_the_verified_stop(monkeypatch):
    def hand_over_at_once(change: Change, instance: InstanceRecord) -> None:
        if instance.attempt is not None and instance.notice is not None:
            end_attempt(change, instance.attempt[0], Outcome.INTERRUPTED, because="it will stop soon")

    monkeypatch.setattr(checkpoints, "hand_over", hand_over_at_once)
    assert schedule.checkpoints.hand_over is hand_over_at_once
    caught("V5: .* started while")


def test_a_machine_whose_lease_is_not_checked(monkeypatch):
    monkeypatch.setattr(link_keeper, "_checked", lambda armed: armed)
    caught("started on a machine without a lease")


def test_a_kept_machine_that_is_not_told_when_to_end(monkeypatch):
    async def tell_nobody(_wiring, _effect, _link):
        return

    monkeypatch.setattr(kept, "_fix", tell_nobody)
    caught("V1: .* is kept, and does not end itself")


def test_a_kept_machine_that_is_told_late(monkeypatch):
    monkeypatch.setattr(kept, "PROMPT_S", 1e9)
    caught("V1: .* ends itself .* s later than it says")


def test_a_kept_machine_that_gets_another_job(monkeypatch):
    monkeypatch.setitem(change._INDEXES, InstanceState.KEPT, "idle")
    monkeypatch.setitem(instance_table.INSTANCE_TABLE, (InstanceState.KEPT, Move.ASSIGN), InstanceState.JOB)
    monkeypatch.setitem(instance_table.INSTANCE_TABLE, (InstanceState.KEPT, ev.AttemptStarted), Rule.STAY)
    caught("started on .*, which is kept for a look")


def test_effects_before_they_are_written_down(monkeypatch):
    async def do_first(_self, _events, effects):
        return effects

    monkeypatch.setattr(MainLoop, "_record", do_first)
    caught("V2")
