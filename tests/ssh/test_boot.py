"""User data: what cloud-init is told, and what is not in it."""

from __future__ import annotations

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
    (command,) = yaml.safe_load(user_data(keys, max_life_s=3600.2))["bootcmd"]
    assert "--on-active=3601 " in command
    assert "sleep 3601; poweroff" in command


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
