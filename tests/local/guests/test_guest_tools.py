"""The stand-ins for system tools, as aspot's runner and people use them; and a host key that is replaced."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

ROTATE = (
    "key=$(mktemp -u) && ssh-keygen -q -t ed25519 -N '' -C new -f $key"
    " && sudo -n install -m 600 $key ${ASPOT_ETC_SSH:-/etc/ssh}/ssh_host_ed25519_key"
    " && sudo -n install -m 644 $key.pub ${ASPOT_ETC_SSH:-/etc/ssh}/ssh_host_ed25519_key.pub"
    " && sudo -n systemctl reload %s && cat $key.pub"
)


@pytest.mark.parametrize("unit", ["sshd", "ssh.service"])
async def test_a_replaced_host_key_is_served_once_sshd_is_reloaded(guest, unit):
    old = await guest.host_key()
    async with guest.connect() as connection:
        done = await connection.run(ROTATE % unit, check=True)
        new = done.stdout.split()[1]
        assert new != old
        assert await guest.host_key() == new
        assert (await connection.run("echo alive")).stdout == "alive\n"
    trusted = ([asyncssh.import_public_key(done.stdout)], [], [])
    async with guest.connect(known_hosts=trusted, server_host_key_algs=["ssh-ed25519"]):
        pass


async def test_a_host_key_file_that_is_none_leaves_the_old_key_in_service(guest):
    old = await guest.host_key()
    done = await guest.run("echo nonsense >${ASPOT_ETC_SSH:-/etc/ssh}/ssh_host_ed25519_key; systemctl restart sshd")
    assert done.exit_status == 1
    assert await guest.host_key() == old
    assert "Unable to load host key" in guest.park.console(guest.id)


async def test_a_new_host_key_survives_a_reboot(guest, until):
    new = (await guest.out(ROTATE % "sshd")).split()[1]
    await guest.park.reboot(guest.id)
    assert await guest.host_key() == new


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sudo -n echo a b", "a b"),
        ("sudo -u root -n -E -H -- echo x", "x"),
        ("sudo FOO=1 sh -c 'echo $FOO'", "1"),
        ("sudo -i echo 'a  b'", "a  b"),
        ("echo 'echo in' | sudo -s", "in"),
        ("sudo -v && echo fine", "fine"),
        ("sudo no-such-thing 2>/dev/null || echo failed", "failed"),
        ("sudo 2>/dev/null || echo usage", "usage"),
        ("sudo sh -c 'exit 9'; echo $?", "9"),
        ("systemctl is-active sshd.service", "active"),
        ("systemctl is-active nothing; echo $?", "inactive\n3"),
        ("systemctl restart nothing 2>&1; echo $?", "Unit nothing.service not found.\n5"),
        ("systemctl daemon-reload && systemctl enable sshd && echo fine", "fine"),
        ("systemctl frobnicate 2>/dev/null || echo unknown", "unknown"),
        ("systemctl status ../x 2>&1", "Invalid unit name: ../x"),
        ("service sshd reload && echo fine", "fine"),
        ("loginctl enable-linger && echo fine", "fine"),
        ("cloud-init query x 2>/dev/null || echo no", "no"),
    ],
)
async def test_what_they_say(guest, command, expected):
    assert (await guest.run(command)).stdout.strip() == expected


async def test_a_unit_runs_outside_the_session_in_a_clean_environment(guest, until):
    start = (
        "export SECRET=1; systemd-run --system --unit=aspot-1 -p Type=exec -p KillMode=control-group"
        " -p OOMPolicy=continue --uid=ec2-user --setenv='K=a b' --setenv=SHELL --working-directory=$HOME"
        " sh -c 'env >new; ps -o pid=,sid= -p $$ >>new; mv new out; sleep 1000'"
    )
    done = await guest.run(start, check=True)
    assert done.stderr.strip() == "Running as unit: aspot-1.service"
    assert await guest.out("systemctl is-active aspot-1") == "active"
    environment = await until(lambda: _file(guest, "out", lines=8))
    assert "K=a b" in environment
    assert not [line for line in environment if line.startswith(("SECRET=", "SSH_"))]
    assert [line for line in environment if line.startswith("AWS_EC2_METADATA_SERVICE_ENDPOINT=")]
    pid, session = environment[-1].split()
    assert pid == session == await guest.out("systemctl show aspot-1 -p MainPID --value")
    assert (await guest.run(start)).exit_status == 1
    await guest.out("systemctl stop aspot-1.service")
    assert (await guest.run("systemctl is-active aspot-1")).exit_status == 3


async def _file(guest, name, *, lines=1):
    done = await guest.run(f"cat ~/{name}")
    found = done.stdout.splitlines()
    return found if len(found) >= lines else None


async def test_a_units_end_ends_what_it_left_behind(guest, until):
    await guest.out("systemd-run -q --unit=u sh -c 'setsid sleep 77777 & sleep 0.2; exit 6'")

    async def has_ended():
        return (await guest.run("systemctl is-active u")).exit_status == 3

    await until(has_ended)
    assert await guest.out("pgrep -fx 'sleep 77777' || echo none") == "none"
    assert await guest.out("systemctl show u -p ExecMainStatus") == "ExecMainStatus=6"
    assert await guest.out("systemctl is-failed u && systemctl reset-failed u && echo reset") == "reset"


async def test_a_collected_unit_may_be_run_again(guest, until):
    for number in range(2):
        await guest.out(f"systemd-run -q --collect --wait --unit=again sh -c 'echo {number} >>~/runs'")
    assert await guest.out("cat ~/runs") == "0\n1"


async def test_a_unit_waited_for_gives_its_output_and_status(guest):
    done = await guest.run("echo in | systemd-run --quiet --wait --pipe sh -c 'cat; echo err >&2; exit 4'")
    assert (done.stdout, done.stderr, done.exit_status) == ("in\n", "err\n", 4)
    assert await guest.out("systemd-run --scope echo here") == "here"


async def test_timers_run_what_they_hold_when_it_is_due(guest, until):
    await guest.out(
        "systemd-run -q --on-active=1s sh -c 'echo later >~/later';"
        " systemd-run -q --on-boot=1 sh -c 'echo boot >~/boot'"
    )
    assert (await guest.run("cat ~/later")).exit_status == 1
    assert await until(lambda: _file(guest, "later")) == ["later"]
    assert await until(lambda: _file(guest, "boot")) == ["boot"]


@pytest.mark.parametrize("command", ["systemd-run", "systemd-run no-such-thing", "systemd-run --on-active=soon true"])
async def test_bad_units_are_refused(guest, command):
    assert (await guest.run(command)).exit_status == 1


@pytest.mark.parametrize(
    ("span", "seconds"), [("90", 90), ("2min", 120), ("1h 30min", 5400), ("1h30m", 5400), ("1day", 86400), ("10ms", 0)]
)
@pytest.mark.parametrize("isolation", ["sessions"])
async def test_time_spans(guest, span, seconds):
    shim = await guest.out("readlink -f $(command -v systemd-run)")
    script = f"sed -n '/^seconds()/,/^}}/p; /^complain()/,/^}}/p' {shim} >f; . ./f; seconds '{span}'; echo $total"
    assert await guest.out(script) == str(seconds)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox ash"])
@pytest.mark.parametrize("isolation", ["sessions"])
async def test_the_script_is_posix(guest, shell):
    if (await guest.run(f"command -v {shell}")).exit_status:
        pytest.skip(f"no {shell} here")
    shim = await guest.out("readlink -f $(command -v systemd-run)")
    script = f"ln -s {shim} systemd-run; {shell} -c '. {shim}' systemctl; {shell} -n {shim} && echo fine"
    assert await guest.out(script) == "fine"


async def test_users_of_one_machine_at_once(guest):
    """Answers go to whom asked, however many ask."""
    async with guest.connect() as connection, asyncio.TaskGroup() as group:
        runs = [group.create_task(connection.run("systemctl reload ssh && echo ok")) for _ in range(10)]
    assert [run.result().stdout for run in runs] == ["ok\n"] * 10
