"""Sessions over SSH, by asyncssh as the client: nothing lost, nothing invented."""

from __future__ import annotations

import asyncio
import hashlib
import os

import asyncssh
import pytest

BIG = os.urandom(3_000_001)


@pytest.mark.parametrize("status", [0, 1, 7, 127, 255])
async def test_exit_statuses_come_through(guest, status):
    assert (await guest.run(f"exit {status}")).exit_status == status


async def test_a_signal_is_reported_as_one(guest):
    done = await guest.run("kill -KILL $$")
    assert done.exit_signal[0] == "KILL"


async def test_output_and_errors_stay_apart(guest):
    done = await guest.run("echo out; echo err >&2; echo again >/dev/stderr")
    assert (done.stdout, done.stderr) == ("out\n", "err\nagain\n")


async def test_big_binary_input_and_output_lose_nothing(guest):
    done = await guest.run("tee /dev/stderr | cat", input=BIG, encoding=None)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(BIG).digest()
    assert hashlib.sha256(done.stderr).digest() == hashlib.sha256(BIG).digest()


async def test_many_sessions_at_once_lose_nothing(guest):
    async with guest.connect() as connection, asyncio.TaskGroup() as group:
        runs = [
            group.create_task(connection.run(f"head -c {100_000 + n} /dev/zero; exit {n}", encoding=None))
            for n in range(20)
        ]
    assert [(run.result().exit_status, len(run.result().stdout)) for run in runs] == [
        (n, 100_000 + n) for n in range(20)
    ]


async def test_a_slow_reader_holds_the_command_back(guest, until):
    script = "for n in $(seq 400); do head -c 100000 /dev/zero; echo $n >~/written; done"
    seen: list[str] = []

    async with guest.connect() as connection, connection.create_process(script, encoding=None) as process:

        async def has_stalled():
            seen.append((await connection.run("cat ~/written")).stdout.strip())
            return len(seen) > 10 and len(set(seen[-10:])) == 1

        assert len(await process.stdout.read(1000)) == 1000
        await until(has_stalled)
        assert int(seen[-1]) < 400
        rest = 1000
        while chunk := await process.stdout.read(1 << 20):
            rest += len(chunk)
        assert rest == 40_000_000


async def test_a_command_that_reads_nothing_does_not_block(guest):
    done = await guest.run("exec <&-; echo closed", input=BIG, encoding=None)
    assert done.stdout == b"closed\n"


async def test_end_of_input_is_passed_on(guest):
    assert (await guest.run("wc -c", input="12345")).stdout.strip() == "5"


async def test_output_arrives_while_the_command_runs(guest):
    async with guest.connect() as connection:
        await connection.run("echo first >~/log", check=True)
        async with connection.create_process("tail -n +1 -f ~/log") as follower:
            assert await follower.stdout.readline() == "first\n"
            await connection.run("echo second >>~/log", check=True)
            assert await asyncio.wait_for(follower.stdout.readline(), 30) == "second\n"
            follower.terminate()


async def test_a_background_process_keeps_the_channel_as_with_sshd(guest):
    done = await guest.run("(sleep 0.2; echo late) & echo early")
    assert done.stdout == "early\nlate\n"


async def test_a_detached_process_outlives_its_connection(guest, until):
    await guest.out("setsid sh -c 'sleep 0.3; echo done >~/done' </dev/null >/dev/null 2>&1 &")
    assert await until(lambda: _cat(guest, "done")) == "done"


async def _cat(guest, name):
    done = await guest.run(f"cat ~/{name}")
    return done.exit_status == 0 and done.stdout.strip()


async def test_a_command_outlives_a_client_that_goes(guest, until):
    async with guest.connect() as connection:
        await connection.create_process("sleep 0.3; echo done >~/done")
        connection.abort()
    assert await until(lambda: _cat(guest, "done")) == "done"


async def test_signals_reach_the_command(guest):
    async with (
        guest.connect() as connection,
        connection.create_process(
            "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
        ) as process,
    ):
        assert await process.stdout.readline() == "ready\n"
        process.terminate()
        done = await process.wait()
    assert (done.stdout, done.exit_status) == ("caught\n", 3)


async def test_a_terminal_has_size_and_type_and_follows_its_window(guest):
    script = "tty; echo $TERM; stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
    async with (
        guest.connect() as connection,
        connection.create_process(script, term_type="xterm-256color", term_size=(101, 31)) as process,
    ):
        lines = [(await process.stdout.readline()).strip() for _ in range(4)]
        assert lines[0].startswith("/dev/pts/")
        assert lines[1:] == ["xterm-256color", "31 101", "ready"]
        process.change_terminal_size(90, 20)
        assert (await process.stdout.readline()).strip() == "20 90"
        assert (await process.wait()).exit_status == 0


async def test_the_clients_terminal_modes_are_set(guest):
    modes = {asyncssh.constants.PTY_ECHO: 0, asyncssh.constants.PTY_VINTR: 7}
    async with guest.connect() as connection:
        done = await connection.run("stty -a", term_type="vt100", term_modes=modes)
    assert "-echo " in done.stdout
    assert "intr = ^G" in done.stdout


async def test_control_c_interrupts_what_runs_on_a_terminal(guest):
    async with (
        guest.connect() as connection,
        connection.create_process("echo ready; exec sleep 100", term_type="vt100") as process,
    ):
        assert (await process.stdout.readline()).strip() == "ready"
        process.stdin.write("\x03")
        done = await process.wait()
    assert done.exit_signal[0] == "INT"


async def test_a_shell_works_and_hangs_up_with_its_client(guest, until, alive_with):
    word = f"86{os.getpid()}"
    async with guest.connect() as connection:
        process = await connection.create_process(term_type="vt100")
        process.stdin.write(f"echo $((6*7)); sleep {word} & echo star''ted\n")
        seen = ""
        while "started" not in seen:
            seen += await asyncio.wait_for(process.stdout.read(100), 30)
        assert "42" in seen
        await until(lambda: alive_with(word))
    await until(lambda: not alive_with(word))


async def test_a_shell_without_a_terminal_runs_what_it_is_given(guest):
    async with guest.connect() as connection:
        done = await connection.run(input="echo $((2+3))\nexit 4\n")
    assert (done.stdout.strip(), done.exit_status) == ("5", 4)


async def test_only_locales_are_taken_from_the_client(guest):
    async with guest.connect() as connection:
        done = await connection.run("echo $LC_ALL-$FOO", env={"LC_ALL": "C", "FOO": "x"})
    assert done.stdout.strip() == "C-"


async def test_forwarding_to_the_machine_and_back(guest):
    async def echo(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with guest.connect() as connection:
        local = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", port)
        remote = await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", port)
        for listener in (local, remote):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.get_port())
            writer.write(b"hello\n")
            assert await reader.read() == b"HELLO\n"
            writer.close()
            await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_no_privileged_port_is_opened_for_a_client(guest):
    async with guest.connect() as connection:
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 1023, "127.0.0.1", 9)


@pytest.mark.parametrize("user", ["ubuntu", "nobody", ""])
async def test_other_users_are_denied(guest, user):
    with pytest.raises(asyncssh.PermissionDenied):
        async with guest.connect(username=user):
            pass


async def test_root_is_told_whom_to_be(guest):
    async with guest.connect(username="root") as connection:
        done = await connection.run("id")
    assert done.exit_status == 142
    assert done.stdout.startswith('Please login as the user "ec2-user" rather than the user "root".')


async def test_a_stranger_is_denied(guest):
    with pytest.raises(asyncssh.PermissionDenied):
        async with guest.connect(client_keys=[asyncssh.generate_private_key("ssh-ed25519")]):
            pass


async def test_without_any_key_nobody_may_log_in(grounds):
    guest = await grounds.boot(key_pair=None)
    with pytest.raises(asyncssh.PermissionDenied):
        async with guest.connect():
            pass


async def test_authorized_keys_are_the_machines_own_to_change(guest):
    other = asyncssh.generate_private_key("ssh-ed25519")
    line = other.export_public_key().decode().strip()
    await guest.out(f"echo '{line}' >~/.ssh/authorized_keys")
    async with guest.connect(client_keys=[other]) as connection:
        assert (await connection.run("echo in")).stdout == "in\n"
    with pytest.raises(asyncssh.PermissionDenied):
        async with guest.connect():
            pass
