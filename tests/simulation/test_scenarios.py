"""Whole fleets on a simulated cloud: what must come out when this or that happens."""

from datetime import datetime

import anyio
import pytest
from simulated.cloud import POOLS
from simulated.scripts import Script
from simulated.world import Faults, World, simulate

from aspot.errors import AspotError, AuthError, ConfigError
from aspot.machine.events import RebalanceAdvised
from aspot.machine.model import EndReason, Evacuation, Outcome
from aspot.machine.news import JobEnded, LaunchRefused, LogLine, NoticeReceived, Warned
from aspot.ports import CloudRebalance, CloudUnavailable, Mounting, RunnerHookDone, RunnerRebalance
from aspot.results import Result

LONG = Script(work_s=60.0, checkpoint_s=5.0)


def statuses(world: World) -> dict[str, str]:
    return {name: record.status.value for name, record in world.host.run.jobs.items()}


def outcomes(world: World, job: str) -> list[Outcome | None]:
    return [attempt.outcome for attempt in world.host.run.jobs[job].attempts]


def test_eight_jobs_succeed_on_eight_machines():
    async def story(world: World) -> None:
        await world.run(*(world.add(f"j{n}") for n in range(8)))

    world = simulate(story)
    assert set(statuses(world).values()) == {"succeeded"}
    assert len(world.cloud.machines) == 8
    assert world.host.left == ()
    assert world.host.error is None
    assert world.cloud.calls["launch"] == 1
    ended = [news for news in world.news if isinstance(news, JobEnded)]
    assert {news.result.name: news.result.ok for news in ended} == {f"j{n}": True for n in range(8)}
    assert world.news[-1].name == "fleet_finished"
    assert world.archive.summary is not None
    assert len(world.archive.summary["results"]) == 8


def test_jobs_handed_in_one_by_one_are_launched_for_together():
    async def story(world: World) -> None:
        await world.host.start()
        for n in range(20):
            world.host.submit([world.add(f"j{n}")])
        world.host.close()
        await world.host.finished()

    world = simulate(story)
    assert world.cloud.calls["launch"] == 1
    assert len(world.cloud.machines) == 20


def test_results_are_handed_over_before_the_teardown():
    async def story(world: World) -> None:
        await world.host.start()
        world.host.submit([world.add("a")])
        world.host.close()
        result = await world.host.wait_job("a")
        assert result.ok
        assert result.exit_code == 0
        assert not world.host.is_done
        await world.host.finished()

    simulate(story)


def test_one_job_fails_and_the_others_do_not():
    async def story(world: World) -> None:
        await world.run(world.add("good"), world.add("bad", Script(code=3)), world.add("slow", LONG))

    world = simulate(story)
    assert statuses(world) == {"good": "succeeded", "bad": "failed", "slow": "succeeded"}
    assert world.host.results["bad"].exit_code == 3


def test_a_failing_job_is_tried_again_if_asked():
    async def story(world: World) -> None:
        await world.run(world.add("flaky", Script(fails_first=2), attempts=3))

    world = simulate(story)
    assert outcomes(world, "flaky") == [Outcome.FAILED, Outcome.FAILED, Outcome.SUCCEEDED]


def test_a_job_that_takes_too_long_is_timed_out():
    async def story(world: World) -> None:
        await world.run(world.add("slow", Script(work_s=500.0), timeout_s=30.0))

    world = simulate(story)
    assert statuses(world) == {"slow": "timed_out"}
    assert world.host.results["slow"].exit_code is None


@pytest.mark.parametrize("notice_s", [120.0, 20.0, 5.0])
def test_an_interrupted_job_goes_on_elsewhere_from_its_checkpoint(notice_s: float):
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG), world.add("b", LONG))
            await world.until(lambda: "a" in statuses(world) and world.host.run.jobs["a"].attempts != ())
            await anyio.sleep(20.0)
            world.running("a").warn(notice_s)

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded", "b": "succeeded"}
    assert outcomes(world, "a")[-1] is Outcome.SUCCEEDED
    assert outcomes(world, "a")[:-1] == [Outcome.INTERRUPTED]
    first, second = world.host.run.jobs["a"].attempts
    assert first.pool != second.pool
    assert second.resumed_from > 0
    assert any(isinstance(news, NoticeReceived) for news in world.news)
    assert world.host.results["a"].redone < 30.0
    assert world.host.run.jobs["a"].failures == 0
    check_where_the_time_went(world.host.results["a"], notice_s)


def test_by_policy_an_advised_job_moves_before_ec2_takes_its_machine():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: "a" in statuses(world) and world.host.run.jobs["a"].attempts != ())
            await anyio.sleep(20.0)
            world.running("a").advise()

    world = simulate(story, limit=1, moves_when_advised=True)
    assert statuses(world) == {"a": "succeeded"}
    job = world.host.run.jobs["a"]
    assert outcomes(world, "a") == [Outcome.INTERRUPTED, Outcome.SUCCEEDED]
    assert (job.interruptions, job.moves) == (0, 1)
    assert job.attempts[0].pool != job.attempts[1].pool
    assert world.host.results["a"].redone < 2.0
    assert world.host.results["a"].recovery_gap < 5.0


def check_where_the_time_went(result: Result, notice_s: float) -> None:
    """With time enough the gap is the handover, not the boot; work and gap are all there was between start and end."""
    first, second = result.attempts
    assert min(first.boot, second.boot) > 15
    assert result.recovery_gap == first.gap
    if notice_s != 20.0:  # about as long as a boot: it may be in time or not
        assert (first.gap < 3.0) == (notice_s == 120.0)
    assert first.gap < second.boot + 5
    worked_s = (second.started - first.started).total_seconds() + second.useful
    assert first.useful + first.gap + second.useful == pytest.approx(worked_s, abs=0.01)
    in_vain_s = (
        first.useful + second.useful - LONG.work_s
    )  # done after the last checkpoint was written, before it was here
    assert -0.5 < in_vain_s < LONG.checkpoint_s + 0.5


def test_what_the_user_named_for_a_notice_comes_home_beside_the_handover():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG, evacuate=("model", "logs"), on_notice="./save.sh"))
            await world.until(lambda: "a" in statuses(world) and world.host.run.jobs["a"].attempts != ())
            await anyio.sleep(20.0)
            machine = world.running("a")
            machine.warn(120.0)
            await anyio.sleep(5.0)
            machine.facts.append(RunnerHookDone(job="a", attempt=1, code=0))
            machine.touch()

    world = simulate(story)
    first, second = world.host.run.jobs["a"].attempts
    assert (first.evacuated, first.evacuating) == (Evacuation(files=2, size=20), 0)
    assert first.evacuations == 3, "at the notice, after the hook, and after the last moment"
    assert second.evacuated is None
    assert "evacuated: 2 files, 20 bytes" in world.host.results["a"].attempts[0].saved


def test_an_evacuation_that_the_clock_or_the_machine_cuts_short_says_so():
    async def story(world: World) -> None:
        names = tuple(f"f{number}" for number in range(50))
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG, evacuate=names), world.add("b", LONG, evacuate=names))
            await world.until(lambda: len(statuses(world)) == 2)
            await world.until(
                lambda: all(job.attempts and job.attempts[0].started for job in world.host.run.jobs.values())
            )
            machines = [world.running("a"), world.running("b")]
            for machine in machines:
                machine.warn(20.0)
            await anyio.sleep(8.0)
            machines[1].interrupt()

    world = simulate(story)
    for job, most in (("a", 16), ("b", 8)):
        brought = world.host.run.jobs[job].attempts[0].evacuated
        assert 0 < brought.files <= most
        assert len(brought.lost) == 50 - brought.files
        assert set(brought.lost) == {f"f{number} (no time left for it)" for number in range(brought.files, 50)}


def test_trouble_with_this_disk_loses_files_and_nothing_else():
    async def story(world: World) -> None:
        world.troubles["evacuate"] = 1
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG, evacuate=("model", "logs")))
            await world.until(lambda: "a" in statuses(world) and world.host.run.jobs["a"].attempts != ())
            await anyio.sleep(20.0)
            world.running("a").warn(120.0)

    world = simulate(story)
    first = world.host.run.jobs["a"].attempts[0]
    assert statuses(world) == {"a": "succeeded"}
    assert (first.evacuated.files, first.evacuated.lost) == (2, ()), "the last look brought what the first could not"
    assert first.evacuations == 2


def test_a_result_does_not_wait_for_what_is_still_on_its_way():
    """Its job goes on elsewhere and ends within the notice; the result says what came of the first machine."""

    async def story(world: World) -> None:
        names = tuple(f"f{number}" for number in range(500))
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG, evacuate=names), world.add("b", Script(work_s=300.0)))
            await world.until(lambda: len(statuses(world)) == 2)
            await world.until(
                lambda: all(job.attempts and job.attempts[0].started for job in world.host.run.jobs.values())
            )
            await anyio.sleep(50.0)
            world.running("a").warn(120.0)
            await world.until(lambda: statuses(world)["a"] == "succeeded")
            ended.append(world.clock.now())

    ended: list[datetime] = []
    world = simulate(story)
    first = world.host.run.jobs["a"].attempts[0]
    assert first.evacuated is not None
    assert (first.evacuated.files > 0, first.evacuating) == (True, 0)
    assert (ended[0] - first.ended).total_seconds() < 60
    stored = world.archive.accepted["a"][2]
    assert first.instance == stored["attempts"][0]["instance_id"]
    assert f"evacuated: {first.evacuated.files} files" in world.host.results["a"].attempts[0].saved


@pytest.mark.parametrize("channel", ["runner", "spot-request"])
def test_one_channel_is_enough_to_hear_of_a_notice(channel: str):
    async def story(world: World) -> None:
        world.cloud.mute_channels.add(channel)
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(20.0)
            world.running("a").warn(30.0)

    world = simulate(story)
    assert {news.channel for news in world.news if isinstance(news, NoticeReceived)} == {
        "runner",
        "spot-request",
    } - {channel}
    assert world.host.run.jobs["a"].attempts[1].resumed_from > 0


@pytest.mark.parametrize("muted", [{"runner", "spot-request"}, {"spot-request"}, set()], ids=["alone", "two", "three"])
def test_events_of_ec2_are_a_third_channel_and_a_notice_is_one(muted: set[str]):
    async def story(world: World) -> None:
        world.cloud.mail = []
        world.cloud.mute_channels |= muted
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", Script(work_s=200.0, checkpoint_s=5.0)))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(90.0)  # it listens after a minute
            world.running("a").warn(60.0)

    world = simulate(story)
    notices = [news for news in world.news if isinstance(news, NoticeReceived)]
    assert len(notices) == 1
    if len(muted) == 2:
        assert notices[0].channel == "sqs"
    assert world.host.run.jobs["a"].attempts[1].resumed_from > 0
    assert statuses(world) == {"a": "succeeded"}


def test_a_recommendation_and_a_change_of_state_are_heard():
    async def story(world: World) -> None:
        world.cloud.mail = []
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", Script(work_s=300.0, checkpoint_s=5.0)))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(90.0)
            machine = world.running("a")
            for _ in range(2):
                world.cloud.tell(CloudRebalance(instance=machine.id))
            await anyio.sleep(20.0)
            advised.append(world.host.run.instances[machine.id].rebalance)
            machine.interrupt()
            since.append(world.loop.time())
            await world.until(lambda: world.host.run.instances[machine.id].ending is not None)
            since.append(world.loop.time())

    advised: list[datetime | None] = []
    since: list[float] = []
    world = simulate(story, faults=Faults(stale_s=0.0))
    assert advised[0] is not None
    assert since[1] - since[0] < 4.5  # a poll alone takes up to 5 s, and then its answer
    assert [type(event) for event in world.journal.events].count(RebalanceAdvised) == 1


def test_a_run_of_less_than_a_minute_does_not_ask_whether_there_are_events():
    async def story(world: World) -> None:
        world.cloud.mail = []
        await world.run(world.add("a", Script(work_s=5.0)))

    world = simulate(story)
    assert world.loop.time() < 60
    assert world.cloud.calls["hear"] == 0


def test_where_events_are_not_set_up_it_asks_once():
    async def story(world: World) -> None:
        await world.run(world.add("a", Script(work_s=1000.0)))

    assert simulate(story).cloud.calls["hear"] == 1


def test_events_that_cannot_be_had_are_said_once_and_cost_nothing():
    async def story(world: World) -> None:
        world.cloud.hear_error = AuthError("AWS refused sqs:CreateQueue", fix="ask for it")
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", Script(work_s=300.0, checkpoint_s=5.0)))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(90.0)
            world.running("a").warn(60.0)

    world = simulate(story)
    assert world.cloud.calls["hear"] == 1
    said = [news.message for news in world.news if isinstance(news, Warned) and "events" in news.message]
    assert len(said) == 1
    assert "sqs:CreateQueue (ask for it)" in said[0]
    assert statuses(world) == {"a": "succeeded"}


def test_a_queue_that_cannot_be_reached_is_asked_again_ever_more_rarely():
    async def story(world: World) -> None:
        world.cloud.hear_error = CloudUnavailable("503")
        await world.run(world.add("a", Script(work_s=3600.0)))

    world = simulate(story)
    assert 50 < world.cloud.calls["hear"] < 200
    assert statuses(world) == {"a": "succeeded"}


def test_empty_answers_that_come_at_once_are_not_asked_for_in_a_hurry():
    async def story(world: World) -> None:
        world.cloud.mail = []
        world.cloud.hear_s = 0.0
        await world.run(world.add("a", Script(work_s=300.0)))

    world = simulate(story)
    assert world.cloud.calls["hear"] < 400


def test_a_job_that_ends_within_its_notice_is_a_success():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", Script(work_s=60.0)))
            await world.until(lambda: any(machine.facts or machine.folders for machine in machines(world)))
            await anyio.sleep(20.0)
            world.running("a").warn(120.0)

    world = simulate(story)
    assert outcomes(world, "a") == [Outcome.SUCCEEDED]


def test_sudden_death_costs_what_was_not_synced():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG, checkpoint_every_s=10.0))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(40.0)
            world.running("a").interrupt()

    world = simulate(story)
    assert outcomes(world, "a") == [Outcome.INTERRUPTED, Outcome.SUCCEEDED]
    assert world.host.run.jobs["a"].attempts[1].resumed_from > 0
    assert 0 < world.host.results["a"].redone < 45


def machines(world: World) -> list:
    return list(world.cloud.machines.values())


@pytest.mark.parametrize("fate", ["lost", "lost-undone", "throttle"])
def test_a_launch_in_doubt_or_throttled_makes_no_second_machine(fate: str):
    async def story(world: World) -> None:
        world.cloud.scripted = [fate, fate]
        await world.run(world.add("a"), world.add("b"))

    world = simulate(story)
    assert set(statuses(world).values()) == {"succeeded"}
    assert len(world.cloud.machines) == 2


def test_jobs_wait_while_no_pool_has_room():
    async def story(world: World) -> None:
        world.cloud.capacity = dict.fromkeys(POOLS, 0)
        world.cloud.back_at(900.0, POOLS[2], 5)
        await world.run(world.add("a"), world.add("b"))

    world = simulate(story)
    assert set(statuses(world).values()) == {"succeeded"}
    assert {machine.pool for machine in machines(world)} == {POOLS[2]}
    assert any(isinstance(news, LaunchRefused) for news in world.news)


def test_jobs_are_lost_when_no_pool_has_room_for_too_long():
    async def story(world: World) -> None:
        world.cloud.capacity = dict.fromkeys(POOLS, 0)
        await world.run(world.add("a"))

    world = simulate(story, capacity_timeout_s=600.0)
    assert statuses(world) == {"a": "lost"}
    assert "InsufficientInstanceCapacity" in world.host.results["a"].reason
    assert world.cloud.machines == {}


def test_one_job_is_cancelled_and_the_others_go_on():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG), world.add("b", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(10.0)
            world.host.cancel(["a"])

    world = simulate(story)
    assert statuses(world) == {"a": "cancelled", "b": "succeeded"}


def test_cancelling_all_jobs_leaves_the_fleet_open_for_more():
    async def story(world: World) -> None:
        await world.host.start()
        world.host.submit([world.add("a", LONG)])
        await anyio.sleep(5.0)
        world.host.cancel()
        assert (await world.host.wait_job("a")).status == "cancelled"
        world.host.submit([world.add("b")])
        assert (await world.host.wait_job("b")).ok
        world.host.close()
        await world.host.finished()

    simulate(story)


def test_the_budget_stops_launching_and_brings_home_what_there_is():
    async def story(world: World) -> None:
        await world.run(*(world.add(f"j{n}", Script(work_s=4000.0)) for n in range(4)))

    world = simulate(story, budget_usd=0.05)
    assert set(statuses(world).values()) == {"budget"}
    assert world.host.run.budget_reached


def test_a_run_without_jobs_ends_at_once():
    async def story(world: World) -> None:
        await world.run()

    world = simulate(story)
    assert world.cloud.machines == {}
    assert world.host.left == ()


def test_a_partition_of_ten_minutes_costs_nothing():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", Script(work_s=400.0)))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(10.0)
            world.partition(machines(world)[0], 600.0)

    world = simulate(story)
    assert outcomes(world, "a") == [Outcome.SUCCEEDED]
    assert len(world.cloud.machines) == 1
    assert 5 <= world.cloud.calls["let_caller_in"] <= 11  # our own address is asked for, once a minute


def test_a_reboot_loses_the_attempt_but_not_the_job():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(20.0)
            machines(world)[0].reboot()

    world = simulate(story)
    assert outcomes(world, "a") == [Outcome.LOST, Outcome.SUCCEEDED]


def test_two_hundred_jobs_share_twenty_machines():
    async def story(world: World) -> None:
        await world.run(*(world.add(f"j{n}", Script(work_s=5.0)) for n in range(200)))

    world = simulate(story, limit=20)
    assert set(statuses(world).values()) == {"succeeded"}
    assert len(world.cloud.machines) == 20
    assert world.loop.time() < 300


def test_a_machine_terminated_by_someone_is_not_the_jobs_failure():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            machines(world)[0].end(EndReason.SOMEONE)

    world = simulate(story)
    assert outcomes(world, "a")[-1] is Outcome.SUCCEEDED
    assert world.host.run.jobs["a"].interruptions == 0


def test_a_failed_preparation_reaches_everybody_and_launches_nothing():
    async def story(world: World) -> None:
        world.cloud.prepare_error = AuthError("no credentials", code="AuthFailure", fix="aws configure")
        world.host.submit([world.add("a")])
        with pytest.raises(AuthError):
            await world.host.start()
        with pytest.raises(AuthError):
            await world.host.wait_job("a")
        with pytest.raises(AuthError):
            world.host.submit([world.add("b")])
        await world.host.finished()

    world = simulate(story)
    assert isinstance(world.host.error, AuthError)
    assert world.cloud.calls["clean_up"] == 0
    assert world.archive.accepted == {}


def test_a_full_disk_under_the_journal_stops_the_run_and_leaves_nothing():
    async def story(world: World) -> None:
        world.journal.fails_after = 12
        await world.run(*(world.add(f"j{n}", LONG) for n in range(4)))

    world = simulate(story)
    assert world.host.error is not None
    assert "disk is full" in world.host.error.message
    assert world.host.left == ()


def test_results_that_cannot_be_placed_at_first_are_placed_later():
    async def story(world: World) -> None:
        world.archive.refusals = 3
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert sum(isinstance(news, Warned) for news in world.news) == 3


def test_a_local_file_that_vanished_fails_its_job_alone():
    async def story(world: World) -> None:
        world.undeliverable.add("a")
        await world.run(world.add("a"), world.add("b"))

    world = simulate(story)
    assert statuses(world) == {"a": "failed", "b": "succeeded"}
    assert "data.csv" in world.host.results["a"].reason


def test_a_disk_full_for_a_moment_delays_a_result_but_loses_none():
    async def story(world: World) -> None:
        world.troubles["fetch_result"] = 3
        await world.run(world.add("a"))

    assert statuses(simulate(story)) == {"a": "succeeded"}


def test_a_disk_that_stays_full_loses_the_result_and_says_why():
    async def story(world: World) -> None:
        world.troubles["fetch_result"] = 1000
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "lost"}
    assert "No space left" in world.host.results["a"].reason


def test_a_checkpoint_that_cannot_be_kept_is_missed_and_the_job_goes_on():
    async def story(world: World) -> None:
        world.troubles["fetch_checkpoint"] = 1
        await world.run(world.add("a", LONG, checkpoint_every_s=20.0))

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    names = [type(event).__name__ for event in world.journal.events]
    assert names.count("CheckpointMissed") == 1
    assert "CheckpointSaved" in names


def test_a_local_file_that_cannot_be_read_fails_its_job():
    async def story(world: World) -> None:
        world.troubles["deliver"] = 1
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "failed"}


def test_hooks_and_rebalances_are_heard_once_whatever_the_link_does():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            await anyio.sleep(10.0)
            machine = world.running("a")
            machine.facts += [RunnerRebalance(), RunnerHookDone(job="a", attempt=1, code=0)]
            machine.touch()
            await anyio.sleep(10.0)
            world.break_links(machine)

    world = simulate(story)
    names = [type(event).__name__ for event in world.journal.events]
    assert names.count("RebalanceAdvised") == names.count("HookFinished") == names.count("LinkRestored") == 1


def test_a_setup_that_fails_everywhere_ends_the_jobs():
    async def story(world: World) -> None:
        world.setup = "false"
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "lost"}
    assert "set-up failed" in world.host.results["a"].reason


def test_what_cannot_be_mounted_anywhere_ends_the_jobs_with_the_fix():
    async def story(world: World) -> None:
        world.cloud.mountings = (Mounting(what="data could not be mounted", script="false", fix="try another"),)
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "lost"}
    assert "data could not be mounted: exit code 1; try another" in world.host.results["a"].reason


def test_a_reboot_mounts_again_before_the_next_job():
    async def story(world: World) -> None:
        world.cloud.mountings = (Mounting(what="data could not be mounted", script="true"),)
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            world.break_links(machines(world)[0])
            await anyio.sleep(30.0)
            machines(world)[0].reboot()

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    first, second = machines(world)[0].set_ups  # not once more for the link that broke
    assert [text.partition("-boot")[0] for text in (first, second)] == [f"true\n# boot {machines(world)[0].id}"] * 2
    assert first != second


def first_is(world: World, **qualities: bool) -> None:
    """Give the first machine qualities, from its birth."""
    plan = world.plan_fate

    def fate(machine) -> None:
        for name, value in qualities.items():
            setattr(machine, name, value and len(world.cloud.machines) == 1)
        plan(machine)

    world.plan_fate = fate  # type: ignore[method-assign]


def test_a_machine_that_never_answers_is_replaced():
    async def story(world: World) -> None:
        first_is(world, is_mute=True)
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert len(world.cloud.machines) == 2
    assert 300 < world.loop.time() < 450


@pytest.mark.parametrize("seed", range(8))
def test_a_console_that_tells_late_never_or_not_to_us_delays_a_replacement_by_seconds(seed):
    async def story(world: World) -> None:
        first_is(world, is_mute=True)
        if seed % 2:
            world.cloud.denied.add("console")
        await world.run(world.add("a"))

    world = simulate(story, seed=seed)
    assert statuses(world) == {"a": "succeeded"}
    assert world.cloud.calls["console"] == 1
    assert 300 < world.loop.time() < 460


def test_a_machine_that_stays_pending_is_replaced():
    async def story(world: World) -> None:
        first_is(world, is_stuck=True)
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert 600 < world.loop.time() < 750


def test_a_machine_that_is_somebody_else_is_replaced_and_gets_nothing():
    async def story(world: World) -> None:
        first_is(world, is_foreign=True)
        await world.run(world.add("a"))

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert world.machine(0).folders == {}
    assert world.loop.time() < 180


def test_a_host_key_that_is_foreign_for_a_moment_is_asked_for_again():
    async def story(world: World) -> None:
        first_is(world, is_foreign=True)
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a"))
            await world.until(lambda: world.remote.connects > 2)
            world.machine(0).is_foreign = False

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert len(machines(world)) == 1


def test_a_machine_that_ends_while_it_starts_is_replaced():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a"))
            await world.until(lambda: bool(world.cloud.machines))
            world.machine(0).end(EndReason.NO_CAPACITY)

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert world.host.run.jobs["a"].losses == 0


def test_expired_credentials_pause_the_cloud_side_only():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            world.cloud.locked_until = world.loop.time() + 300.0
            assert (await world.host.wait_job("a")).ok
            assert world.loop.time() < world.cloud.locked_until

    world = simulate(story, faults=Faults(until_s=1e9), budget_usd=None)
    said = [news.message for news in world.news if isinstance(news, Warned)]
    assert len([line for line in said if "no longer takes the credentials" in line]) == 1


def test_a_machine_that_nobody_was_told_of_is_ended_at_the_end():
    async def story(world: World) -> None:
        world.cloud.scripted = ["lost"]
        await world.host.start()
        world.host.submit([world.add("a")])
        await world.until(lambda: bool(world.cloud.machines))
        world.cloud.locked_until = world.loop.time() + 90.0  # longer than a doubt lasts in a run that stops
        world.host.stop("the test wants it")
        await world.host.finished()

    world = simulate(story)
    assert world.host.left == ()
    assert not world.host.run.instances
    assert machines(world)[0].end_reason is EndReason.OURS


def test_a_terminate_that_changes_nothing_is_repeated():
    async def story(world: World) -> None:
        world.cloud.deaf = 2
        await world.run(world.add("a"))

    world = simulate(story)
    assert world.host.left == ()
    assert world.cloud.calls["terminate"] == 3
    assert world.loop.time() < 150


def test_a_terminate_that_finds_no_ec2_is_repeated_soon():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a"))
            await world.until(lambda: bool(world.archive.accepted))
            world.cloud.down_until = world.loop.time() + 5.0

    world = simulate(story)
    assert world.loop.time() < 110


def test_a_permission_that_lacks_stops_the_run_and_says_so():
    async def story(world: World) -> None:
        world.cloud.denied.add("sightings")
        world.oracle.is_left = True
        await world.run(world.add("a"))

    world = simulate(story)
    assert isinstance(world.host.error, AuthError)
    assert not any(machine.is_alive for machine in machines(world))


def test_prices_that_cannot_be_asked_for_are_no_reason_to_stop():
    async def story(world: World) -> None:
        world.cloud.denied.add("spot_prices")
        await world.run(world.add("a", Script(work_s=300.0)))

    assert statuses(simulate(story)) == {"a": "succeeded"}


def test_output_waits_while_the_disk_here_is_full():
    async def story(world: World) -> None:
        world.troubles["follow"] = 3
        await world.run(world.add("a", LONG))

    world = simulate(story)
    assert statuses(world) == {"a": "succeeded"}
    assert len([news for news in world.news if isinstance(news, Warned)]) == 1


def test_a_group_that_is_in_use_for_a_while_is_deleted_later():
    async def story(world: World) -> None:
        world.cloud.sticky = 3
        await world.run(world.add("a"))

    world = simulate(story)
    assert world.host.left == ()
    assert world.cloud.calls["clean_up"] == 4


def test_a_launch_that_is_slow_when_the_time_is_up_is_waited_for():
    async def story(world: World) -> None:
        world.cloud.launch_s = (170.0, 171.0)
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a"))
            await anyio.sleep(5.0)
            world.host.stop("enough")

    world = simulate(story)
    assert len(world.cloud.machines) == 1
    assert not machines(world)[0].is_alive


def test_what_ec2_refuses_to_end_is_named():
    async def story(world: World) -> None:
        world.cloud.protected.add("i-0000")
        await world.run(world.add("a"))

    world = simulate(story)
    assert "i-0000" in " ".join(world.host.left)
    assert "OperationNotPermitted" in " ".join(world.host.left)
    assert "security group" in " ".join(world.host.left)
    assert world.journal.left == world.host.left


def test_another_process_can_stop_the_run():
    async def story(world: World) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(world.run, world.add("a", LONG))
            await world.until(lambda: any(machine.folders for machine in machines(world)))
            world.journal.asked.append("stop")

    world = simulate(story)
    assert statuses(world) == {"a": "cancelled"}
    assert world.loop.time() < 180


def test_log_lines_reach_those_who_asked():
    async def story(world: World) -> None:
        await world.run(world.add("a"))

    world = simulate(story)
    lines = [news.line for news in world.news if isinstance(news, LogLine)]
    assert lines == ["a a1 from 0.000", "end"]


def test_jobs_are_refused_after_the_close():
    async def story(world: World) -> None:
        await world.host.start()
        world.host.close()
        with pytest.raises(ConfigError):
            world.host.submit([world.add("a")])
        await world.host.finished()

    simulate(story)


def test_a_job_of_a_run_that_was_left_says_so():
    async def story(world: World) -> None:
        await world.host.start()
        world.host.submit([world.add("a", LONG)])
        await anyio.sleep(40.0)
        world.host.abandon()
        with pytest.raises(AspotError, match="was left"):
            await world.host.wait_job("a")
        await world.host.finished()
        assert "i-0000" in world.host.left[0]
        world.oracle.is_left = True
        await anyio.sleep(3 * 3600.0)  # the lease ends the machine: nobody comes back

    world = simulate(story)
    assert world.machine(0).end_reason is EndReason.ITSELF
