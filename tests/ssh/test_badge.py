"""Two clients of one machine over SSH: the older one learns who took over; a machine's own claim is not believed."""

from __future__ import annotations

import attrs
import pytest

from aspot.machine.model import StopWhy
from aspot.ports import LinkDropped, TakenOver
from aspot.ssh.badge import Badge
from tests.ssh.guest import CLIENT, LEASE, order_for, remote_of

pytestmark = pytest.mark.anyio

SECOND = attrs.evolve(CLIENT, epoch=CLIENT.epoch + 1, pid=4712, host="second")


@pytest.fixture
async def taken(guest, link):
    """The link of a client that another has taken the machine from."""
    async with remote_of(guest, client=SECOND) as other:
        there = await other.connect(guest.target())
        assert (await there.arm(LEASE)).powers_off
        yield link


DEEDS = {
    "renew": lambda link, _: link.renew(),
    "arm": lambda link, _: link.arm(LEASE),
    "set_up": lambda link, _: link.set_up("true"),
    "deliver": lambda link, order: link.deliver(order),
    "start": lambda link, order: link.start(order),
    "stop": lambda link, order: link.stop(order.spec.name, 1, StopWhy.CANCEL, 1.0),
    "release": lambda link, order: link.release(order.spec.name, 1),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_the_older_client_learns_who_took_over(taken, base, guest, deed):
    runner = (guest.home / ".aspot/run").read_bytes()
    with pytest.raises(TakenOver) as caught:
        await DEEDS[deed](taken, order_for(base, "true\n"))
    assert caught.value.client == SECOND
    assert (guest.home / ".aspot/run").read_bytes() == runner
    assert not list((guest.home / ".aspot").glob(".run.*"))


async def test_the_watch_of_the_older_client_ends_by_itself(guest, link):
    facts = link.watch()
    async with remote_of(guest, client=SECOND) as other:
        there = await other.connect(guest.target())
        await there.arm(LEASE)
        with pytest.raises(LinkDropped):  # and who connects again is told why
            await anext(facts)


async def test_a_claim_that_is_not_signed_is_not_believed(guest, link):
    (guest.home / ".aspot/.machine/@1999999999999.1.evil.00000000000000000000000000000000").touch()
    with pytest.raises(LinkDropped, match="cannot prove it"):
        await link.renew()


async def test_a_signed_word_holds_for_its_own_client_and_run_only(guest, tmp_path):
    from aspot.ssh.keys import RunKeys

    mine, newer = Badge(CLIENT, guest.keys.client), Badge(SECOND, guest.keys.client)
    foreign = Badge(SECOND, RunKeys.generate(tmp_path / "other").client)
    assert isinstance(mine.refusal(f"taken over by {newer.word}"), TakenOver)
    changed = newer.word.replace("second", "third")
    for said in ("", "taken over", newer.word[:-1], changed, foreign.word, mine.word, f"{newer.word}x"):
        assert isinstance(mine.refusal(said), LinkDropped), said
    assert isinstance(newer.refusal(mine.word), LinkDropped)
