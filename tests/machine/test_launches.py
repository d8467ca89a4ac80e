"""Launch requests: how many, where, and what their answers mean."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.model import EndReason, InstanceState, JobStatus, LaunchState, RunPhase
from aspot.machine.pool import Market, Refusal, RefusalKind
from aspot.machine.step import wakeup
from tests.machine.world import ON_DEMAND, PRICES, START, A, B, C, World, news, only, working


def refusal(kind: RefusalKind, pool=None, *, code="", **fields) -> Refusal:
    return Refusal(kind=kind, code=code or kind.name, pool=pool, **fields)


def asking(*jobs: str, **options) -> World:
    world = World(**options)
    world.prepare()
    world.submit(*(jobs or ("a",)))
    return world


def launches(effects) -> list[tuple[str, int]]:
    return [(launch.spec.id, launch.spec.count) for launch in only(ef.Launch, effects)]


def test_nothing_is_launched_before_the_cloud_is_prepared() -> None:
    world = World()
    assert only(ef.Launch, world.submit("a", "b")) == []
    assert wakeup(world.run) is None
    (launch,) = only(ef.Launch, world.prepare())
    assert launch.spec.count == 2
    assert launch.spec.pools == (A, B, C)
    assert launch.spec.market is Market.SPOT


def test_one_request_asks_for_no_more_than_the_limit() -> None:
    world = asking("a", "b", "c", limit=2)
    assert launches(world.log) == [("r1", 2)]
    assert launches(world.submit("d")) == []


def test_unanswered_requests_count() -> None:
    world = asking("a")
    assert launches(world.submit("b", "c")) == [("r2", 2)]


def test_no_more_machines_than_there_is_work_for() -> None:
    world, names = working("a", "b")
    world.complete(names[0])
    assert launches(world.submit("c")) == []
    assert world.job("c").attempts[0].instance == names[0]


def test_labels_count_up() -> None:
    world = asking("a", "b")
    names = world.answer()
    assert [world.run.instances[name].label for name in names] == ["f_1", "f_2"]


def test_a_launched_instance_is_announced_with_its_price() -> None:
    world = asking("a")
    world.answer(launched=[B])
    (told,) = news(nw.InstanceLaunched, world.log)
    assert (told.instance, told.type, told.zone, told.price_usd_per_hour) == ("f_1", "c7i.large", "us-east-1b", 0.04)


def test_cheapest_pools_come_first() -> None:
    world = World()
    world.prepare(spot_usd_per_hour={A: 0.09, B: 0.08, C: 0.07})
    (launch,) = only(ef.Launch, world.submit("a"))
    assert launch.spec.pools == (C, B, A)


def test_a_shortfall_is_asked_for_at_once_in_the_remaining_pools() -> None:
    world = asking("a", "b", "c")
    world.answer("r1", launched=[B], refusals=[refusal(RefusalKind.NO_CAPACITY, A)])
    (launch,) = only(ef.Launch, world.log)[1:]
    assert (launch.spec.id, launch.spec.count, launch.spec.pools) == ("r2", 2, (B, C))
    (told,) = news(nw.LaunchRefused, world.log)
    assert (told.code, told.pool) == ("NO_CAPACITY", str(A))


def test_a_pool_without_capacity_is_avoided_for_twice_as_long_each_time() -> None:
    world = asking("a", pools=(A,))
    waits = []
    for _ in range(6):
        world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, A)])
        before = world.now
        while not world.run.asked:
            world.now = wakeup(world.run)
            world.send(ev.Ticked)
        waits.append((world.now - before).total_seconds())
    assert waits == [60, 120, 240, 480, 600, 600]
    assert len(news(nw.LaunchRefused, world.log)) == 1


def test_a_machine_makes_its_pools_refusals_forgotten() -> None:
    world = asking("a", pools=(A,))
    world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, A)])
    world.wait(60)
    world.answer()
    assert world.run.memory[A].refused == 0
    assert world.run.memory[A].avoid_until is None


def test_a_refusal_of_the_whole_request_counts_for_the_pools_that_gave_nothing() -> None:
    world = asking("a", "b")
    world.answer(launched=[B], refusals=[refusal(RefusalKind.NO_CAPACITY)])
    assert set(world.run.memory) == {A, C}


def test_too_low_a_price_rests_the_pool_for_five_minutes() -> None:
    world = asking("a", pools=(A,))
    world.answer(launched=[], refusals=[refusal(RefusalKind.PRICE, A)])
    assert wakeup(world.run) == START + timedelta(seconds=300)


def test_a_pool_that_is_not_offered_is_never_asked_again() -> None:
    world = asking("a")
    world.answer(launched=[], refusals=[refusal(RefusalKind.UNSUPPORTED, A), refusal(RefusalKind.UNSUPPORTED, C)])
    (launch,) = only(ef.Launch, world.log)[1:]
    assert launch.spec.pools == (B,)


def test_jobs_are_lost_at_once_when_every_pool_is_barred() -> None:
    world = asking("a", pools=(A,))
    world.answer(launched=[], refusals=[refusal(RefusalKind.UNSUPPORTED, A, code="Unsupported")])
    assert world.job("a").verdict is JobStatus.LOST
    assert "c7i.large us-east-1a (Unsupported)" in world.job("a").reason


def test_pools_that_were_not_tried_are_asked_again_soon() -> None:
    world = asking("a")
    world.answer(launched=[], refusals=[refusal(RefusalKind.NOT_TRIED, pool) for pool in (A, B, C)])
    assert world.run.memory == {}
    assert launches(world.wait(4.9)) == []
    assert launches(world.wait(0.2)) == [("r2", 1)]
    assert news(nw.LaunchRefused, world.log) == []


def test_several_refusals_of_one_kind_are_told_once() -> None:
    world = asking("a")
    world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, pool) for pool in (A, B, C)])
    (told,) = news(nw.LaunchRefused, world.log)
    assert told.pool == ", ".join(map(str, (A, B, C)))
    assert "and 2 more pools; trying other pools" in told.message


def test_no_capacity_for_too_long_loses_the_job_and_names_the_pools() -> None:
    world = asking("a", pools=(A, B), capacity_timeout_s=300)
    world.submit("b")
    end = world.now + timedelta(seconds=299)
    while world.now < end:
        for request in world.run.asked:
            refusals = [refusal(RefusalKind.NO_CAPACITY, pool) for pool in world.run.requests[request].spec.pools]
            world.answer(request, launched=[], refusals=refusals)
        world.wait(10)
    assert world.job("a").verdict is JobStatus.LOST
    assert world.job("b").verdict is JobStatus.LOST
    assert str(A) in world.job("a").reason
    assert "NO_CAPACITY" in world.job("a").reason
    assert "no capacity for 5 min 0 s" in world.job("a").reason


def test_a_launched_machine_stops_the_clock() -> None:
    world = asking("a", capacity_timeout_s=300)
    assert world.job("a").waiting_since == START
    world.answer()
    assert world.job("a").waiting_since is None
    world.wait(1000)
    assert world.job("a").verdict is None


def test_jobs_behind_the_limit_do_not_wait_for_capacity_but_for_their_turn() -> None:
    world, _ = working("a", "b", options={"limit": 1, "capacity_timeout_s": 100})
    world.wait(1000)
    assert world.job("b").verdict is None


def test_when_nothing_lives_every_waiting_job_has_the_same_clock() -> None:
    world = asking("a", "b", "c", limit=1, max_price_usd=0.001, capacity_timeout_s=100)
    world.wait(50)
    world.submit("d")
    world.wait(50)
    assert [world.job(name).verdict for name in "abcd"] == [JobStatus.LOST] * 3 + [None]
    world.wait(50)
    assert world.job("d").verdict is JobStatus.LOST


def test_on_demand_asks_on_demand() -> None:
    world = asking("a", market="on-demand")
    (launch,) = only(ef.Launch, world.log)
    assert launch.spec.market is Market.ON_DEMAND
    (name,) = world.answer()
    assert world.run.instances[name].price_usd_per_hour == ON_DEMAND["c7i.large"]


def test_a_base_is_bought_on_demand_and_the_rest_on_the_spot_market() -> None:
    world = asking("a", "b", "c", on_demand_base=2)
    first, second = (world.run.requests[name].spec for name in world.run.asked)
    assert (first.market, first.count) == (Market.ON_DEMAND, 2)
    assert (second.market, second.count) == (Market.SPOT, 1)
    names = [*world.answer(first.id), *world.answer(second.id)]
    world.boot(*names)
    for name in names:
        world.started(name)
    world.send(ev.InstanceEnded, instance=names[0], reason=EndReason.SOMEONE)  # the base is filled up again
    (again,) = (world.run.requests[name].spec for name in world.run.asked)
    assert (again.market, again.count) == (Market.ON_DEMAND, 1)


def test_without_room_on_demand_the_base_is_bought_on_the_spot_market() -> None:
    world = asking("a", on_demand_base=1, pools=(A,))
    world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, A)])
    (spec,) = (world.run.requests[name].spec for name in world.run.asked)
    assert spec.market is Market.SPOT


def test_spot_first_falls_back_to_on_demand_when_no_spot_pool_is_left() -> None:
    world = asking("a", market="spot-first", pools=(A, B))
    world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, pool) for pool in (A, B)])
    assert world.run.requests["r2"].spec.market is Market.ON_DEMAND
    world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, pool) for pool in (A, B)])
    assert world.run.asked == ()
    assert world.run.on_demand_memory[A].refused == 1
    assert launches(world.wait(60)) == [("r3", 1)]
    assert world.run.requests["r3"].spec.market is Market.SPOT


def test_pools_above_the_maximum_price_are_left_out_while_they_are() -> None:
    world = asking("a", max_price_usd=0.035)
    assert world.run.requests["r1"].spec.pools == (A,)
    world.answer(launched=[], refusals=[refusal(RefusalKind.NO_CAPACITY, A)])
    world.send(ev.PricesSeen, spot_usd_per_hour={A: 0.05, B: 0.03})
    assert world.run.requests["r2"].spec.pools == (B,)


def test_nothing_within_the_maximum_price_is_waited_for_and_said() -> None:
    world = asking("a", max_price_usd=0.001, capacity_timeout_s=60)
    assert launches(world.log) == []
    world.wait(60)
    assert "no pool is within max_price" in world.job("a").reason


def test_a_run_without_any_pool_says_so() -> None:
    world = asking("a", pools=())
    assert world.job("a").verdict is JobStatus.LOST
    assert world.job("a").reason == "no pool can be used: EC2 offers none of the types here"


def quota() -> Refusal:
    return refusal(RefusalKind.QUOTA, code="MaxSpotInstanceCountExceeded", message="32 vCPUs", fix="ask for more")


def test_quota_keeps_what_runs_and_queues_the_rest() -> None:
    world = asking("a", "b", capacity_timeout_s=100)
    (name,) = world.answer(launched=[A], refusals=[quota()])
    world.boot(name)
    assert world.run.quota is not None
    for _ in range(5):
        assert launches(world.wait(30)) != []
        world.answer(launched=[], refusals=[quota()])
    assert world.job("b").verdict is None
    assert len(news(nw.LaunchRefused, world.log)) == 1
    world.started(name)
    world.complete(name)
    assert world.job("b").status is JobStatus.RUNNING


def test_quota_with_nothing_alive_loses_the_jobs_at_the_third_refusal() -> None:
    world = asking("a")
    for _ in range(2):
        world.answer(launched=[], refusals=[quota()])
        assert world.job("a").verdict is None
        world.wait(30)
    world.answer(launched=[], refusals=[quota()])
    assert world.job("a").verdict is JobStatus.LOST
    assert world.job("a").reason == "MaxSpotInstanceCountExceeded: 32 vCPUs (fix: ask for more)"


def test_a_machine_ends_the_row_of_quota_refusals() -> None:
    world = asking("a")
    for _ in range(2):
        world.answer(launched=[], refusals=[quota()])
        world.wait(30)
    world.answer()
    assert world.run.quota is None
    assert world.run.quota_refusals == 0


def test_a_throttled_request_is_repeated_unchanged_after_a_growing_wait() -> None:
    world = asking("a")
    waits = []
    for _ in range(8):
        world.answer("r1", launched=[], refusals=[refusal(RefusalKind.THROTTLED)])
        before = world.now
        assert launches(world.wait((wakeup(world.run) - world.now).total_seconds())) == [("r1", 1)]
        waits.append((world.now - before).total_seconds())
    assert waits[0] <= 2
    assert waits[1] > 1
    assert 30 <= waits[-1] <= 60
    assert len(news(nw.LaunchRefused, world.log)) == 1
    assert list(world.run.requests) == ["r1"]


def test_expired_credentials_are_waited_for() -> None:
    world = asking("a")
    world.answer(launched=[], refusals=[refusal(RefusalKind.AUTH_EXPIRED)])
    assert launches(world.wait(14.9)) == []
    assert launches(world.wait(0.2)) == [("r1", 1)]


def test_a_throttled_job_is_lost_with_the_code_in_the_end() -> None:
    world = asking("a", capacity_timeout_s=60)
    world.answer(launched=[], refusals=[refusal(RefusalKind.THROTTLED, code="RequestLimitExceeded")])
    while world.job("a").verdict is None:
        world.wait((wakeup(world.run) - world.now).total_seconds())
        if world.run.asked and world.run.requests["r1"].retry_at is None:
            world.answer("r1", launched=[], refusals=[refusal(RefusalKind.THROTTLED, code="RequestLimitExceeded")])
    assert "RequestLimitExceeded" in world.job("a").reason


def test_a_throttled_request_rests_when_nobody_needs_it_any_more() -> None:
    world = asking("a")
    world.answer(launched=[], refusals=[refusal(RefusalKind.THROTTLED)])
    world.send(ev.JobsCancelled, jobs=("a",))
    assert launches(world.wait(60)) == []
    assert world.run.requests["r1"].state is LaunchState.ANSWERED


def test_throttling_after_the_job_was_cancelled_is_an_answer() -> None:
    world = asking("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    world.answer("r1", launched=[], refusals=[refusal(RefusalKind.THROTTLED)])
    assert world.run.asked == ()


def test_a_lost_answer_is_asked_again_with_the_same_request() -> None:
    world = asking("a")
    waits = []
    for _ in range(4):
        world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
        assert world.run.requests["r1"].state is LaunchState.IN_DOUBT
        before = world.now
        world.now = wakeup(world.run)
        assert launches(world.send(ev.Ticked)) == [("r1", 1)]
        waits.append((world.now - before).total_seconds())
    assert waits == [2, 5, 10, 20]
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    assert launches(world.wait(29)) == []
    assert launches(world.wait(1)) == [("r2", 1)]
    assert world.run.requests["r1"].state is LaunchState.ANSWERED


def test_refused_repeats_do_not_make_a_doubt_given_up() -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    for _ in range(8):
        world.wait((wakeup(world.run) - world.now).total_seconds())
        world.answer("r1", launched=[], refusals=[refusal(RefusalKind.AUTH_EXPIRED)])
    assert world.run.asked == ("r1",)
    (name,) = world.answer("r1")
    assert world.state(name) is InstanceState.REQUESTED


def test_a_late_answer_brings_the_instances_of_the_lost_one() -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.wait(2)
    (name,) = world.answer("r1")
    assert world.run.requests["r1"].instances == (name,)
    assert world.run.asked == ()


def test_an_instance_that_was_found_settles_the_doubt() -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.send(ev.InstanceFound, instance="i-x", request="r1", pool=A, market=Market.SPOT)
    assert world.run.asked == ()
    assert launches(world.wait(120)) == []
    assert world.state("i-x") is InstanceState.REQUESTED


def test_an_instance_seen_before_its_answer_is_counted_once() -> None:
    world = asking("a")
    world.send(ev.InstanceFound, instance="i-0001", request="r1", pool=A, market=Market.SPOT)
    world.send(ev.InstanceFound, instance="i-0001", request="r1", pool=A, market=Market.SPOT)
    assert world.answer("r1") == ["i-0001"]
    assert list(world.run.instances) == ["i-0001"]
    assert world.run.requests["r1"].instances == ("i-0001",)


def test_an_instance_of_an_unknown_request_is_taken_in() -> None:
    world = asking("a")
    world.send(ev.InstanceFound, instance="i-x", request="", pool=A, market=Market.SPOT)
    assert world.run.instances["i-x"].label == "f_1"
    assert world.run.instances["i-x"].story[0].endswith("launched by someone")


def test_an_answer_after_the_doubt_was_given_up_still_brings_its_instances() -> None:
    world = asking("a")
    for _ in range(5):
        world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
        world.wait(30)
    assert world.run.requests["r1"].state is LaunchState.ANSWERED
    (name,) = world.answer("r1")
    assert world.state(name) is InstanceState.REQUESTED
    world.send(ev.LaunchInDoubt, request="r1", reason="again")
    assert world.run.requests["r1"].state is LaunchState.ANSWERED


def test_a_request_in_doubt_is_not_repeated_by_a_run_that_stops_and_settles_in_time() -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    assert launches(world.wait(29)) == []
    assert world.run.phase is RunPhase.STOPPING
    effects = world.send(ev.InstanceFound, instance="i-x", request="r1", pool=A, market=Market.SPOT)
    assert only(ef.Terminate, effects) != []
    world.gone("i-x")
    assert world.run.phase is RunPhase.ENDED


def test_a_doubt_in_a_run_that_stops_is_over_after_the_settle_time() -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    world.wait(30)
    assert world.run.phase is RunPhase.ENDED


@pytest.mark.parametrize("kind", [RefusalKind.THROTTLED, RefusalKind.AUTH_EXPIRED, RefusalKind.FATAL])
def test_a_refused_repeat_says_nothing_of_the_try_before(kind) -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.wait(2)
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    world.answer("r1", launched=[], refusals=[refusal(kind)])
    world.wait(29)
    assert world.run.phase is RunPhase.STOPPING
    world.wait(1)
    assert world.run.phase is RunPhase.ENDED


def test_a_request_that_was_under_way_at_a_crash_is_in_doubt() -> None:
    world = asking("a")
    world.wait(1000)
    world.send(ev.RunAttached)
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    world.answer("r1", launched=[], refusals=[refusal(RefusalKind.THROTTLED)])
    world.wait(29)
    assert world.run.phase is RunPhase.STOPPING
    effects = world.send(ev.InstanceFound, instance="i-x", request="r1", pool=A, market=Market.SPOT)
    assert only(ef.Terminate, effects) != []


def test_a_doubt_that_nobody_looked_into_is_looked_into_by_who_comes_back() -> None:
    world = asking("a")
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.now += timedelta(seconds=1000)
    world.send(ev.RunAttached)
    world.send(ev.RunStopped, reason="ctrl-c")
    world.accepted("a")
    world.wait(29)
    assert world.run.phase is RunPhase.STOPPING
    world.wait(1)
    assert world.run.phase is RunPhase.ENDED


def test_a_throttled_request_is_not_in_doubt_for_a_crash() -> None:
    world = asking("a")
    world.answer(launched=[], refusals=[refusal(RefusalKind.THROTTLED)])
    world.send(ev.RunAttached)
    assert world.run.requests["r1"].state is LaunchState.SENT


def test_a_fatal_refusal_stops_the_run_with_the_fix() -> None:
    world, _ = working("a")
    world.submit("b")
    fatal = refusal(RefusalKind.FATAL, code="UnauthorizedOperation", message="no", fix="allow ec2:CreateFleet")
    world.answer(launched=[], refusals=[fatal])
    assert world.run.phase is RunPhase.STOPPING
    assert world.job("b").verdict is JobStatus.LOST
    assert world.job("b").reason == "UnauthorizedOperation: no (fix: allow ec2:CreateFleet)"
    assert [stop.job for stop in only(ef.StopAttempt, world.log)] == ["a"]
    (told,) = news(nw.LaunchRefused, world.log)
    assert told.message.endswith("stopping")


def test_a_cloud_that_could_not_be_prepared_loses_the_jobs() -> None:
    world = World()
    world.submit("a")
    world.send(ev.PrepareFailed, reason="no default VPC")
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.LOST, "no default VPC")
    world.accepted("a")
    assert world.run.phase is RunPhase.ENDED


def test_three_machines_in_a_row_without_use_give_the_jobs_up() -> None:
    world = asking("a", limit=1)
    for _ in range(3):
        (name,) = world.answer()
        world.ran(name)
        world.send(ev.InstanceUnusable, instance=name, reason="set-up failed: exit code 1")
        world.gone(name)
    assert world.job("a").verdict is JobStatus.LOST
    assert "3 machines in a row never became ready; the last one: set-up failed" in world.job("a").reason


def test_machines_that_are_still_starting_are_waited_for_before_giving_up() -> None:
    world = asking(*"abcd", limit=4)
    names = world.answer(launched=[A, A, B, C])
    for name in names[:3]:
        world.ran(name)
        world.send(ev.InstanceUnusable, instance=name, reason="no sshd")
        world.gone(name)
    assert launches(world.log) == [("r1", 4), ("r2", 1), ("r3", 1)]
    world.boot(names[3])
    assert world.run.unusable == 0
    assert world.job("a").status is JobStatus.RUNNING


def test_machines_without_use_beside_one_that_works_are_replaced() -> None:
    world, _ = working("a", options={"pools": (A, B, C)})
    world.submit("b")
    for _ in range(3):
        (name,) = world.answer()
        world.gone(name, EndReason.ITSELF)
    world.wait(300)
    assert world.run.unusable == 3
    assert launches(world.log)[-1][0] == "r5"
    assert world.job("b").verdict is None


def test_no_capacity_while_starting_counts_as_a_refusal() -> None:
    world = asking("a")
    (name,) = world.answer(launched=[A])
    world.gone(name, EndReason.NO_CAPACITY)
    assert world.run.memory[A].refused == 1
    assert world.run.requests["r2"].spec.pools == (B, C)
    assert world.run.unusable == 0
    (told,) = news(nw.LaunchRefused, world.log)
    assert told.pool == str(A)


def test_an_end_by_the_accounts_limits_bars_the_pool() -> None:
    world = asking("a")
    (name,) = world.answer(launched=[A])
    world.gone(name, EndReason.ACCOUNT)
    assert world.run.memory[A].barred
    assert world.run.requests["r2"].spec.pools == (B, C)


@pytest.mark.parametrize("number", [1, 2])
def test_a_second_preparation_brings_new_pools_and_prices(number) -> None:
    world = asking("a")
    world.answer(launched=[A])
    for _ in range(number):
        world.prepare(spot_usd_per_hour={**PRICES, A: 0.06})
    assert world.run.phase is RunPhase.OPEN
    assert world.run.instances["i-0001"].price_usd_per_hour == 0.06


def test_why_a_machine_is_replaced_is_told() -> None:
    world = asking("a")
    (name,) = world.answer()
    world.ran(name)
    world.send(ev.InstanceUnusable, instance=name, reason="no sshd; its console ends: Kernel panic")
    (told,) = news(nw.Warned, world.log)
    assert told.message == f"f_1 ({name}) is of no use and is ended: no sshd; its console ends: Kernel panic"


def test_a_machine_that_proves_to_be_somebody_else_later_on_is_no_failed_boot() -> None:
    world, (name,) = working("a")
    world.send(ev.InstanceUnusable, instance=name, reason="wrong host key")
    assert (news(nw.Warned, world.log), world.run.unusable) == ([], 0)
