"""Stopping the whole run: by the user, by the deadline, by the budget."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.model import EndReason, InstanceState, JobStatus, Outcome, RunPhase, StopWhy
from aspot.machine.money import budget_left, cost_now, reserve
from aspot.machine.pool import Refusal, RefusalKind
from aspot.machine.step import is_over, wakeup
from tests.machine.world import PRICES, START, A, World, news, only, working


def ended(effects) -> list[str]:
    return [end.instance for end in only(ef.Terminate, effects)]


def stopped(*jobs: str, **options) -> tuple[World, list[str], list[ef.Effect]]:
    world, names = working(*jobs, **options)
    return world, names, world.send(ev.RunStopped, reason="ctrl-c")


def test_a_stop_cancels_what_waits_and_stops_what_runs() -> None:
    world, _names, effects = stopped("a", "b", "c", options={"limit": 2})
    assert [accept.job for accept in only(ef.AcceptResult, effects)] == ["c"]
    stops = only(ef.StopAttempt, effects)
    assert [(stop.job, stop.why, stop.grace_s) for stop in stops] == [
        ("a", StopWhy.CANCEL, 5.0),
        ("b", StopWhy.CANCEL, 5.0),
    ]
    assert world.run.phase is RunPhase.STOPPING
    assert world.run.stop_reason == "ctrl-c"
    assert world.send(ev.RunStopped, reason="again") == []
    assert world.run.stop_reason == "ctrl-c"


def test_what_was_stopped_comes_home_and_its_machine_ends() -> None:
    world, (name,), _ = stopped("a", attempts=3)
    world.exited(name, 143, "cancel")
    assert ended(world.collected(name)) == [name]
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.CANCELLED, "ctrl-c")
    world.accepted("a")
    assert not is_over(world.run)
    world.gone(name)
    assert world.run.phase is RunPhase.ENDED


def test_what_ended_by_itself_keeps_its_own_status() -> None:
    world, (name,), _ = stopped("a", attempts=3)
    world.complete(name, 1)
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.FAILED, "exit code 1")


def test_starting_and_idle_machines_end_at_once() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.submit("b", "c")
    (new,) = world.answer()
    assert sorted(ended(world.send(ev.RunStopped, reason="ctrl-c"))) == [new]
    assert world.job("b").live.instance == name


def test_what_is_not_home_after_twenty_seconds_is_given_up() -> None:
    world, (name,), _ = stopped("a")
    assert only(ef.AcceptResult, world.wait(19.9)) == []
    effects = world.wait(0.2)
    assert only(ef.AcceptResult, effects) == [ef.AcceptResult(job="a", attempt=1)]
    assert ended(effects) == [name]
    job = world.job("a")
    assert (job.verdict, job.reason) == (JobStatus.CANCELLED, "ctrl-c; not everything of it came home in time")
    assert job.attempts[0].outcome is Outcome.CANCELLED
    assert world.wait(600) == []


def test_an_attempt_that_parts_when_the_run_stops_ends_without_a_successor() -> None:
    world, (name,) = working("a", checkpoint=("ckpt",))
    world.notice(name)
    world.saved(name, 1)
    world.wait(110)
    world.exited(name, 143, "interrupt")
    world.answer()
    effects = world.send(ev.RunStopped, reason="ctrl-c")
    assert only(ef.StopAttempt, effects) == []
    assert ended(effects) == ["i-0002"]
    world.saved(name, 2)
    assert (world.job("a").verdict, world.job("a").interruptions) == (JobStatus.CANCELLED, 1)


def test_an_interrupted_script_of_a_run_that_stops_is_collected() -> None:
    world, (name,), _ = stopped("a", checkpoint=("ckpt",))
    effects = world.exited(name, 143, "interrupt")
    assert only(ef.SaveCheckpoint, effects) == []
    assert len(only(ef.CollectResult, effects)) == 1


def test_a_job_submitted_to_a_run_that_stops_gets_its_verdict() -> None:
    world, _, _ = stopped("a")
    effects = world.submit("b")
    assert only(ef.AcceptResult, effects) == [ef.AcceptResult(job="b", attempt=0)]
    assert world.job("b").reason == "ctrl-c"


def test_an_answer_that_comes_after_the_stop_is_ended_at_once() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    assert not is_over(world.run)
    (name,) = world.answer("r1")
    assert ended(world.log) == [name]


def test_a_stop_before_the_cloud_is_ready() -> None:
    world = World()
    world.submit("a")
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    assert world.run.phase is RunPhase.ENDED
    assert world.prepare() == []


def test_a_machine_that_is_pending_when_it_is_ended_may_still_run_for_a_moment() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    world.send(ev.RunStopped, reason="ctrl-c")
    assert world.ran(name) == []
    assert world.run.instances[name].running == world.now
    assert world.state(name) is InstanceState.TERMINATING


@pytest.mark.parametrize(("deadline_s", "stops_at_s"), [(3600, 3570), (100, 90)])
def test_the_run_stops_so_that_it_is_over_by_its_deadline(deadline_s, stops_at_s) -> None:
    world, _ = working("a", options={"deadline_s": deadline_s})
    world.wait(stops_at_s - 20 - 1)
    assert world.run.stop is None
    world.wait(1)
    assert world.run.stop.reason == "the deadline is reached"
    assert world.run.stop.verdict is JobStatus.CANCELLED


def test_a_deadline_and_a_handover_at_the_same_moment_stop_once() -> None:
    world, (name,) = working("a", options={"deadline_s": 300}, checkpoint=("ckpt",))
    world.wait(30)
    world.notice(name, 230)
    world.now = START + timedelta(seconds=275)
    (stop,) = only(ef.StopAttempt, world.send(ev.Ticked))
    assert stop.why is StopWhy.CANCEL


def test_everything_that_falls_due_while_the_client_slept_stops_the_run_once() -> None:
    options = {"deadline_s": 7200, "budget_usd": 0.05, "capacity_timeout_s": 600, "limit": 2, "pools": (A,)}
    world, _ = working("a", options=options)
    world.submit("b")
    refused = Refusal(kind=RefusalKind.NO_CAPACITY, code="InsufficientInstanceCapacity", pool=A)
    world.answer(launched=[], refusals=[refused])
    world.now += timedelta(hours=8)
    effects = world.send(ev.Ticked)
    assert world.run.stop.reason == "the deadline is reached"
    assert news(nw.BudgetReached, effects) == []
    assert [accept.job for accept in only(ef.AcceptResult, effects)] == ["b"]


def test_the_budget_holds() -> None:
    world, names = working("a", "b", options={"budget_usd": 0.01})
    told = []
    while world.run.stop is None:
        world.now = max(world.now, wakeup(world.run))
        told += news(nw.BudgetReached, world.send(ev.Ticked))
    assert len(told) == 1
    assert told[0].cost_usd + reserve(world.run) == pytest.approx(0.01)
    assert told[0].message.startswith("the budget of $0.010 is reached")
    assert world.run.budget_reached
    assert [stop.why for stop in only(ef.StopAttempt, world.log)] == [StopWhy.BUDGET] * 2
    world.complete(names[0], 143, "budget")
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.BUDGET, "the budget of $0.010 is reached")
    assert ended(world.wait(74)) == []
    assert ended(world.wait(1)) == [names[1]]
    for name in names:
        world.ending(name)
    assert cost_now(world.run) <= 0.01


def test_a_budget_launches_fewer_machines_than_there_are_jobs() -> None:
    world = World(budget_usd=0.006)
    world.prepare()
    (launch,) = only(ef.Launch, world.submit("a", "b", "c", "d"))
    assert launch.spec.count == 2
    assert world.run.starved == ("a", "b")
    names = world.answer()
    assert budget_left(world.run) >= 0
    world.boot(*names)
    for name in names:
        world.started(name)
        world.complete(name)
    assert world.job("c").live.instance == names[0]


def test_a_budget_counts_what_was_asked_for_and_is_not_yet_heard_of() -> None:
    world = World(budget_usd=0.006)
    world.prepare()
    world.submit("a")
    (launch,) = only(ef.Launch, world.submit("b", "c", "d"))
    assert launch.spec.count == 1
    assert budget_left(world.run) >= 0


def test_a_budget_too_small_for_one_machine_ends_the_jobs() -> None:
    world = World(budget_usd=0.0001)
    world.prepare()
    effects = world.submit("a", "b")
    assert only(ef.Launch, effects) == []
    assert [job.verdict for job in world.run.jobs.values()] == [JobStatus.BUDGET] * 2
    assert len(news(nw.BudgetReached, effects)) == 1


def test_prices_that_rise_bring_the_end_of_the_budget_nearer() -> None:
    world, (name,) = working("a", options={"budget_usd": 0.05})
    before = wakeup(world.run)
    world.send(ev.PricesSeen, spot_usd_per_hour={A: 0.3})
    assert wakeup(world.run) < before
    world.send(ev.PricesSeen, spot_usd_per_hour={A: 30.0})
    world.wait(0)
    assert world.run.budget_reached
    assert world.job("a").live.instance == name


def test_a_budget_that_is_far_away_is_looked_at_again() -> None:
    world, (name,) = working("a", options={"budget_usd": 1.0})
    world.submit("b")
    world.send(ev.PricesSeen, spot_usd_per_hour=PRICES)
    first = world.run.budget_at
    (other,) = world.answer()
    assert world.run.budget_at < first
    world.gone(other, EndReason.INTERRUPTED)
    world.wait((world.run.budget_at - world.now).total_seconds())
    assert world.run.stop is None
    assert world.run.budget_at > world.now
    assert world.state(name) is InstanceState.JOB


def test_a_run_without_machines_has_no_time_for_its_budget() -> None:
    world = World(budget_usd=1.0)
    world.prepare()
    assert world.run.budget_at is None
    assert wakeup(world.run) is None


def test_a_budget_that_is_reached_while_the_run_stops_says_nothing() -> None:
    world, _, _ = stopped("a", options={"budget_usd": 0.05})
    assert news(nw.BudgetReached, world.send(ev.PricesSeen, spot_usd_per_hour={A: 300.0})) == []
    assert news(nw.BudgetReached, world.wait(10)) == []
