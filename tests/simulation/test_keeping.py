"""A failed job's machine stays for a look and ends itself in time, whatever becomes of the client."""

from __future__ import annotations

import anyio
import pytest
from simulated.remote import SimLink
from simulated.scripts import Script
from simulated.world import World, simulate

FAILS = Script(work_s=30.0, code=3)
SECONDS = 600.0


async def plain(world: World) -> None:
    await world.run(world.add("bad", FAILS), world.add("good", Script(work_s=60.0)))


def test_the_run_ends_as_usual_and_the_machine_stays_for_its_time() -> None:
    world = simulate(plain, keep_failed_s=SECONDS)
    (kept,) = world.host.kept
    machine, good = world.running_once("bad"), world.running_once("good")
    assert (kept.job, kept.instance_id) == ("bad", machine.id)
    assert kept.ssh == f"ssh u@{machine.address}"
    assert kept.most == pytest.approx(kept.price_per_hour * SECONDS / 3600, rel=0.2)
    assert world.host.left == ()
    assert world.journal.kept == (kept.to_json(),)
    assert world.archive.summary["kept"] == [kept.to_json()]
    assert world.cloud.marks == {machine.id: kept.until}
    assert machine.ending_since == pytest.approx(world.clock.since(kept.until), abs=5)
    assert good.ending_since < machine.ending_since - 400
    assert world.news[-1].message == "nothing left (checked); kept for a look: " + kept.name


def test_nothing_stays_without_being_asked_for() -> None:
    world = simulate(plain)
    assert world.host.kept == ()
    assert world.cloud.marks == {}


def test_one_machine_at_once_does_all_the_jobs_all_the_same() -> None:
    async def story(world: World) -> None:
        await world.run(world.add("bad", FAILS), world.add("good", Script(work_s=60.0)))

    world = simulate(story, keep_failed_s=1800.0, limit=1)
    assert world.host.results["good"].ok
    assert world.clock.since(world.host.run.now) < 600


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.2, 0.5, 1.0, 5.0])
def test_it_ends_itself_though_the_client_is_killed_for_ever(after_s) -> None:
    """Wherever between the failure and the confirmation: then it is the lease, or the fixed end, that holds."""

    async def story(world: World) -> None:
        specs = [world.add("bad", FAILS), world.add("long", Script(work_s=3000.0))]
        await world.host.start()
        world.host.submit(specs)
        await world.until(lambda: "bad" in world.archive.accepted)
        await anyio.sleep(after_s)
        world.oracle.is_left = True
        await world.kill()
        machine = world.running_once("bad")
        failed_at = world.loop.time()
        await world.until(lambda: machine.state == "terminated", within=SECONDS + 700)
        if machine.kept_until is not None:
            assert machine.ending_since == pytest.approx(failed_at + SECONDS, abs=15)
        await world.until(lambda: all(not other.is_alive for other in world.cloud.machines.values()), within=20000)

    simulate(story, keep_failed_s=SECONDS)


@pytest.mark.parametrize("away_s", [0.0, 120.0, 900.0])
def test_who_comes_back_finds_it_kept_or_gone(away_s) -> None:
    async def story(world: World) -> None:
        specs = [world.add("bad", FAILS), world.add("long", Script(work_s=2000.0))]
        await world.host.start()
        world.host.submit(specs)
        world.host.close()
        await world.until(lambda: bool(world.host.run.kept))
        await world.kill()
        await anyio.sleep(away_s)
        await world.come_back()
        await world.finished()

    world = simulate(story, keep_failed_s=SECONDS)
    machine = world.running_once("bad")
    assert machine.ending_since is not None
    assert machine.ending_since < 1000
    assert world.host.results["long"].ok
    assert world.host.kept == ()  # the run lasted longer


def cut_off_when_told(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the first message that keeps a machine, and what follows it, not through for a while."""
    keep, has_come = SimLink.keep, []

    async def late(self: SimLink, kept_s: float) -> None:
        if not has_come:
            has_come.append(self)
            self.world.partition(self.machine, seconds)
        await keep(self, kept_s)

    monkeypatch.setattr(SimLink, "keep", late)


async def one_that_fails(world: World) -> None:
    world.host.submit([world.add("bad", FAILS)])
    world.host.close()
    await world.host.start()
    await world.host.finished()


def test_a_slow_message_is_said_again_so_that_it_does_not_end_late(monkeypatch) -> None:
    cut_off_when_told(monkeypatch, 20.0)
    world = simulate(one_that_fails, keep_failed_s=SECONDS)
    assert world.happened["keep"] == 2


def test_a_machine_that_cannot_be_told_is_ended_and_that_is_said(monkeypatch) -> None:
    cut_off_when_told(monkeypatch, 4000.0)
    world = simulate(one_that_fails, keep_failed_s=SECONDS)
    assert world.host.kept == ()
    assert any("not kept for a look at bad: it did not confirm" in news.message for news in world.news)


def test_the_mark_may_be_refused() -> None:
    async def story(world: World) -> None:
        world.cloud.denied.add("mark_kept")
        await world.run(world.add("bad", FAILS))

    world = simulate(story, keep_failed_s=SECONDS)
    assert len(world.host.kept) == 1
    assert any("on other computers does not see" in news.message for news in world.news)


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_an_interruption_takes_it(seconds) -> None:
    async def story(world: World) -> None:
        world.host.submit([world.add("bad", FAILS), world.add("long", Script(work_s=300.0))])
        world.host.close()
        await world.host.start()
        await world.until(lambda: bool(world.host.run.kept))
        world.running_once("bad").warn(seconds)
        await world.host.finished()

    world = simulate(story, keep_failed_s=1800.0)
    assert world.host.kept == ()
    assert world.host.results["bad"].status == "failed"
    assert world.running_once("bad").is_interrupted


def test_a_stop_ends_it_and_an_exception_of_the_caller_does_not() -> None:
    def story_of(spares: bool):
        async def story(world: World) -> None:
            await world.host.start()
            world.host.submit([world.add("bad", FAILS), world.add("long", Script(work_s=3000.0))])
            await world.until(lambda: any(item.is_kept for item in world.host.run.instances.values()))
            world.host.stop("it is enough", spares_kept=spares)
            await world.host.finished()

        return story

    assert simulate(story_of(False), keep_failed_s=SECONDS).host.kept == ()
    assert len(simulate(story_of(True), keep_failed_s=SECONDS).host.kept) == 1


def test_the_way_in_may_not_be_had() -> None:
    async def story(world: World) -> None:
        world.remote.has_full_disk = True
        await world.run(world.add("bad", FAILS))

    world = simulate(story, keep_failed_s=SECONDS)
    assert [kept.ssh for kept in world.host.kept] == [""]
    assert any("the way in cannot be written down" in news.message for news in world.news)
