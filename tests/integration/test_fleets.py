"""The life of a `Fleet`: what is submitted, cancelled, scaled, limited, resumed, and how it ends."""

import asyncio
import json
import logging
from pathlib import Path

import anyio
import pytest
from local_world import write

import aspot
from aspot import AspotError, ConfigError, Fleet, Job, JobsFailed, Profile

LONG = "echo begun; sleep 120\n"


async def begun(handle):
    """Wait until a job runs."""
    with anyio.fail_after(30):
        while handle.status != "running" or not await _has_output(handle):
            await anyio.sleep(0.05)


async def _has_output(handle):
    return any(path.stat().st_size for path in Path("aspot-results").glob(f"*/.staging/{handle.name}/a*/stdout"))


def in_a_task(work):
    """Run a coroutine in a task of its own, as notebooks and users' programs do."""
    return asyncio.get_running_loop().create_task(work)


def machines(cloud, name):
    """Return the machines a fleet has had."""
    return [item for item in cloud.instances() if item["tags"].get("aspot:name") == name]


async def test_results_as_they_come_those_of_jobs_submitted_meanwhile_too(cloud):
    write("slow.sh", "sleep 1; echo slow\n")
    write("quick.sh", "echo quick\n")
    async with Fleet("flow", show=False) as fleet:
        fleet.submit_all(["slow.sh", "quick.sh"])
        order = []
        async for result in fleet.as_completed():
            order.append(result.name)
            if result.name == "quick":
                fleet.submit(Job("quick.sh", name="more"))
        results = await fleet.wait()
    assert sorted(order) == ["more", "quick", "slow"]
    assert order[0] == "quick"
    assert [item.name for item in results] == ["slow", "quick", "more"]
    assert fleet.results.ok


async def test_a_fleet_over_several_cells(cloud):
    """As in a notebook: every step in a task of its own."""
    fleet = Fleet("cells", show=False, idle=0)
    await in_a_task(fleet.start())
    handle = fleet.submit(Job(command="echo hello"))
    assert handle.status == "queued"
    assert fleet.jobs == {handle.name: "queued"}

    async def cell():
        return await handle

    assert (await in_a_task(cell())).stdout == "hello\n"
    assert fleet.cost > 0
    await in_a_task(fleet.aclose())
    await fleet.aclose()
    assert fleet.cost_per_hour == 0
    with pytest.raises(AspotError):
        fleet.submit(Job(command="true"))
    for again in (fleet.start, lambda: fleet.run(Job(command="true"))):
        with pytest.raises(ConfigError, match="runs once"):
            await again()


async def test_cancelling_one_job_and_then_all(cloud):
    write("long.sh", LONG)
    async with Fleet("cancel", show=False) as fleet:
        first, second, third = fleet.submit_all(["long.sh", "long.sh", Job(command="echo ok")])
        await begun(first)
        await first.cancel()
        assert (await first).status == "cancelled"
        assert (await third).status == "succeeded"
        await begun(second)
        await fleet.cancel()
        assert (await second).status == "cancelled"
    assert [item.status for item in fleet.results] == ["cancelled", "cancelled", "succeeded"]
    assert (await first).stdout == "begun\n"
    assert [item.outcome for item in (await first).attempts] == ["cancelled"]


async def test_an_error_in_the_block_cancels_and_tears_down(cloud):
    write("long.sh", LONG)
    fleet = Fleet("raised", show=False)

    async def program():
        async with fleet:
            await begun(fleet.submit("long.sh"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await program()
    assert [item.status for item in fleet.results] == ["cancelled"]
    assert fleet.results.left == ()


async def test_cancelling_the_caller_ends_the_run_first(cloud):
    write("long.sh", LONG)
    started = anyio.Event()

    def on_event(news):
        if news.name == "job_started":
            started.set()

    task = in_a_task(Fleet.run_many("long.sh", "caller", show=False, on_event=on_event))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(item["state"] in ("shutting-down", "terminated") for item in machines(cloud, "caller"))


async def test_cancelling_a_wait_leaves_the_job_alone(cloud):
    write("slow.sh", "sleep 1.5; echo done\n")
    async with Fleet("await", show=False) as fleet:
        handle = fleet.submit("slow.sh")
        with anyio.move_on_after(0.5) as scope:
            await handle
        assert scope.cancelled_caught
        assert (await handle).stdout == "done\n"


async def test_more_machines_when_scaled_up(cloud):
    write("slow.sh", "sleep 1.5\n")
    async with Fleet("scale", instances=1, show=False) as fleet:
        handles = fleet.submit_all(["slow.sh"] * 4)
        await_started = [news async for news in _until(fleet, "job_started")]
        assert await_started
        assert len(fleet.instances) == 1
        await fleet.scale(4)
        results = await fleet.wait()
        with pytest.raises(ConfigError):
            await fleet.scale(0)
    assert results.ok
    assert 1 < len(machines(cloud, "scale")) <= 4
    assert len(handles) == 4


async def _until(fleet, name):
    async for news in fleet.events():
        yield news
        if news.name == name:
            return


async def test_events_tell_the_whole_story(cloud):
    async with Fleet("story", show=False) as fleet:
        told = []

        async def listen():
            told.extend([news async for news in fleet.events()])

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(0)
            await fleet.submit(Job(command="echo a line", name="one"))
            await fleet.aclose()
    names = [item.name for item in told]
    wanted = ["instance_launched", "instance_ready", "job_started", "files_received", "job_ended"]
    assert [name for name in dict.fromkeys(names) if name in wanted] == wanted
    assert [item.line for item in told if item.name == "log_line"] == ["a line"]
    assert names[-1] == "fleet_finished"
    assert told[-1].left == ()
    assert all(item.fleet == "story" and item.time.tzinfo is not None for item in told)
    ended = next(item for item in told if item.name == "job_ended")
    assert ended.result.stdout == "a line\n"


async def test_a_listener_that_raises_is_warned_about(cloud, caplog):
    def on_event(news):
        raise RuntimeError("a bug of the user's")

    with caplog.at_level(logging.WARNING):
        results = await Fleet.run_many(Job(command="true"), "hook", show=False, on_event=on_event)
    assert results.ok
    assert "on_event raised" in caplog.text


def test_without_async(cloud):
    write("ok.sh", "echo ok\n")
    (result,) = aspot.run_many("ok.sh", "plain", show=False)
    assert result.stdout == "ok\n"
    assert aspot.run_many([]) == []


async def test_without_async_inside_async_says_what_to_do(cloud):
    with pytest.raises(ConfigError) as caught:
        aspot.run_many(Job(command="true"))
    assert "await Fleet.run_many" in caught.value.fix


async def test_no_jobs_no_cloud(cloud):
    results = await Fleet.run_many([])
    assert results == []
    assert results.ok
    assert cloud.calls() == {}
    async with Fleet("empty", show=False) as fleet:
        assert await fleet.wait() == []
    assert cloud.launches() == 0


async def test_fleets_side_by_side_that_were_given_no_name(cloud):
    write("ok.sh", "echo ok\n")
    found = []

    async def run():
        found.append(await Fleet.run_many("ok.sh", show=False))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(run)
    folders = {results[0].dir.parent.name for results in found}
    assert all(results.ok for results in found)
    assert len(folders) == 3
    assert all(name.startswith("ok-") for name in folders)


async def test_a_refused_fleet_leaves_no_folder(cloud):
    for options in ({"profile": "t9.gigantic"}, {"upload": ["nowhere"]}, {"name": "named", "upload": ["nowhere"]}):
        with pytest.raises(ConfigError):
            await Fleet.run_many(Job(command="true"), show=False, **options)
        assert list(Path().iterdir()) == []


async def test_check_raises_with_all_results(cloud):
    with pytest.raises(JobsFailed) as caught:
        await Fleet.run_many([Job(command="true"), Job(command="exit 2")], "checked", check=True, show=False)
    assert [item.status for item in caught.value.results] == ["succeeded", "failed"]
    assert "exit code 2" in str(caught.value)


async def test_existing_results(cloud):
    write("flaky.sh", "[ -e go ] && cat go\n")
    write("good.sh", "echo good $(date +%N)\n")
    jobs = ["good.sh", Job("flaky.sh", upload=["go*"])]
    write("gone", "")
    first = await Fleet.run_many(jobs, "twice", show=False)
    assert [item.status for item in first] == ["succeeded", "failed"]
    before = first[0].stdout
    with pytest.raises(ConfigError, match="twice"):
        await Fleet.run_many(jobs, "twice", show=False)
    write("go", "went\n")
    second = await Fleet.run_many(jobs, "twice", existing="resume", show=False)
    assert [item.status for item in second] == ["succeeded", "succeeded"]
    assert second[0].stdout == before, "it ran again"
    assert second[1].stdout == "went\n"
    assert len(machines(cloud, "twice")) == 3
    stored = json.loads(Path("aspot-results/twice/results.json").read_text())
    assert [item["status"] for item in stored["results"]] == ["succeeded", "succeeded"]
    third = await Fleet.run_many(jobs, "twice", existing="replace", show=False)
    assert third[0].stdout != before
    assert Path("aspot-results/twice.1/good/stdout").read_text() == before
    everything_again = await Fleet.run_many(jobs, "twice", existing="resume", show=False)
    assert everything_again.ok
    assert [item.stdout for item in everything_again] == [item.stdout for item in third]


async def test_a_name_that_is_taken(cloud):
    write("long.sh", LONG)
    async with Fleet("taken", show=False) as fleet:
        fleet.submit("long.sh")
        with pytest.raises(ConfigError, match="taken") as caught:
            await Fleet("taken", existing="replace", show=False).start()
        assert "aspot down taken" in caught.value.fix
        await fleet.cancel()


async def test_a_budget_lets_jobs_take_turns_on_the_machines_it_pays_for(cloud):
    write("quick.sh", "sleep 0.2\n")
    options = {"instances": 6, "budget": 0.005, "profile": "c7i.large"}
    results = await Fleet.run_many(["quick.sh"] * 6, "poor", show=False, **options)
    assert results.ok
    assert results.cost <= 0.005
    assert 1 <= len(machines(cloud, "poor")) < 6


async def test_a_budget_that_pays_for_nothing(cloud):
    results = await Fleet.run_many(Job(command="true"), "broke", budget=0.000001, show=False)
    assert [item.status for item in results] == ["budget"]
    assert results.cost == 0
    assert machines(cloud, "broke") == []


async def test_a_deadline(cloud):
    write("long.sh", LONG)
    results = await Fleet.run_many("long.sh", "late", deadline=3, show=False)
    (result,) = results
    assert (result.status, result.reason) == ("cancelled", "the deadline is reached")
    assert result.stdout == "begun\n"


async def test_a_machine_that_never_answers_is_replaced(cloud, monkeypatch):
    monkeypatch.setattr("aspot.runtime.link_keeper.READY_S", 2.0)
    cloud.fault("never-boot")
    results = await Fleet.run_many(Job(command="echo ok"), "mute", show=False)
    assert results[0].stdout == "ok\n"
    assert len(machines(cloud, "mute")) == 2


@pytest.mark.parametrize("is_told", [True, False])
async def test_machines_whose_user_data_fails_are_given_up_with_what_their_console_says(cloud, monkeypatch, is_told):
    monkeypatch.setattr("aspot.runtime.link_keeper.MISMATCH_S", 0.5)
    cloud.fault("user-data-fails", count=9)
    if not is_told:
        cloud.fault("deny", action="GetConsoleOutput")
    name, told = f"unread-{is_told}", []
    results = await Fleet.run_many(Job(command="echo ok"), name, show=False, on_event=told.append)
    assert (results[0].status, len(machines(cloud, name))) == ("lost", 3)
    assert "3 machines in a row never became ready; the last one: it could not prove who it is" in results[0].reason
    assert ("No instance datasource found! Likely bad things to come!" in results[0].reason) is is_told
    warned = [event.message for event in told if event.name == "warned" and "is of no use" in event.message]
    assert [line.split()[0] for line in warned] == [f"{name}_{number}" for number in (1, 2, 3)]
    assert all(("; its console ends: " in line) is is_told for line in warned)


async def test_a_cloud_that_is_gone_for_a_while(cloud):
    """Reads and ends are refused for some seconds in the middle of everything."""
    write("slow.sh", "echo begun; sleep 1; echo done\n")
    async with Fleet("patient", show=False) as fleet:
        handle = fleet.submit("slow.sh")
        await begun(handle)
        cloud.fault("throttle", action="*", seconds=4)
        assert (await handle).ok
    assert fleet.results.left == ()


async def test_eight_at_once(cloud):
    results = await Fleet.run_many([Job(command="hostname") for _ in range(8)], "eight", show=False)
    assert results.ok
    assert len(machines(cloud, "eight")) == 8
    assert [item.name for item in results] == ["hostname", *(f"hostname-{n}" for n in range(2, 9))]
    calls = cloud.calls()
    assert calls["CreateFleet"] <= 2
    assert sum(calls.values()) <= 40


async def test_a_share_on_demand_and_the_rest_where_capacity_is_deepest(cloud):
    write("one.sh", "echo fine\n")
    results = await Fleet.run_many(
        ["one.sh"] * 3,
        "mixed",
        profile=Profile(allocation="capacity-optimized"),
        on_demand_base=1,
        show=False,
    )
    assert results.ok
    assert sorted(item["lifecycle"] for item in machines(cloud, "mixed")) == ["on-demand", "spot", "spot"]
