"""EC2's own events, through EventBridge and SQS: the third way in which notices come, on the local cloud."""

import anyio
import pytest
from local_world import until, write

from aspot import Fleet, Job
from aspot.aws.events import Events
from aspot.runtime import listening

LONG = "echo begun; sleep 12; echo done\n"


@pytest.fixture
def at_once(monkeypatch):
    """Runs listen from their first machine on, not after a minute."""
    monkeypatch.setattr(listening, "AFTER_S", 0.0)
    monkeypatch.setattr(listening, "LOOK_S", 0.1)


@pytest.fixture
async def set_up(cloud):
    """Events are set up; at the end nothing but what that made may be there, and it goes."""
    events = await Events.open(None)
    await events.setup("me@here")
    yield events
    cloud.clear_faults()
    found = names(cloud)
    await events.teardown()
    await events.aclose()
    assert found in (([], []), (["aspot"], ["aspot"])), found
    assert names(cloud) == ([], [])


def names(cloud):
    rules = [item["Name"] for item in cloud.client("events").list_rules()["Rules"]]
    return rules, [url.rpartition("/")[2] for url in cloud.client("sqs").list_queues().get("QueueUrls", ())]


def listens(cloud, count=1):
    """Wait until so many runs have their queue behind their rule, and wait for mail there."""

    def are_ready():
        rules = [name for name in names(cloud)[0] if name != "aspot"]
        aimed = [name for name in rules if cloud.client("events").list_targets_by_rule(Rule=name)["Targets"]]
        return len(aimed) == count and cloud.calls().get("ReceiveMessage", 0) >= count

    until(are_ready)


class Ear:
    """What a fleet says."""

    def __init__(self):
        self.heard = []

    def __call__(self, news):
        self.heard.append(news)

    def named(self, name):
        return [news for news in self.heard if news.name == name]

    def notices(self):
        return [(news.job, news.channel) for news in self.named("notice_received")]


async def interrupted(cloud, fleet, job, *, notice_s, ready=lambda: None):
    """Interrupt the machine of a job once it runs, and the run listens."""
    while not any(item.job == job for item in fleet.instances.values()):
        await anyio.sleep(0.05)
    await anyio.to_thread.run_sync(ready)
    cloud.interrupt(next(item.id for item in fleet.instances.values() if item.job == job), notice_s=notice_s)


async def test_events_alone_bring_a_notice_once(cloud, set_up, at_once):
    write("long.sh", LONG)
    cloud.fault("late-notice", delay_s=60.0)
    ear = Ear()
    async with Fleet("heard", show=False, on_event=ear) as fleet:
        handle = fleet.submit(Job("long.sh", checkpoint=["ckpt"]))
        await interrupted(cloud, fleet, "long", notice_s=8, ready=lambda: listens(cloud))
        result = await handle
        mine = [name for name in names(cloud)[0] if name != "aspot"]
        (tags,) = [
            cloud.client("sqs").list_queue_tags(QueueUrl=url)["Tags"]
            for url in cloud.client("sqs").list_queues(QueueNamePrefix="aspot-")["QueueUrls"]
        ]
    assert ear.notices() == [("long", "sqs")]
    assert 5 < ear.named("notice_received")[0].seconds <= 8
    assert result.status == "succeeded"
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert mine == [f"aspot-{tags['aspot:run']}"]
    assert (tags["aspot:name"], tags["aspot:v"]) == ("heard", "1")
    assert names(cloud) == (["aspot"], ["aspot"])
    assert fleet.results.left == ()


async def test_three_channels_tell_of_one_notice(cloud, set_up, at_once):
    write("long.sh", LONG)
    ear = Ear()
    async with Fleet("thrice", show=False, on_event=ear) as fleet:
        handle = fleet.submit("long.sh")
        await interrupted(cloud, fleet, "long", notice_s=9, ready=lambda: listens(cloud))
        assert (await handle).status == "succeeded"
    assert len(ear.notices()) == 1


async def test_of_two_runs_each_hears_of_its_own_machine(cloud, set_up, at_once):
    write("long.sh", LONG)
    cloud.fault("late-notice", delay_s=60.0)
    ears = {name: Ear() for name in ("one", "two")}

    async def carry(name):
        async with Fleet(name, show=False, on_event=ears[name]) as fleet:
            handle = fleet.submit("long.sh")
            await interrupted(cloud, fleet, "long", notice_s=8, ready=lambda: listens(cloud, 2))
            results[name] = await handle

    results = {}
    async with anyio.create_task_group() as group:
        for name in ears:
            group.start_soon(carry, name)
    assert {name: ear.notices() for name, ear in ears.items()} == {name: [("long", "sqs")] for name in ears}
    assert {item.status for item in results.values()} == {"succeeded"}


async def test_a_queue_that_vanishes_is_said_and_the_other_channels_go_on(cloud, set_up, at_once):
    write("long.sh", LONG)
    ear = Ear()

    def vanish():
        listens(cloud)
        sqs = cloud.client("sqs")
        (url,) = sqs.list_queues(QueueNamePrefix="aspot-")["QueueUrls"]
        asked = cloud.calls()["ReceiveMessage"]
        sqs.send_message(QueueUrl=url, MessageBody="nonsense")
        until(lambda: cloud.calls()["ReceiveMessage"] > asked)  # it has read: a queue not found is gone now
        sqs.delete_queue(QueueUrl=url)

    async with Fleet("vanished", show=False, on_event=ear) as fleet:
        handle = fleet.submit("long.sh")
        await interrupted(cloud, fleet, "long", notice_s=9, ready=vanish)
        assert (await handle).status == "succeeded"
    assert len(ear.notices()) == 1
    assert ear.notices()[0][1] != "sqs"
    warned = [news.message for news in ear.named("warned")]
    assert len(warned) == 1, warned
    assert "sqs:ReceiveMessage" in warned[0]
    assert "two other ways" in warned[0]


@pytest.mark.parametrize("action", ["CreateQueue", "PutRule", "PutTargets"])
async def test_a_run_that_may_not_make_its_queue_says_so_and_succeeds(cloud, set_up, at_once, action):
    write("short.sh", "sleep 3\n")
    cloud.fault("deny", action=action)
    ear = Ear()
    results = await Fleet.run_many(["short.sh"], "denied", show=False, on_event=ear)
    assert [item.status for item in results] == ["succeeded"]
    warned = [news.message for news in ear.named("warned")]
    assert len(warned) == 1, warned
    assert f"ask for the permission {'sqs' if 'Queue' in action else 'events'}:{action}" in warned[0]
    assert results.left == ()


async def test_who_may_not_use_sqs_pays_one_call_and_hears_nothing_of_it(cloud, at_once):
    write("short.sh", "sleep 3\n")
    cloud.fault("deny", action="GetQueueUrl")
    ear = Ear()
    results = await Fleet.run_many(["short.sh"], "quiet", show=False, on_event=ear)
    assert [item.status for item in results] == ["succeeded"]
    assert ear.named("warned") == []
    assert of_events(cloud) == {"GetQueueUrl": 1}


async def test_without_events_a_run_asks_once_and_a_short_one_never(cloud, at_once, monkeypatch):
    write("short.sh", "sleep 3\n")
    assert (await Fleet.run_many(["short.sh"], "asks", show=False)).ok
    assert of_events(cloud) == {"GetQueueUrl": 1}
    cloud.forget_calls()
    monkeypatch.setattr(listening, "AFTER_S", 60.0)
    assert (await Fleet.run_many(["short.sh"], "never", show=False)).ok
    assert of_events(cloud) == {}


def of_events(cloud):
    words = ("Queue", "Rule", "Message", "Targets")
    return {name: number for name, number in cloud.calls().items() if any(word in name for word in words)}
