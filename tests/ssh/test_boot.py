"""User data: what cloud-init is told, and what is not in it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
import yaml

from aspot.errors import ConfigError
from aspot.ssh import boot
from aspot.ssh.boot import user_data
from aspot.ssh.keys import RunKeys


@pytest.fixture
def keys(tmp_path):
    return RunKeys.generate(tmp_path / "keys")


def test_it_injects_the_host_key_and_lets_our_key_in_and_no_password(keys):
    text = user_data(keys, max_life_s=3600.2)
    assert text.startswith(b"#cloud-config\n")
    config = yaml.safe_load(text)
    assert config["ssh_deletekeys"] is True
    assert config["ssh_keys"] == {"ed25519_private": keys.injected_private, "ed25519_public": keys.injected_public}
    assert config["ssh_authorized_keys"] == [keys.client_public]
    assert config["ssh_pwauth"] is False
    assert set(config) == {"ssh_deletekeys", "ssh_keys", "ssh_authorized_keys", "ssh_pwauth", "bootcmd"}


def test_the_first_thing_at_boot_is_a_limit_on_the_machines_life(keys):
    command, _ = yaml.safe_load(user_data(keys, max_life_s=3600.2))["bootcmd"]
    assert "--on-active=3601 " in command
    assert "sleep 3601; poweroff" in command


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox ash"])
@pytest.mark.parametrize("is_armed", [False, True])
def test_a_machine_that_nobody_arms_ends_itself(monkeypatch, tmp_path, shell, is_armed):
    """The command of the user data, run as it is but for its times and its list of processes."""
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    command = boot._UNCLAIMED.format(seconds=0, again=0).replace("sleep 60", "sleep 0")
    for name, line in {
        "1": b"init\0",
        "2": command.encode(),
        "3": b"sh\0run\0_lease\0" if is_armed else b"sh\0",
    }.items():
        (tmp_path / "proc" / name).mkdir(parents=True)
        (tmp_path / "proc" / name / "cmdline").write_bytes(line)
    tool = tmp_path / "bin" / "poweroff"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho off >>{tmp_path}/off\n")
    tool.chmod(0o755)
    script = command.replace("/proc/", f"{tmp_path}/proc/").replace("/bin/sh", shell).replace("&)", ")")
    path = f"{tool.parent}:{os.environ['PATH']}"
    subprocess.run([*shell.split(), "-c", script], check=False, timeout=20, env={"PATH": path})
    assert (tmp_path / "off").exists() is not is_armed


def test_it_is_the_same_for_every_launch_of_the_run(keys):
    assert user_data(keys, max_life_s=60) == user_data(RunKeys.load(keys.folder), max_life_s=60)


def test_the_clients_private_key_is_not_in_it(keys):
    assert keys.client.export_private_key() not in user_data(keys, max_life_s=1)
    assert keys.client.export_private_key().split(b"\n")[2] not in user_data(keys, max_life_s=1)


def test_it_is_never_longer_than_ec2_takes(keys, monkeypatch):
    assert len(user_data(keys, max_life_s=10**9)) < 2500
    monkeypatch.setattr(boot, "MOST_BYTES", 500)
    with pytest.raises(ConfigError, match="longer than EC2 takes"):
        user_data(keys, max_life_s=1)
