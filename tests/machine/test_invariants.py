"""Each invariant, on a run that breaks it: a check that never fires checks nothing."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from aspot.machine import events as ev
from aspot.machine.invariants import violations
from aspot.machine.model import AttemptState, InstanceState, JobStatus, Outcome, Run, RunPhase, Stop, StopWhy
from aspot.machine.pool import Pool
from tests.machine.world import START, working


def broken(run: Run, check: str, text: str = "") -> None:
    found = violations(run)
    assert any(line.startswith(f"{check}: ") and text in line for line in found), found


def with_job(run: Run, name: str, **values) -> Run:
    return attrs.evolve(run, jobs={**run.jobs, name: attrs.evolve(run.jobs[name], **values)})


def with_attempt(run: Run, name: str, **values) -> Run:
    attempts = run.jobs[name].attempts
    return with_job(run, name, attempts=(*attempts[:-1], attrs.evolve(attempts[-1], **values)))


def with_instance(run: Run, name: str, **values) -> Run:
    return attrs.evolve(run, instances={**run.instances, name: attrs.evolve(run.instances[name], **values)})


@pytest.fixture
def world():
    return working("a", "b", "c", options={"limit": 2})[0]


def test_a_good_run_breaks_nothing(world) -> None:
    assert violations(world.run) == []


def test_two_live_attempts(world) -> None:
    (old,) = world.job("a").attempts
    run = with_job(world.run, "a", attempts=(old, attrs.evolve(old, number=2)))
    broken(run, "one_live_attempt", "older attempt")
    broken(with_job(run, "a", attempts=(old, old)), "one_live_attempt", "out of order")


def test_an_instance_that_does_not_know_its_attempt(world) -> None:
    broken(with_instance(world.run, "i-0001", attempt=None), "bound_to_instances", "does not know")
    broken(with_instance(world.run, "i-0001", attempt=None), "bound_to_instances", "in JOB without")


def test_an_instance_with_an_attempt_it_cannot_have(world) -> None:
    broken(with_instance(world.run, "i-0001", state=InstanceState.SSH_READY), "bound_to_instances", "ssh-ready")
    broken(with_attempt(world.run, "a", state=AttemptState.ENDED), "bound_to_instances", "has ('a', 1)")


def test_statuses_that_contradict_each_other(world) -> None:
    run = world.run
    broken(with_job(run, "c", status=JobStatus.LOST), "statuses", "its verdict is None")
    broken(with_job(run, "a", verdict=JobStatus.LOST), "statuses", "verdict and a live attempt")
    broken(with_job(run, "c", status=JobStatus.RUNNING), "statuses", "running without")
    broken(with_job(run, "c", accepted=1), "statuses", "never was")
    broken(with_job(run, "c", verdict=JobStatus.SUCCEEDED), "statuses", "succeeded without")


def test_charges_without_cause(world) -> None:
    for field in ("failures", "interruptions", "losses"):
        broken(with_job(world.run, "a", **{field: 1}), "budgets", field)
    run = with_attempt(world.run, "a", state=AttemptState.ENDED, outcome=Outcome.FAILED)
    assert not any("budgets" in line for line in violations(run))


def test_idle_machines_beyond_the_limit(world) -> None:
    run = with_instance(world.run, "i-0001", state=InstanceState.SSH_READY)
    spec = attrs.evolve(run.spec, limit=1)
    broken(attrs.evolve(run, spec=spec, idle=("i-0001",)), "limit", "2 machines, limit 1")


def test_a_stop_that_leaves_something_waiting(world) -> None:
    late = START + timedelta(hours=1)
    stop = Stop(at=START, reason="", verdict=JobStatus.CANCELLED, why=StopWhy.CANCEL, force_at=late)
    run = attrs.evolve(world.run, stop=stop)
    broken(run, "stopped_means_stopped", "wait in a run that stops")
    idle = with_instance(run, "i-0001", state=InstanceState.SSH_READY, attempt=None)
    broken(idle, "stopped_means_stopped", "without work")


def test_indexes_that_lie(world) -> None:
    run = world.run
    broken(attrs.evolve(run, queued=()), "indexes", "queued")
    broken(attrs.evolve(run, live=()), "indexes", "live")
    broken(attrs.evolve(run, idle=("i-0001",)), "indexes", "idle")
    broken(attrs.evolve(run, advised=("i-0001",)), "indexes", "advised")
    broken(attrs.evolve(run, counted=7), "indexes", "counted")
    broken(attrs.evolve(run, unfinished=0), "indexes", "unfinished")


def test_negative_costs(world) -> None:
    broken(with_instance(world.run, "i-0001", cost_usd=-1.0), "money", "negative")


def test_seconds_that_do_not_add_up(world) -> None:
    broken(with_attempt(world.run, "a", boot_s=1e6), "seconds", "attempt 1")
    broken(with_attempt(world.run, "a", boot_s=-1.0), "seconds", "attempt 1")


def test_an_end_that_leaves_something_open(world) -> None:
    run = attrs.evolve(world.run, phase=RunPhase.ENDED)
    broken(run, "requests", "something open")
    broken(run, "requests", "live machine")


def test_an_end_with_a_kept_machine_is_an_end() -> None:
    world, (name,) = working("a")
    world.send(ev.SubmissionClosed)
    world.complete(name)
    world.accepted("a")
    world.send(ev.TerminateFailed, instance=name, reason="termination protection")
    assert world.run.phase is RunPhase.ENDED
    assert violations(world.run) == []


def test_a_request_that_asks_two_regions(world) -> None:
    name, record = next(iter(world.run.requests.items()))
    spec = attrs.evolve(record.spec, pools=(*record.spec.pools, Pool("c7i.large", "eu-west-1a")))
    run = attrs.evolve(world.run, requests={**world.run.requests, name: attrs.evolve(record, spec=spec)})
    assert violations(run) == [], "a run of one region is not looked at"
    run = attrs.evolve(run, spec=attrs.evolve(run.spec, regions=("us-east-1", "eu-west-1")))
    broken(run, "one_region_a_request", "asks 2 regions")
