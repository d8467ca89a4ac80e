"""The end of machines: nothing of them is left, whoever ends them and however they resist."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

NAMESPACES = pytest.mark.parametrize("isolation", ["namespaces"])


def word(number: int) -> str:
    """A number of seconds that no other sleep of this host has."""
    return f"{100_000 + os.getpid()}.{number}{time.monotonic_ns()}"


ESCAPES = {
    "plain": "sleep {w} >/dev/null 2>&1 &",
    "own session": "setsid sleep {w} </dev/null >/dev/null 2>&1 &",
    "double fork": "(setsid sh -c 'sleep {w} & sleep {w} &' </dev/null >/dev/null 2>&1 &)",
    "deaf to TERM": "setsid sh -c 'trap \"\" TERM HUP INT; sleep {w}; sleep {w}' </dev/null >/dev/null 2>&1 &",
    "no environment": "env -i setsid -f sleep {w} </dev/null >/dev/null 2>&1",
    "unit": "systemd-run -q setsid -f sleep {w}; systemd-run -q sleep {w}",
}


@pytest.mark.parametrize("how", ESCAPES)
async def test_termination_ends_every_process(grounds, until, alive_with, how):
    guest, seconds = await grounds.boot(), word(1)
    await guest.out(ESCAPES[how].format(w=seconds))
    await until(lambda: alive_with(seconds))
    await guest.park.terminate(guest.id)
    assert not alive_with(seconds)


async def test_termination_removes_files_closes_the_port_and_may_be_repeated(grounds):
    guest = await grounds.boot()
    folder = guest.folder
    await guest.out("mkdir -p ~/d/e && echo x >~/d/e/f && chmod 0 ~/d/e ~/d")
    assert (folder / "home/ec2-user/d").is_dir()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(guest.park.terminate(guest.id))
    await guest.park.terminate("i-unknown")
    assert await guest.refuses()
    assert not folder.exists()
    assert guest.park.console(guest.id) == ""
    assert grounds.shut_down == []


async def test_clients_notice_a_termination_at_once(guest):
    async with guest.connect() as connection:
        process = await connection.create_process("echo on; sleep 1000")
        assert await process.stdout.readline() == "on\n"
        began = time.monotonic()
        await guest.park.terminate(guest.id)
        await asyncio.wait_for(connection.wait_closed(), 30)
    assert time.monotonic() - began < 5
    assert process.exit_status is None


async def test_a_machine_may_be_terminated_while_it_boots(grounds, until):
    async with asyncio.TaskGroup() as group:
        boot = group.create_task(grounds.boot(b"#cloud-config\nbootcmd: [sleep 1000]\n"))
        machines = grounds.park._machines
        instance = await until(lambda: next(iter(machines), None))
        await until(lambda: machines[instance]._link)
        await grounds.park.terminate(instance)
    guest = boot.result()
    assert await guest.refuses()
    assert guest.processes == []


@pytest.mark.parametrize(
    "command",
    [
        "poweroff",
        "sudo -n shutdown -h now",
        "systemctl poweroff",
        "halt -f",
        "/bin/sh -c 'env -i $(command -v poweroff)'",
    ],
)
async def test_a_machine_can_power_itself_off(grounds, until, command):
    guest = await grounds.boot()
    await guest.run(command)
    await until(lambda: grounds.shut_down)
    assert grounds.shut_down == [guest.id]
    assert await guest.refuses()
    assert guest.processes == []
    await guest.park.terminate(guest.id)
    assert grounds.shut_down == [guest.id]


async def test_processes_are_asked_before_they_are_killed(grounds, until):
    guest = await grounds.boot()
    waiting = "trap 'echo asked >~/asked; exit' TERM; while :; do sleep 0.02; done"
    await guest.out(f'setsid sh -c "{waiting}" </dev/null >/dev/null 2>&1 &')
    await guest.out("poweroff")
    await until(lambda: grounds.shut_down)
    assert (guest.folder / "home/ec2-user/asked").read_text() == "asked\n"


async def test_a_scheduled_shutdown_can_be_cancelled(grounds, guest, until, alive_with):
    minutes = 100_000 + os.getpid()
    assert "Shutdown scheduled" in (await guest.run(f"shutdown -h +{minutes}")).stderr
    await until(lambda: alive_with(str(minutes * 60)))
    await guest.out("shutdown -c")
    await until(lambda: not alive_with(str(minutes * 60)))
    assert (await guest.run("shutdown 25:99")).exit_status == 1
    assert grounds.shut_down == []


@pytest.mark.parametrize("who", ["inside", "outside"])
async def test_a_reboot(grounds, until, alive_with, who):
    guest, seconds = await grounds.boot(b"#!/bin/sh\necho ran >>~/ran\n"), word(2)
    key, boot_id = (
        await guest.host_key(),
        await guest.out("cat $ASPOT_BOOT_ID_FILE; cloud-init status --wait >/dev/null"),
    )
    await guest.out(
        f"echo kept >~/kept; echo x >${{TMPDIR:-/tmp}}/lost; setsid sleep {seconds} </dev/null >/dev/null 2>&1 &"
    )
    if who == "inside":
        await guest.run("sudo reboot")
    else:
        await guest.park.reboot(guest.id)

    async def is_back():
        try:
            return await guest.out("cat $ASPOT_BOOT_ID_FILE") != boot_id
        except OSError:
            return False

    await until(is_back)
    assert not alive_with(seconds)
    assert await guest.host_key() == key
    assert (
        await guest.out("cat ~/kept; ls ${TMPDIR:-/tmp}; cloud-init status --wait >/dev/null; cat ~/ran") == "kept\nran"
    )
    assert grounds.shut_down == []


@NAMESPACES
async def test_the_boot_id_is_where_programs_look_for_it(grounds):
    guest = await grounds.boot()
    inside = await guest.out("cat /proc/sys/kernel/random/boot_id")
    with open("/proc/sys/kernel/random/boot_id") as host:
        assert inside != host.read().strip()
    assert await guest.out("cat $ASPOT_BOOT_ID_FILE") == inside


@pytest.mark.parametrize("isolation", ["sessions"])
async def test_a_machine_whose_init_is_killed_is_off_and_nothing_of_it_is_left(grounds, until, alive_with):
    guest, seconds = await grounds.boot(), word(3)
    await guest.out(f"setsid sleep {seconds} </dev/null >/dev/null 2>&1 &")
    await until(lambda: alive_with(seconds))
    await guest.run("kill -9 $PPID")
    await until(lambda: grounds.shut_down)
    assert not alive_with(seconds)


@NAMESPACES
async def test_a_machine_cannot_kill_its_init(grounds):
    guest = await grounds.boot()
    await guest.run("kill -9 1; kill -TERM 1; kill -STOP 1")
    assert await guest.out("echo up") == "up"
    assert grounds.shut_down == []


DAEMON = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from aspot.local.guests.park import Park
    from aspot.local.seam import MachineSpec, Metadata

    async def main():
        park = Park(Path(sys.argv[1]), ssh_port=None, on_shutdown=print, isolation=sys.argv[2])
        await park.start()
        endpoint = park.reserve()
        metadata = Metadata(instance_id="i-1", instance_type="", zone="", region="", image_id="", account_id="",
                            address=endpoint.address)
        script = f"#!/bin/sh\\nsetsid sleep {sys.argv[3]} &\\nenv -i setsid -f sleep {sys.argv[3]}\\n"
        spec = MachineSpec(metadata=metadata, name="x", user="u", user_data=script.encode(), key_pair=None)
        await park.boot(spec, endpoint)
        print(park._machines["i-1"]._layout.folder, flush=True)
        await asyncio.sleep(1000)

    asyncio.run(main())
    """
)


async def test_a_killed_daemon_leaves_no_process_and_the_next_no_file(isolation, tmp_path, until, alive_with):
    from aspot.local.guests.park import Park

    seconds = word(4)
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, str(tmp_path / "park"), isolation, seconds, stdout=asyncio.subprocess.PIPE
    )
    folder = Path((await daemon.stdout.readline()).decode().strip())
    await until(lambda: len(alive_with(seconds)) >= 2)
    daemon.send_signal(signal.SIGKILL)
    await daemon.wait()
    await until(lambda: not alive_with(seconds))
    assert folder.is_dir()
    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=print, isolation=isolation)
    await park.start()
    assert not folder.exists()
    await park.aclose()


async def test_a_start_kills_what_carries_the_parks_mark(tmp_path, until):
    from aspot.local.guests.park import Park

    park = Park(tmp_path, ssh_port=None, on_shutdown=print)
    await park.start()
    await park.aclose()
    mark = (tmp_path / "park-id").read_text()
    left = await asyncio.create_subprocess_exec("sleep", "1000", env={"ASPOT_PARK": mark})
    await park.start()
    assert await left.wait() == -signal.SIGKILL
    await park.aclose()


async def test_closing_the_park_ends_everything(tmp_path, isolation, alive_with, until):
    from aspot.local.guests.park import Park
    from tests.local.guests.conftest import Grounds

    park = Park(tmp_path, ssh_port=None, on_shutdown=print, isolation=isolation)
    await park.start()
    grounds, seconds = Grounds(park, []), word(5)
    for _ in range(3):
        guest = await grounds.boot()
        await guest.out(f"setsid sleep {seconds} </dev/null >/dev/null 2>&1 &")
    await until(lambda: len(alive_with(seconds)) == 3)
    await park.aclose()
    assert not alive_with(seconds)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["park-id", "zygote.log"]
    assert (tmp_path / "zygote.log").read_text() == ""
