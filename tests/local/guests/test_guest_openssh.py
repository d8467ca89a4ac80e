"""OpenSSH's own clients and rsync, with strict host key checking."""

from __future__ import annotations

import os
import shutil

import pytest

pytestmark = [
    pytest.mark.skipif(not shutil.which("ssh"), reason="no OpenSSH client"),
    pytest.mark.parametrize("isolation", ["namespaces"]),
]
CONTENT = os.urandom(200_000)


async def test_commands(openssh):
    assert await openssh.run("ssh", "guest", "cat; echo err >&2; exit 5", stdin=CONTENT) == (5, CONTENT, b"err\n")


async def test_a_wrong_host_key_is_refused(openssh, client_key):
    known = openssh.folder / "known"
    known.write_text(f"guest {client_key.export_public_key().decode()}")
    status, _out, err = await openssh.run("ssh", "guest", "true")
    assert status == 255
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in err


async def test_a_terminal(openssh):
    status, out, _err = await openssh.run("ssh", "-tt", "guest", "tty && stty size; exit 3")
    assert status == 3
    assert out.startswith(b"/dev/pts/")


async def test_one_master_connection_serves_several_commands(openssh):
    master = ["-o", "ControlPath=ctl", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
    for number in range(3):
        assert (await openssh.run("ssh", *master, "guest", f"echo {number}"))[1] == f"{number}\n".encode()
    assert (await openssh.run("ssh", "-o", "ControlPath=ctl", "-O", "check", "guest"))[0] == 0
    assert (await openssh.run("ssh", "-o", "ControlPath=ctl", "-O", "exit", "guest"))[0] == 0


async def test_a_local_forward_leads_into_the_machines_network(openssh):
    host, port = openssh.guest.endpoint
    status, out, _err = await openssh.run("ssh", "-W", f"{host}:{port}", "guest", stdin=b"")
    assert status == 0
    assert out.startswith(b"SSH-2.0-")


@pytest.mark.parametrize("legacy", [[], ["-O"]], ids=["sftp", "rcp"])
async def test_scp_both_ways(openssh, legacy):
    (openssh.folder / "a b").write_bytes(CONTENT)
    (openssh.folder / "tree/deep").mkdir(parents=True)
    (openssh.folder / "tree/deep/ü").write_bytes(b"x")
    assert (await openssh.run("scp", *legacy, "-p", "a b", "guest:up"))[::2] == (0, b"")
    assert (await openssh.run("scp", *legacy, "-r", "tree", "guest:"))[::2] == (0, b"")
    assert (await openssh.run("scp", *legacy, "guest:up", "down"))[::2] == (0, b"")
    assert (await openssh.run("scp", *legacy, "-r", "guest:tree", "back"))[::2] == (0, b"")
    assert (openssh.folder / "down").read_bytes() == CONTENT
    assert (openssh.folder / "back/deep/ü").read_bytes() == b"x"
    assert (await openssh.run("scp", *legacy, "guest:missing", "down"))[0] != 0


async def test_sftp_batch(openssh):
    (openssh.folder / "up").write_bytes(CONTENT)
    batch = b"pwd\nmkdir d\nput up d/file\nrename d/file d/other\nchmod 600 d/other\nls -l d\n"
    batch += b"symlink other d/link\ndf\nget d/link down\nrm d/other\n"
    status, out, err = await openssh.run("sftp", "-b", "-", "guest", stdin=batch)
    assert (status, err) == (0, b"")
    assert b"/home/ec2-user" in out
    assert b"-rw-------" in out
    assert (openssh.folder / "down").read_bytes() == CONTENT


@pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync")
async def test_rsync_both_ways(openssh):
    source = openssh.folder / "tree"
    for number in range(50):
        (source / f"d{number % 5}").mkdir(parents=True, exist_ok=True)
        (source / f"d{number % 5}" / f"f {number}").write_bytes(os.urandom(number * 100))
    (source / "link").symlink_to("d1")
    there = ["rsync", "-a", "--delete", "-e", openssh.remote_shell]
    assert (await openssh.run(*there, "tree/", "guest:tree/"))[::2] == (0, b"")
    assert (await openssh.run(*there, "guest:tree/", "back/"))[::2] == (0, b"")
    assert (await openssh.run("diff", "-r", "--no-dereference", "tree", "back"))[:2] == (0, b"")
