"""A failed job's machine stays for a look: which one, until when, at what price, and that it always ends."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.farewell import farewell
from aspot.machine.invariants import violations
from aspot.machine.keeping import CONFIRM_S, OVERDUE_S
from aspot.machine.model import EndReason, InstanceState, JobStatus, Keep, RunPhase
from aspot.machine.money import budget_left, cost_now, instance_rate
from aspot.machine.outstanding import outstanding
from aspot.machine.pool import Refusal, RefusalKind
from aspot.machine.step import is_over, start_run, step
from tests.machine.world import World, news, only, working

HALF_HOUR_S = 1800.0


def failing(*jobs: str, code: int = 1, why: str = "exit", job_options=None, **options) -> tuple[World, list[str], list]:
    """Return a world in which the first job has failed, and what that led to."""
    options = {"keep_failed_s": HALF_HOUR_S} | options
    world, names = working(*(jobs or ("a",)), options=options, **(job_options or {}))
    return world, names, world.complete(names[0], code, why)


def confirm(world: World, name: str) -> list[ef.Effect]:
    return world.send(ev.MachineKept, instance=name, user="ec2-user", way=f"ssh {name}")


@pytest.mark.parametrize(("code", "why"), [(1, "exit"), (143, "timeout"), (1, "disk_full")])
def test_the_machine_of_a_job_that_failed_stays(code, why) -> None:
    world, (name,), effects = failing(code=code, why=why)
    until = world.now + timedelta(seconds=HALF_HOUR_S)
    assert only(ef.Keep, effects) == [ef.Keep(instance=name, until=until)]
    assert only(ef.Terminate, effects) == []
    assert world.state(name) is InstanceState.KEPT
    assert world.run.instances[name].keep == Keep(job="a", since=world.now, until=until)


@pytest.mark.parametrize(("code", "why"), [(0, "exit"), (143, "cancel"), (143, "term")])
def test_no_other_machine_does(code, why) -> None:
    world, (name,), effects = failing(code=code, why=why)
    assert only(ef.Keep, effects) == []
    assert world.state(name) is not InstanceState.KEPT


def test_nor_any_without_being_asked_for() -> None:
    world, (name,), effects = failing(keep_failed_s=None)
    assert only(ef.Keep, effects) == []
    world.accepted("a")
    world.send(ev.SubmissionClosed)
    assert world.state(name) is InstanceState.TERMINATING


def test_a_machine_is_kept_for_the_last_attempt_only() -> None:
    world, (name,), effects = failing(job_options={"attempts": 2})
    assert only(ef.Keep, effects) == []
    assert only(ef.StartAttempt, effects)
    world.started(name)
    assert only(ef.Keep, world.complete(name, 1))


def test_one_that_is_being_taken_is_not_kept() -> None:
    world, (name,) = working("a", options={"keep_failed_s": HALF_HOUR_S})
    world.notice(name)
    assert only(ef.Keep, world.complete(name, 1)) == []


def test_nor_is_one_whose_script_ended_before_ec2_took_it_but_is_home_after() -> None:
    world, (name,) = working("a", options={"keep_failed_s": HALF_HOUR_S})
    world.exited(name, 1)
    world.ending(name, EndReason.SOMEONE)
    assert only(ef.Keep, world.collected(name)) == []


def test_nor_is_that_of_a_job_that_was_cancelled_or_of_a_run_that_stops() -> None:
    world, names = working("a", "b", options={"keep_failed_s": HALF_HOUR_S})
    world.send(ev.JobsCancelled, jobs=("a",))
    assert only(ef.Keep, world.complete(names[0], 1)) == []
    world.send(ev.RunStopped, reason="enough")
    assert only(ef.Keep, world.complete(names[1], 1)) == []


def test_the_run_ends_without_it_once_it_has_confirmed_its_end() -> None:
    world, (name,), _ = failing()
    world.accepted("a")
    world.send(ev.SubmissionClosed)
    assert not is_over(world.run)
    (told,) = news(nw.InstanceKept, confirm(world, name))
    assert world.run.phase is RunPhase.ENDED
    assert (told.job, told.instance, told.instance_id) == ("a", "f_1", name)
    assert told.until == world.now + timedelta(seconds=HALF_HOUR_S)
    assert told.ssh == f"ssh {name}"
    assert told.message.endswith(f"/h: ssh {name}")
    assert told.most_usd == pytest.approx(told.price_usd_per_hour / 2)
    assert told.message.startswith("f_1: kept for 30 min 0 s for a look at a, $0.0")
    assert world.run.instances[name].is_kept
    assert confirm(world, name) == []
    assert outstanding(world.run) == ()


def test_no_job_goes_there_and_none_waits_for_it() -> None:
    world, (name,), _ = failing(limit=1)
    world.submit("b")
    (other,) = world.answer()
    assert world.run.counted == 1
    world.boot(other)
    world.started(other)
    world.complete(other)
    world.gone(other, EndReason.ITSELF)
    assert world.state(name) is InstanceState.KEPT
    assert world.run.jobs["b"].verdict is JobStatus.SUCCEEDED


def test_no_more_are_kept_than_may_run_at_once() -> None:
    world, (one, two) = working("a", "b", options={"keep_failed_s": HALF_HOUR_S, "limit": 2})
    world.complete(one, 1)
    world.send(ev.LimitChanged, limit=1)
    (told,) = news(nw.Warned, world.complete(two, 1))
    assert told.message == (
        "f_2: not kept for a look at b: as many are kept already as the run may have machines at once (1)"
    )
    assert world.run.kept == (one,)


def test_one_that_does_not_confirm_is_ended_and_that_is_said() -> None:
    world, (name,), _ = failing()
    assert only(ef.Terminate, world.wait(CONFIRM_S - 1)) == []
    effects = world.wait(2)
    assert [end.instance for end in only(ef.Terminate, effects)] == [name]
    (told,) = news(nw.Warned, effects)
    assert told.message == "f_1: not kept for a look at a: it did not confirm within 60 s that it will end itself"
    assert confirm(world, name) == []  # too late


def test_one_that_is_still_there_after_its_time_is_ended() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    assert only(ef.Terminate, world.wait(HALF_HOUR_S + OVERDUE_S - 1)) == []
    assert [end.instance for end in only(ef.Terminate, world.wait(2))] == [name]


def test_one_that_ends_itself_is_gone() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    world.wait(HALF_HOUR_S)
    world.ending(name, EndReason.ITSELF)
    world.gone(name, EndReason.ITSELF)
    assert world.run.kept == ()
    assert world.run.instances[name].end_reason is EndReason.ITSELF


def test_one_that_ec2_takes_is_just_gone() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    assert news(nw.NoticeReceived, world.notice(name))
    assert world.state(name) is InstanceState.KEPT
    world.ending(name, EndReason.INTERRUPTED)
    world.gone(name, EndReason.INTERRUPTED)
    assert world.run.kept == ()
    assert world.run.jobs["a"].interruptions == 0


def test_a_stop_ends_it_unless_it_spares_it() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    assert only(ef.Terminate, world.send(ev.RunStopped, reason="an exception", spares_kept=True)) == []
    assert world.state(name) is InstanceState.KEPT
    assert [end.instance for end in only(ef.Terminate, world.send(ev.RunStopped, reason="ctrl-c"))] == [name]


def test_max_life_caps_its_time() -> None:
    world, (name,), _ = failing(max_life_s=600.0)
    assert world.run.instances[name].keep.until == world.run.instances[name].running + timedelta(seconds=600)


def test_one_at_its_max_life_is_not_kept() -> None:
    world, (name,) = working("a", options={"keep_failed_s": HALF_HOUR_S, "max_life_s": 600.0})
    world.wait(700)
    (told,) = news(nw.Warned, world.complete(name, 1))
    assert told.message == "f_1: not kept for a look at a: it has reached max_life"


def test_a_machine_that_was_booted_again_is_told_its_end_again() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    world.send(ev.LinkLost, instance=name, reason="reset")
    assert only(ef.Keep, world.send(ev.LinkRestored, instance=name, boot_id="b1")) == []
    (again,) = only(ef.Keep, world.send(ev.LinkRestored, instance=name, boot_id="b2"))
    assert again.until == world.run.instances[name].keep.until
    assert not world.run.instances[name].is_kept


def test_who_comes_back_asks_again_and_waits_anew() -> None:
    world, (name,), _ = failing()
    world.now += timedelta(hours=1)
    until = world.run.instances[name].keep.until
    assert ef.Keep(instance=name, until=until) in outstanding(world.run)
    assert only(ef.Connect, outstanding(world.run))
    world.send(ev.RunAttached)
    assert only(ef.Terminate, world.wait(CONFIRM_S - 1)) == []
    confirm(world, name)
    world.send(ev.RunAttached)
    assert world.run.instances[name].link_lost is None
    assert outstanding(world.run)[:-1] == ()  # but for the result that is to be accepted


def test_who_leaves_reads_when_it_ends() -> None:
    world, (name,), _ = failing()
    assert farewell(world.run).until == world.run.instances[name].keep.until


# --- money ---


def test_the_budget_sets_its_price_aside() -> None:
    world, (name,), _ = failing(budget_usd=1.0)
    confirm(world, name)
    left = budget_left(world.run)
    world.wait(HALF_HOUR_S / 2)
    assert budget_left(world.run) == pytest.approx(left)
    world.wait(HALF_HOUR_S / 2)
    assert cost_now(world.run) <= 1.0


def test_the_run_may_spend_what_is_not_set_aside_only() -> None:
    world, (one, two), _ = failing("a", "b", budget_usd=0.0245)
    confirm(world, one)
    while not world.run.budget_reached:
        world.wait(10)
    world.complete(two, 143, "budget")
    world.ending(two)
    world.now = world.run.instances[one].keep.until
    world.ending(one, EndReason.ITSELF)
    assert cost_now(world.run) <= 0.0245


def test_what_does_not_fit_the_budget_is_not_kept_and_that_is_said() -> None:
    _, _, effects = failing(budget_usd=0.01)
    (told,) = news(nw.Warned, effects)
    assert told.message.startswith("f_1: not kept for a look at a: it would cost $0.01")
    assert told.message.endswith(", and the budget has no room for it")
    assert only(ef.Keep, effects) == []


def test_a_job_that_the_rest_of_the_budget_does_not_pay_does_not_wait_for_it() -> None:
    world, (name,), _ = failing(budget_usd=0.0207)
    confirm(world, name)
    rate = instance_rate(world.run, world.run.instances[name])
    assert 0 < budget_left(world.run) < rate * 150 / 3600
    world.submit("b")
    assert world.run.budget_reached
    assert world.run.jobs["b"].verdict is JobStatus.BUDGET
    assert world.state(name) is InstanceState.KEPT


def test_a_quota_that_it_fills_makes_jobs_wait_for_its_end() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    world.submit("b")
    for _ in range(5):
        world.answer(launched=(), refusals=(Refusal(kind=RefusalKind.QUOTA, code="MaxSpotInstanceCountExceeded"),))
        world.wait(31)
    assert world.run.jobs["b"].verdict is None
    assert world.run.starved == ()


# --- invariants ---


def broken(run, text: str) -> None:
    found = [line for line in violations(run) if line.startswith("kept: ")]
    assert any(text in line for line in found), found


def test_what_is_wrong_with_a_kept_machine_is_found() -> None:
    world, (name,), _ = failing()
    run, record = world.run, world.run.instances[name]

    def with_instance(**values):
        return attrs.evolve(run, instances={name: attrs.evolve(record, **values)})

    broken(with_instance(keep=None), "is kept for nothing")
    broken(with_instance(state=InstanceState.SSH_READY), "was kept, and is ssh-ready")
    broken(with_instance(keep=attrs.evolve(record.keep, until=record.keep.until + timedelta(days=2))), "for longer")
    succeeded = attrs.evolve(run.jobs["a"], verdict=JobStatus.SUCCEEDED)
    broken(attrs.evolve(run, jobs={"a": succeeded}), "did not fail there for good")


def test_replay_makes_the_same() -> None:
    world, (name,), _ = failing()
    confirm(world, name)
    again = start_run(world.spec, world.run.started)
    for event in world.events:
        again, _ = step(again, event)
    assert again == world.run
