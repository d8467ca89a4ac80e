"""The same over the local cloud's own machines: real user data, a host key that changes, a machine that powers off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from aspot.local.guests.park import Park
from aspot.local.seam import MachineSpec, Metadata
from aspot.ports import Gone, HostKeyMismatch, Lease, LinkDropped, NotReady, RunnerHookDone, RunnerNotice, Target
from aspot.ssh.boot import user_data
from aspot.ssh.connect import SshRemote
from aspot.ssh.keys import RunKeys
from tests.ssh.guest import CLIENT, LEASE, Sink, order_for

pytestmark = pytest.mark.anyio


class Machine:
    """One machine of a park, booted with the run's user data."""

    def __init__(self, park: Park, keys: RunKeys) -> None:
        self.park, self.keys, self.offs = park, keys, []
        self.endpoint = park.reserve()
        self.metadata = Metadata(
            instance_id="i-0123456789abcdef0", instance_type="c7i.large", zone="us-east-1a", region="us-east-1",
            image_id="ami-1", account_id="123456789012", address=self.endpoint.address,
        )  # fmt: skip

    async def boot(self) -> None:
        spec = MachineSpec(
            metadata=self.metadata, name="t_1", user="ec2-user", user_data=user_data(self.keys, max_life_s=3600),
            key_pair=None,
        )  # fmt: skip
        await self.park.boot(spec, self.endpoint)

    def target(self) -> Target:
        return Target(
            instance=self.metadata.instance_id, label="t_1", address=self.endpoint.address, port=self.endpoint.port,
            user="ec2-user",
        )  # fmt: skip


@pytest.fixture
async def machine(tmp_path):
    offs = []
    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=offs.append)
    await park.start()
    try:
        made = Machine(park, RunKeys.generate(tmp_path / "keys"))
        made.offs = offs
        await made.boot()
        yield made
    finally:
        await park.aclose()


@pytest.fixture
async def remote(machine):
    made = SshRemote(machine.keys, "RUN1", client=CLIENT)
    yield made
    await made.aclose()


async def connected(remote, machine):
    """Connect as soon as the machine lets us."""
    with anyio.fail_after(60):
        while True:
            try:
                return await remote.connect(machine.target())
            except NotReady:
                await asyncio.sleep(0.02)


async def test_the_injected_key_is_dead_once_the_machine_has_its_own(machine, remote, tmp_path):
    link = await connected(remote, machine)
    armed = await link.arm(LEASE)
    assert (armed.rotated, armed.powers_off, armed.watches) == (True, True, True)
    own = machine.keys.expected(machine.metadata.instance_id)
    assert own != machine.keys.injected.convert_to_public()
    await link.aclose()
    again = await connected(remote, machine)
    assert (await again.arm(LEASE)).rotated
    assert machine.keys.expected(machine.metadata.instance_id) == own
    late = RunKeys.load(machine.keys.folder)
    (late.folder / "host-keys" / f"{machine.metadata.instance_id}.pub").unlink()
    reader = SshRemote(RunKeys.load(late.folder), "RUN1", client=CLIENT)  # someone who knows the user data's key only
    with pytest.raises(HostKeyMismatch):
        await reader.connect(machine.target())


async def test_a_notice_comes_with_its_hook_and_the_job_is_brought_home(machine, remote, base, into):
    link = await connected(remote, machine)
    await link.arm(LEASE)
    order = order_for(base, "echo up; sleep 100", on_notice="echo saved >ckpt/state", checkpoint=("ckpt",))
    await link.deliver(order)
    await link.start(order)
    deadline = (datetime.now(UTC) + timedelta(seconds=60)).replace(microsecond=0)
    machine.metadata.notice_time = deadline
    facts = []
    with anyio.fail_after(30):
        async for fact in link.watch():
            facts.append(fact)
            if isinstance(fact, RunnerHookDone):
                break
    assert facts == [RunnerNotice(deadline=deadline), RunnerHookDone(job="job", attempt=1, code=0)]
    assert await link.fetch_checkpoint(order.spec, 1, into) == (1, 6)
    assert (into / "ckpt/state").read_text() == "saved\n"


async def test_a_forgotten_machine_powers_itself_off(machine, remote):
    link = await connected(remote, machine)
    await link.arm(Lease(term_s=0.4, idle_s=0.1, hold_s=0.1, max_life_s=3600))
    with anyio.fail_after(60):
        while machine.offs != [machine.metadata.instance_id]:
            await asyncio.sleep(0.02)


async def test_a_reboot_loses_the_attempt_and_the_machine_is_armed_anew(machine, remote, base):
    link = await connected(remote, machine)
    first = await link.arm(LEASE)
    order = order_for(base, "echo up; sleep 100")
    await link.deliver(order)
    await link.start(order)
    sink = Sink()
    with anyio.move_on_after(0.3):
        await link.follow("job", 1, sink)
    await machine.park.reboot(machine.metadata.instance_id)
    with pytest.raises(LinkDropped):
        await link.renew()
    second = await connected(remote, machine)
    armed = await second.arm(LEASE)
    assert armed.boot_id != first.boot_id
    found = await second.status("job", 1)
    assert found == Gone(reason="the machine was rebooted") or found.why == "term"  # a gentle reboot lets it say so
    await link.aclose()
