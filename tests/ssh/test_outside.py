"""What goes to a machine beside its run: the keys it may show, what it says of its shells, what a path there means."""

import asyncssh
import pytest

from aspot.ports import HostKeyMismatch
from aspot.ssh.copy import Source
from aspot.ssh.keys import TYPE, RunKeys
from aspot.ssh.lasting import Shells, look, parse
from tests.ssh.guest import LEASE

pytestmark = pytest.mark.anyio


def test_the_keys_that_an_instance_may_show(tmp_path):
    """The injected one until its own is seen to be served; both while that one is only noted; read anew each time."""
    driver, outsider = RunKeys.generate(tmp_path / "keys"), RunKeys.load(tmp_path / "keys")
    injected = driver.injected.convert_to_public()
    assert outsider.trusted("i-1") == (injected,)
    own = asyncssh.generate_private_key(TYPE).convert_to_public()
    driver.propose("i-1", own)
    assert outsider.trusted("i-1") == (injected, own)
    driver.pin("i-1")
    assert outsider.trusted("i-1") == (own,)
    assert outsider.trusted("i-2") == (injected,)


async def test_logging_in_beside_the_run_writes_nothing(guest, remote):
    kept = sorted(guest.keys.folder.rglob("*"))
    connection = await remote.log_in(guest.target())
    assert (await connection.run("echo there")).stdout == "there\n"
    connection.abort()
    assert sorted(guest.keys.folder.rglob("*")) == kept
    guest.keys.propose("i-0001", asyncssh.generate_private_key(TYPE).convert_to_public())
    connection = await remote.log_in(guest.target())
    connection.abort()
    assert not guest.keys.is_pinned("i-0001")


async def test_another_key_gets_nothing(guest, remote):
    link = await remote.connect(guest.target())
    await link.arm(LEASE)
    guest.keys.propose("i-0001", asyncssh.generate_private_key(TYPE).convert_to_public())
    guest.keys.pin("i-0001")
    calls = guest.auth_calls
    with pytest.raises(HostKeyMismatch):
        await remote.log_in(guest.target())
    assert guest.auth_calls == calls


async def test_a_machine_without_tmux_can_hold_no_shell(tmp_path):
    from tests.ssh.guest import guest_at, remote_of

    async with guest_at(tmp_path, shell="busybox ash", only_busybox=True) as guest, remote_of(guest) as remote:
        connection = await remote.log_in(guest.target())
        assert await look(connection) == Shells(can_last=False)
        connection.abort()


def test_what_a_machine_says_of_its_shells():
    said = [
        "tmux",
        "shell-2 0",
        "shell-10 0",
        "shell-1 1",
        "mine 0",
        "shell-3.exit",
        "tmux.conf",
        "\x1b[2J",
        "shell-x 0",
    ]
    there = parse(said)
    assert there == Shells(
        can_last=True, held=("shell-1", "shell-2", "shell-10"), free=("shell-2", "shell-10"), ended=("shell-3",)
    )
    assert there.unused() == "shell-4"
    assert parse(["shell-1 0"]).can_last is False
    assert parse([]).unused() == "shell-1"


@pytest.mark.parametrize(
    ("path", "folder", "pattern", "is_one"),
    [
        ("", ".", "", False),
        ("~", ".", "", False),
        ("~/", ".", "", False),
        (".", ".", "", False),
        ("/", "/", "", False),
        ("a", ".", "a", True),
        ("./a/", ".", "a", True),
        ("~/out/*.pt", "out", "*.pt", False),
        ("/data//model/", "/data", "model", True),
        ("runs/*/a.txt", "runs", "*/a.txt", False),
        ("a/..", "a/..", "", False),
        ("../b", "..", "b", True),
        ("**/x", ".", "**/x", False),
    ],
)
def test_what_a_path_on_a_machine_means(path, folder, pattern, is_one):
    source = Source.of(path)
    assert (source.folder, source.pattern, source.is_one) == (folder, pattern, is_one)
