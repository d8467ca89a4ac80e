"""Connecting: who is believed, what is refused, and which exception says so."""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
import subprocess
from pathlib import Path

import anyio
import asyncssh
import pytest

from aspot.errors import ConfigError
from aspot.ports import HostKeyMismatch, LinkDropped, NotReady, Target
from aspot.ssh import link as link_module
from aspot.ssh import rotation
from aspot.ssh.connect import SshRemote
from aspot.ssh.keys import RunKeys
from tests.ssh.guest import CLIENT, LEASE, RUN, guest_at, order_for, remote_of

pytestmark = pytest.mark.anyio


async def test_a_machine_with_another_host_key_gets_nothing(guest):
    guest.host_key = asyncssh.generate_private_key("ssh-ed25519")
    await guest.stop_listening()
    await guest.listen()
    async with remote_of(guest) as remote:
        with pytest.raises(HostKeyMismatch, match="t_1"):
            await remote.connect(guest.target())
    assert guest.auth_calls == 0
    assert guest.commands == []


async def test_a_machine_with_a_key_of_another_type_gets_nothing(guest):
    guest.host_key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    await guest.stop_listening()
    await guest.listen()
    async with remote_of(guest) as remote:
        with pytest.raises(HostKeyMismatch):
            await remote.connect(guest.target())
    assert guest.auth_calls == 0


async def test_after_the_rotation_the_injected_key_is_refused(guest, tmp_path):
    async with remote_of(guest) as remote:
        link = await remote.connect(guest.target())
        await link.arm(LEASE)
        await link.aclose()
        own = asyncssh.generate_private_key("ssh-ed25519")
        guest.keys.propose("i-0001", own.convert_to_public())
        guest.keys.pin("i-0001")
        with pytest.raises(HostKeyMismatch):
            await remote.connect(guest.target())
        guest.host_key = own
        await guest.stop_listening()
        await guest.listen()
        await (await remote.connect(guest.target())).aclose()
    again = RunKeys.load(guest.keys.folder)
    assert again.is_pinned("i-0001")
    assert not again.is_pinned("i-0002")


async def test_a_new_key_is_pinned_only_once_it_is_served(guest, monkeypatch):
    monkeypatch.setattr(rotation, "PROBE_S", 0.3)
    guest.shim("systemctl", "exit 0")  # says that it reloads, and does not
    async with remote_of(guest) as remote:
        link = await remote.connect(guest.target())
        armed = await link.arm(LEASE)
        assert not armed.rotated
        await link.aclose()
        await (await remote.connect(guest.target())).aclose()  # the injected one is still what counts
        await guest.relisten()  # late, it serves its own
        second = await remote.connect(guest.target())
        assert (await second.arm(LEASE)).rotated
        assert guest.keys.is_pinned("i-0001")


async def test_a_server_that_reloads_is_pinned_while_it_is_armed(guest):
    guest.shim("systemctl", f"touch {guest.folder}/reload")

    async def reload() -> None:
        while not (guest.folder / "reload").exists():
            await anyio.sleep(0.01)
        await guest.relisten()

    async with remote_of(guest) as remote, anyio.create_task_group() as group:
        group.start_soon(reload)
        link = await remote.connect(guest.target())
        assert (await link.arm(LEASE)).rotated
        assert guest.keys.expected("i-0001") == guest.host_key.convert_to_public()


async def test_nobody_there_yet_is_not_ready(guest):
    await guest.stop_listening()
    async with remote_of(guest) as remote:
        with pytest.raises(NotReady, match=r"t_1 at 127\.0\.0\.1"):
            await remote.connect(guest.target())


async def test_a_machine_that_does_not_know_our_key_is_not_ready(guest):
    guest.keys.client, other = asyncssh.generate_private_key("ssh-ed25519"), guest.keys.client
    async with remote_of(guest) as remote:
        guest_keys = guest.keys
        guest_keys.client = other
        stranger = RunKeys.generate(guest.folder / "stranger")
        stranger.injected = guest_keys.injected
        strange = SshRemote(stranger, "RUN", client=CLIENT)
        with pytest.raises(NotReady, match="'tester'"):
            await strange.connect(guest.target())
        await (await remote.connect(guest.target())).aclose()


async def test_a_server_that_hangs_up_or_says_nothing_is_not_ready(guest, monkeypatch):
    from aspot.ssh import connect as connect_module

    monkeypatch.setattr(connect_module, "LOGIN_S", 0.3)

    async def hang_up(reader, writer):
        writer.close()

    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    for behave in (hang_up, say_nothing):
        server = await asyncio.start_server(behave, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, remote_of(guest) as remote:
            with pytest.raises(NotReady):
                await remote.connect(Target(instance="i-1", label="x", address="127.0.0.1", port=port, user="u"))


async def test_a_cut_connection_is_a_dropped_link_for_everyone_on_it(link, guest, base):
    order = order_for(base, "sleep 30")
    await link.deliver(order)
    await link.start(order)
    dropped = []

    async def expect(act):
        with pytest.raises(LinkDropped):
            await act()
        dropped.append(act)

    async def watch():
        async for _ in link.watch():
            pass

    from tests.ssh.guest import Sink

    async with anyio.create_task_group() as group:
        group.start_soon(expect, watch)
        group.start_soon(expect, lambda: link.follow("job", 1, Sink()))
        await anyio.sleep(0.1)
        for connection in guest.connections:
            connection.abort()
    assert len(dropped) == 2
    for act in (link.renew, lambda: link.status("job", 1), lambda: link.deliver(order), lambda: link.arm(LEASE)):
        with pytest.raises(LinkDropped):
            await act()


async def test_a_silent_machine_is_a_dropped_link(link, guest, monkeypatch):
    monkeypatch.setattr(link_module, "ANSWER_S", 0.3)
    (guest.home / ".aspot/run").write_text("exec sleep 30\n")
    with pytest.raises(LinkDropped, match="nothing came"):
        await link.renew()


@pytest.mark.parametrize(
    "answer",
    ["echo nonsense", "exit 0", "exit 7", "kill -9 $$", "printf '@aspot\\nnonsense\\n'", "yes | head -c 200000"],
)
async def test_a_runner_that_makes_no_sense_is_a_dropped_link(link, guest, answer):
    (guest.home / ".aspot/run").write_text(answer + "\n")
    with pytest.raises(LinkDropped):
        await link.status("job", 1)


async def test_noise_of_start_up_files_is_not_taken_for_an_answer(guest, base, into):
    from tests.ssh.guest import Sink

    guest.noise = "echo Welcome; echo warning >&2;"
    order = order_for(base, "echo hi; echo oh >&2")
    async with remote_of(guest) as remote:
        link = await remote.connect(guest.target())
        await link.arm(LEASE)
        await link.deliver(order)
        await link.start(order)
        sink = Sink()
        await link.follow("job", 1, sink)
        await link.status("job", 1)
    assert (bytes(sink.kept["stdout"]), bytes(sink.kept["stderr"])) == (b"hi\n", b"oh\n")


async def test_what_a_server_asks_of_us_is_refused(guest):
    """T12: no forwarding, no agent, no X11 back into the client."""
    async with remote_of(guest) as remote:
        await remote.connect(guest.target())
        server = guest.connections[-1]
        for ask in (
            lambda: server.create_connection(asyncssh.SSHTCPSession, "127.0.0.1", 22),
            lambda: server.open_unix_connection("/tmp/x"),
            server.open_agent_connection,
        ):
            with pytest.raises((asyncssh.Error, OSError)):
                await ask()


async def test_keys_are_ours_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        keys = RunKeys.generate(tmp_path / "a/keys")
        keys.propose("i-1", keys.client.convert_to_public())
        keys.pin("i-1")
        keys.propose("i-2", keys.client.convert_to_public())
    finally:
        os.umask(before)
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    files = [path for path in keys.folder.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    again = RunKeys.load(keys.folder)
    assert again.client_public == keys.client_public
    assert again.injected_public == keys.injected_public
    assert again.expected("i-1") == keys.client.convert_to_public()
    assert again.expected("i-2") == keys.injected.convert_to_public()
    assert again.candidate("i-2") == keys.client.convert_to_public()
    assert again.candidate("i-1") is None
    assert "PRIVATE" not in repr(keys)


def in_words_of_ssh(command):
    """Return what OpenSSH makes of a command, by option in small letters."""
    said = subprocess.run([*shlex.split(command), "-G"], capture_output=True, text=True, check=True, timeout=20)
    return dict(line.split(" ", 1) for line in said.stdout.splitlines() if " " in line)


@pytest.mark.parametrize("folder", ["keys", "my keys/of 'it'"])
async def test_the_way_in_is_a_command_that_openssh_takes(tmp_path, folder):
    keys = RunKeys.generate(tmp_path / folder)
    own, next_one = (asyncssh.generate_private_key("ssh-ed25519").convert_to_public() for _ in range(2))
    keys.propose("i-1", own)
    keys.pin("i-1")
    keys.propose("i-2", next_one)
    one = Target(instance="i-1", label="t_1", address="198.51.100.7", port=22, user="ec2-user")
    two = Target(instance="i-2", label="t_2", address="127.0.0.2", port=2022, user="admin")
    first, second = [await SshRemote(keys, RUN, client=CLIENT).way_in(target) for target in (one, two)]
    found = in_words_of_ssh(first)
    assert (found["user"], found["hostname"], found["port"]) == ("ec2-user", "198.51.100.7", "22")
    assert (found["stricthostkeychecking"], found["identitiesonly"]) == ("true", "yes")
    assert found["identityfile"] == str(keys.client_key_path)
    other = in_words_of_ssh(second)
    assert other["port"] == "2022"

    def believed(host, known_hosts):
        assert stat.S_IMODE(Path(known_hosts).stat().st_mode) == 0o600
        looked = subprocess.run(
            ["ssh-keygen", "-F", host, "-f", known_hosts], capture_output=True, text=True, check=True
        )
        lines = (line for line in looked.stdout.splitlines() if not line.startswith("#"))
        return {asyncssh.import_public_key(line.split(" ", 1)[1]) for line in lines}

    assert believed("198.51.100.7", found["userknownhostsfile"].strip('"')) == {own}
    both = {keys.injected.convert_to_public(), next_one}
    assert believed("[127.0.0.2]:2022", other["userknownhostsfile"].strip('"')) == both
    assert await SshRemote(keys, RUN, client=CLIENT).way_in(one) == first


async def test_a_way_in_that_cannot_be_written_down_is_an_error(tmp_path):
    keys = RunKeys.generate(tmp_path / "keys")
    (keys.folder / "host-keys/i-0001.known_hosts").mkdir()
    target = Target(instance="i-0001", label="t_1", address="127.0.0.1", port=22, user="u")
    with pytest.raises(ConfigError, match="host keys cannot be written"):
        await SshRemote(keys, RUN, client=CLIENT).way_in(target)


async def test_keys_are_never_written_over_or_made_up(tmp_path):
    RunKeys.generate(tmp_path / "keys")
    with pytest.raises(ConfigError):
        RunKeys.generate(tmp_path / "keys")
    with pytest.raises(ConfigError):
        RunKeys.load(tmp_path / "none")
    (tmp_path / "keys/client_key").write_text("nonsense")
    with pytest.raises(ConfigError, match="damaged"):
        RunKeys.load(tmp_path / "keys")


async def test_many_handshakes_are_bounded(tmp_path, monkeypatch):
    most = now = 0
    async with guest_at(tmp_path) as guest, remote_of(guest) as remote:
        honest = asyncssh.connect

        async def counted(*args, **options):
            nonlocal most, now
            now += 1
            most = max(most, now)
            try:
                return await honest(*args, **options)
            finally:
                now -= 1

        monkeypatch.setattr(asyncssh, "connect", counted)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(remote.connect, guest.target())
    assert most == 8


async def test_commands_take_turns_where_sshd_has_few_sessions(link, guest, monkeypatch):
    """OpenSSH refuses the eleventh session of a connection (MaxSessions 10); the watch and the output have two more."""
    most = now = 0
    honest = guest.serve

    async def counted(process):
        nonlocal most, now
        now += 1
        most = max(most, now)
        try:
            await honest(process)
        finally:
            now -= 1

    monkeypatch.setattr(type(guest), "serve", lambda _guest, process: counted(process))
    await guest.stop_listening()
    await guest.listen()
    async with remote_of(guest) as remote:
        other = await remote.connect(guest.target())
        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(other.status, "job", number + 1)
    assert 1 < most <= 6


async def test_the_lease_it_was_armed_with_can_be_asked_for(guest, remote):
    from tests.ssh.guest import LEASE

    link = await remote.connect(guest.target())
    assert await link.lease() is None
    await link.arm(LEASE)
    assert await link.lease() == LEASE
    (guest.home / ".aspot/.machine/lease").write_text("1 2 x 4\n")
    assert await link.lease() is None
