"""What a machine is: who its processes are, what they see of the host, when it answers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

NAMESPACES = pytest.mark.parametrize("isolation", ["namespaces"])


async def test_its_user_is_unprivileged_and_at_home(guest):
    said = await guest.out('id -u; pwd; echo "$HOME $USER $LOGNAME $ASPOT_LOCAL_GUEST"; grep CapEff /proc/self/status')
    uid, where, names, capabilities = said.splitlines()
    assert int(uid) != 0
    assert names.split() == [where, "ec2-user", "ec2-user", "1"]
    assert where.endswith("/home/ec2-user")
    assert set(capabilities.split()[1]) == {"0"}


async def test_nothing_of_the_daemons_environment_gets_in(grounds, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    guest = await grounds.boot()
    assert "SECRET_OF_THE_HOST" not in await guest.out(
        "env; cat /proc/1/environ /proc/$PPID/environ 2>/dev/null | tr '\\0' '\\n'"
    )


async def test_commands_find_the_stand_ins_first(guest):
    found = (await guest.out("command -v sudo systemctl systemd-run shutdown poweroff loginctl")).splitlines()
    assert len(found) == 6
    assert all("/aspot/bin/" in path for path in found)


async def test_set_uid_programs_of_the_host_are_powerless(guest):
    assert "NoNewPrivs:\t1" in await guest.out("cat /proc/self/status")


async def test_signals_and_umask_are_as_at_login(guest):
    said = await guest.out("umask; grep -E 'SigIgn|SigBlk' /proc/self/status")
    umask, _, blocked, _, ignored = said.split()
    assert (umask, int(blocked, 16)) == ("0022", 0)
    assert int(ignored, 16) & 0x7FFFFFFF == 0  # glibc's posix_spawn ignores its own 32 and 33


@NAMESPACES
async def test_it_has_its_own_processes_names_and_files(guest):
    said = await guest.out(
        "whoami; echo ~ec2-user; hostname; ls /home; ls /proc | grep -c '^[0-9]'; getent hosts $(hostname)"
    )
    who, home, host, homes, processes, address = said.splitlines()
    assert (who, home, homes) == ("ec2-user", "/home/ec2-user", "ec2-user")
    assert host == "ip-" + guest.endpoint.address.replace(".", "-")
    assert int(processes) < 10
    assert address.split()[0] == guest.endpoint.address


@NAMESPACES
async def test_it_cannot_write_to_the_host_nor_look_into_homes(guest, tmp_path):
    (tmp_path / "seen").write_text("x")
    for path in ["/etc/x", "/usr/x", "/x", "/var/lib/x", str(tmp_path / "y"), str(Path.home() / "x")]:
        assert (await guest.run(f"echo x > {path}")).exit_status != 0, path
    assert (await guest.run(f"cat {tmp_path / 'seen'}")).exit_status != 0
    assert await guest.out(f"ls -A {Path.home() if Path.home().is_dir() else '/root'} 2>/dev/null || true") == ""
    assert (await guest.run("echo b > /proc/sysrq-trigger")).exit_status != 0
    assert await guest.out("ls /run") == "aspot"
    await guest.out(
        "echo x > /tmp/a && echo x > /var/tmp/a && echo x > /dev/shm/a && echo x > /var/log/a && echo x > ~/a"
    )


@NAMESPACES
async def test_it_cannot_uncover_the_host(guest):
    """A namespace of its own making gives a guest powers over its own copies only."""
    calls = (  # umount and mount are stand-ins here: the kernel itself is asked
        "import ctypes, sys; libc = ctypes.CDLL(None);"
        ' tried = [libc.umount2(b"/home", 0), libc.umount2(b"/run", 0), libc.mount(None, b"/", None, 0x20, None)];'
        " sys.exit(0 in tried)"
    )
    tried = await guest.run(f"unshare --user --map-root-user --mount python3 -c '{calls}'")
    assert (tried.exit_status, tried.stderr) == (0, "")


@NAMESPACES
async def test_where_the_host_lacks_python_machines_get_the_daemons(monkeypatch, tmp_path, isolation):
    from aspot.local.guests import shared
    from aspot.local.guests.park import Park
    from tests.local.guests.conftest import Grounds

    found = shared.find_tool
    monkeypatch.setattr(shared, "find_tool", lambda name: None if name == "python3" else found(name))
    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=print, isolation=isolation)
    await park.start()
    guest = await Grounds(park, []).boot()
    assert await guest.out("command -v python3; python3 -c 'import json, sys; print(sys.prefix)'") == (
        "/run/aspot/bin/python3\n/run/aspot/python"
    )
    await park.aclose()


@NAMESPACES
async def test_where_a_world_is_refused_there_are_sessions_and_the_reason(monkeypatch, tmp_path, isolation):
    from aspot.local.guests.layout import Layout
    from aspot.local.guests.park import Park
    from tests.local.guests.conftest import Grounds

    world = Layout.world
    monkeypatch.setattr(Layout, "world", lambda self: {**world(self), "binds": [["no-such-thing", "/proc"]]})
    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=print)
    await park.start()
    assert park.isolation == "sessions"
    assert "no-such-thing on /proc" in park.refusal or "unshare" in park.refusal
    guest = await Grounds(park, []).boot()
    assert await guest.out("echo up") == "up"
    await park.aclose()


@NAMESPACES
async def test_parks_live_side_by_side(tmp_path, isolation):
    from aspot.local.guests.park import Park
    from tests.local.guests.conftest import Grounds

    parks = [Park(tmp_path / name, ssh_port=None, on_shutdown=print, isolation=isolation) for name in ("a", "b")]
    for park in parks:
        await park.start()
    guests = [await Grounds(park, []).boot() for park in parks for _ in range(2)]
    await parks[0].aclose()
    assert [await guest.out("echo up") for guest in guests[2:]] == ["up", "up"]
    await parks[1].aclose()


async def test_machines_do_not_share_homes(grounds):
    first, second = await grounds.boot(), await grounds.boot()
    await first.out("echo one > ~/mine; echo one > ${TMPDIR:-/tmp}/mine")
    assert (await second.run("cat ~/mine || cat ${TMPDIR:-/tmp}/mine")).exit_status != 0


async def test_the_host_key_lies_where_sshd_has_it(guest):
    shown = await guest.out("cat ${ASPOT_ETC_SSH:-/etc/ssh}/ssh_host_ed25519_key.pub")
    assert shown.split()[1] == await guest.host_key()


async def test_the_console_shows_the_host_key(guest):
    console = guest.park.console(guest.id)
    block = console.split("-----BEGIN SSH HOST KEY KEYS-----\n")[1].split("-----END SSH HOST KEY KEYS-----")[0]
    assert block.split()[1] == await guest.host_key()


async def test_a_machine_that_never_boots_refuses_for_ever_and_ends(grounds):
    guest = await grounds.boot(boots=False)
    assert await guest.refuses()
    assert guest.processes == []
    await guest.park.terminate(guest.id)


async def test_a_late_sshd_refuses_until_it_is_there(grounds, until):
    began = time.monotonic()
    guest = await grounds.boot(ssh_delay_s=0.3)
    assert await guest.refuses()
    await until(lambda: _answers(guest))
    assert time.monotonic() - began >= 0.3
    assert await guest.out("echo up") == "up"


async def _answers(guest):
    return not await guest.refuses()


async def test_many_machines_boot_at_once(grounds):
    import asyncio

    async with asyncio.TaskGroup() as group:
        boots = [group.create_task(grounds.boot()) for _ in range(12)]
    guests = [boot.result() for boot in boots]
    assert len({guest.endpoint for guest in guests}) == 12
    async with asyncio.TaskGroup() as group:
        names = [group.create_task(guest.out("echo $ASPOT_MACHINE")) for guest in guests]
    assert [name.result() for name in names] == [guest.id for guest in guests]


async def test_descriptors_do_not_leak(grounds, until):
    guest = await grounds.boot()
    await guest.out("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await guest.out("true")
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert await guest.out("ls /proc/self/fd | wc -l") == "4"  # 0, 1, 2 and ls's own
