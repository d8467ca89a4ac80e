"""`aspot ssh-config`: OpenSSH's own programs find our machines, with strict host keys."""

import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest
from processes import ASPOT

from aspot.cli import ssh_config

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH is not installed")


@pytest.fixture
def config(tmp_path):
    """The user's own configuration, which `ssh -F` reads here: OpenSSH finds the home in passwd, not in HOME."""
    return tmp_path / ".ssh" / "config"


def openssh(config, program, *words, code=0):
    done = subprocess.run(
        [program, "-F", str(config), "-o", "BatchMode=yes", *words],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_ssh_scp_sftp_and_rsync_by_name(aspot, fleet_of, config, tmp_path):
    machines = fleet_of(2)
    code, out, err = aspot("ssh-config", "--write", "--yes")
    assert (code, out) == (0, "ssh knows box_1, box_2\n")
    assert err == f'added to {config}: Include "{tmp_path}/state/ssh/config"\n'
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in (".ssh", ".ssh/config", "state/ssh/known_hosts")] == [
        0o700, 0o600, 0o600,
    ]  # fmt: skip
    assert openssh(config, "ssh", "box_1", "echo $ASPOT_MACHINE") == machines.ids[0] + "\n"
    openssh(config, "ssh", machines.ids[1], "exit 7", code=7)
    Path("one.txt").write_text("one\n")
    openssh(config, "scp", "-q", "one.txt", "box_1:")
    openssh(config, "scp", "-q", "box_1:one.txt", "back.txt")
    assert Path("back.txt").read_text() == (machines.home(1) / "one.txt").read_text() == "one\n"
    Path("batch").write_text("put one.txt by-sftp.txt\n")
    openssh(config, "sftp", "-b", "batch", "box_2")
    assert (machines.home(2) / "by-sftp.txt").read_text() == "one\n"


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_rsync_both_ways(aspot, machine, config, tmp_path):
    assert aspot("ssh-config", "--write", "--yes", "-q") == (0, "", "")
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/a b.txt").write_text("x" * 100_000)
    by = ["-a", "-e", f"ssh -F {config} -o BatchMode=yes"]
    subprocess.run(["rsync", *by, f"{tmp_path}/tree", "box:"], check=True, timeout=40)
    assert (machine.home() / "tree/deep/a b.txt").stat().st_size == 100_000
    subprocess.run(["rsync", *by, "box:tree/", "home"], check=True, timeout=40)
    assert Path("home/deep/a b.txt").read_text() == "x" * 100_000


def test_another_host_key_is_refused(aspot, machine, config, tmp_path):
    aspot("ssh-config", "--write", "--yes", "-q")
    known = tmp_path / "state/ssh/known_hosts"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True, timeout=20
    )
    known.write_text(f"{machine.ids[0]} {(tmp_path / 'other.pub').read_text()}")
    done = subprocess.run(
        ["ssh", "-F", str(config), "-o", "BatchMode=yes", "box", "touch never"],
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr
    assert not (machine.home() / "never").exists()


def test_printed_it_can_be_used_as_it_is(aspot, machine):
    code, out, err = aspot("ssh-config")
    assert (code, err) == (0, "")
    assert out.startswith(f"Host box_1 box {machine.ids[0]}\n")
    assert "StrictHostKeyChecking yes" in out
    Path("mine.conf").write_text(out)
    assert openssh("mine.conf", "ssh", "box", "echo there") == "there\n"


def test_twice_is_once_and_ended_runs_vanish(aspot, fleet_of, config, tmp_path):
    config.parent.mkdir()
    config.write_text("Host mine\n    User me\n")
    config.chmod(0o640)
    machines = fleet_of()
    assert aspot("ssh-config", "--write", "--yes")[0] == 0
    once = config.read_text()
    assert once == f'Include "{tmp_path}/state/ssh/config"\nHost mine\n    User me\n'
    assert config.stat().st_mode & 0o777 == 0o640
    code, out, err = aspot("ssh-config", "--write")
    assert (code, out, err) == (0, "ssh knows box_1\n", "")
    assert config.read_text() == once
    assert "Host box_1 box" in (tmp_path / "state/ssh/config").read_text()
    machines.end()
    assert aspot("ssh-config", "--write") == (0, "no machine of yours is running: ssh knows none\n", "")
    assert "Host " not in (tmp_path / "state/ssh/config").read_text()
    assert (tmp_path / "state/ssh/known_hosts").read_text() == ""


def test_a_configuration_that_is_a_link_stays_one(aspot, cloud, config, tmp_path):
    config.parent.mkdir()
    (tmp_path / "dotfiles").write_text("# mine\n")
    config.symlink_to(tmp_path / "dotfiles")
    assert aspot("ssh-config", "--write", "--yes", "-q") == (0, "", "")
    assert config.is_symlink()
    assert (tmp_path / "dotfiles").read_text().endswith("# mine\n")
    assert (tmp_path / "dotfiles").read_text().startswith("Include ")


def test_names_of_the_users_own_hosts_stay_theirs(aspot, machine, config):
    config.parent.mkdir()
    config.write_text("Host box other*\n    HostName example.invalid\n")
    code, _, err = aspot("ssh-config", "--write", "--yes")
    assert code == 0
    assert "box is in your ~/.ssh/config already: use its instance id, or aspot ssh\n" in err
    assert openssh(config, "ssh", "box_1", "echo there") == "there\n"
    assert "example.invalid" in openssh(config, "ssh", "-G", "box")


def test_it_is_asked_before_your_configuration_is_changed(aspot, cloud, config, tmp_path):
    code, _, err = aspot("ssh-config", "--write")
    assert code == 2
    assert err.startswith("error: ssh does not know aspot's machines yet: ~/.ssh/config was not changed\nfix:   ")
    assert f'Include "{tmp_path}/state/ssh/config"' in err
    assert not config.exists()
    for answer, ends in (("n", 2), ("y", 0)):
        child = pexpect.spawn(ASPOT[0], [*ASPOT[1:], "ssh-config", "--write"], encoding="utf-8", timeout=30)
        child.expect_exact("Add this line to ~/.ssh/config?")
        child.expect_exact("[y/N]")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == ends
        assert config.exists() == (answer == "y")


def test_an_include_below_a_host_line_does_not_count(tmp_path):
    """It would hold for that host alone."""
    config = tmp_path / "config"
    assert list(ssh_config._before_any_host(f'Host a\n  Include "{config}"\n')) == []
    assert ssh_config._is_include(f"include {config}", config)
    assert not ssh_config._is_include("Include other", config)


def test_a_machine_whose_process_died_is_asked_for_in_ec2(aspot, cloud, start, config, machine):
    from processes import Piped

    machine.run.kill()
    assert aspot("ssh-config", "--write", "--yes", "-q") == (0, "", "")
    assert openssh(config, "ssh", "box", "echo there") == "there\n"
    assert aspot("ssh", "box", "exit 5")[0] == 5
    down = start(Piped, "down", "box")
    assert down.end() == 0, down.err
