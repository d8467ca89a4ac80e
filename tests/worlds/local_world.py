"""A real local cloud for tests: one daemon for all tests of a worker, and the check that each leaves nothing in it.

Fixtures are taken over by `tests/conftest.py`.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from waiting import until

from aspot.journal import runs as journals
from aspot.local.home import Control, Home, Settings

LAUNCHES = ("CreateFleet", "RunInstances")
GONE_WITHIN_S = 20.0


class Cloud:
    """The control side of the local cloud, and what is in it."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.staff = _descendants(control.pid)
        """The daemon's own helpers: every other descendant of it belongs to a guest."""
        self.regions = [self.env["AWS_REGION"]]
        """Where things may be left: a test that uses other regions adds them."""
        self._past: set[str] = set()

    @property
    def env(self) -> dict[str, str]:
        return self.control.environment

    def instances(self) -> list[dict[str, Any]]:
        """Return this test's machines, those that have ended too."""
        return [item for item in self._instances() if item["id"] not in self._past]

    def begin(self) -> None:
        """Forget what other tests did."""
        self.forget_calls()
        self._past = {item["id"] for item in self._instances()}

    def _instances(self) -> list[dict[str, Any]]:
        return self.control.call("GET", "instances")

    def alive(self) -> list[dict[str, Any]]:
        return [item for item in self.instances() if item["state"] != "terminated"]

    def fault(self, kind: str, **detail: Any) -> None:
        self.control.call("POST", "faults", {"kind": kind, **detail})

    def clear_faults(self) -> None:
        self.control.call("DELETE", "faults")

    def interrupt(self, instance: str, *, notice_s: float) -> None:
        self.control.call("POST", "interrupt", {"instance": instance, "notice_s": notice_s})

    def rebalance(self, instance: str) -> None:
        self.control.call("POST", "rebalance", {"instance": instance})

    def calls(self) -> dict[str, int]:
        return self.control.call("GET", "calls")

    def launches(self) -> int:
        return sum(number for name, number in self.calls().items() if name in LAUNCHES)

    def forget_calls(self) -> None:
        self.control.call("DELETE", "calls")

    def machine(self, instance: str) -> Path:
        """The folder that holds a guest's files, until it is terminated."""
        return self.control.folder / "park" / "machines" / instance

    def guests(self) -> set[int]:
        """Processes of guests."""
        return _descendants(self.control.pid) - self.staff

    def client(self, service: str, *, tries: int = 1, region: str = "") -> Any:
        """Return a client of boto3."""
        region = region or self.env["AWS_REGION"]
        return client_of(self.env, service, region_name=region, config=_tries(tries))

    def leftovers(self) -> list[str]:
        """What is in the cloud that a test must not leave."""
        found = [f"instance {item['id']} {item['name']} {item['state']}" for item in self.alive()]
        if found:
            return found  # nothing else can be gone yet, and asking for it is dear
        found += [f"guest process {_words(pid)}" for pid in self.guests()]
        found += [item for region in self.regions for item in self._leftovers_in(self._ec2(region))]
        if self.calls().get("CreateQueue"):
            found += [f"event rule {item['Name']}" for item in self.client("events").list_rules()["Rules"]]
            found += [f"queue {url}" for url in self.client("sqs").list_queues().get("QueueUrls", ())]
        if self.calls().get("CreateFileSystem"):
            found += [f"file system {item['FileSystemId']}" for item in self.file_systems()]
        return found

    @staticmethod
    def _leftovers_in(ec2: Any) -> list[str]:
        groups = ec2.describe_security_groups()["SecurityGroups"]
        found = [f"security group {item['GroupName']}" for item in groups if item["GroupName"] != "default"]
        templates = ec2.describe_launch_templates()["LaunchTemplates"]
        found += [f"launch template {item['LaunchTemplateName']}" for item in templates]
        found += [f"key pair {item['KeyName']}" for item in ec2.describe_key_pairs()["KeyPairs"]]
        volumes = ec2.describe_volumes()["Volumes"]
        return found + [f"volume {item['VolumeId']}" for item in volumes]

    def file_systems(self) -> list[dict[str, Any]]:
        return self.client("efs").describe_file_systems()["FileSystems"]

    def _remove_file_systems(self) -> None:
        efs = self.client("efs")
        for item in self.file_systems():
            for target in efs.describe_mount_targets(FileSystemId=item["FileSystemId"])["MountTargets"]:
                efs.delete_mount_target(MountTargetId=target["MountTargetId"])
            efs.delete_file_system(FileSystemId=item["FileSystemId"])

    def left_for_good(self) -> list[str]:
        """What is still there after a while; it is removed, so that the next test starts with nothing."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while (left := self.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            self._remove_all()
        return left

    def _remove_all(self) -> None:
        for region in {item["region"] for item in self.alive()}:
            doomed = [item["id"] for item in self.alive() if item["region"] == region]
            self._ec2(region).terminate_instances(InstanceIds=doomed)
        until(lambda: not self.alive())
        self._remove_file_systems()
        for region in self.regions:
            self._remove_in(self._ec2(region))

    @staticmethod
    def _remove_in(ec2: Any) -> None:
        for item in ec2.describe_launch_templates()["LaunchTemplates"]:
            ec2.delete_launch_template(LaunchTemplateId=item["LaunchTemplateId"])
        for item in ec2.describe_security_groups()["SecurityGroups"]:
            if item["GroupName"] != "default":
                ec2.delete_security_group(GroupId=item["GroupId"])

    def _ec2(self, region: str) -> Any:
        return self.client("ec2", tries=10, region=region)  # quick tests look more often than EC2 lets anyone


def client_of(environment: Mapping[str, str], service: str, **options: Any) -> Any:
    """Return a client of boto3 for a local cloud; making one takes as long as several calls, so each is made once."""
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return _client(service, *(environment[name] for name in names), **options)


@functools.cache
def _client(service: str, url: str, key: str, secret: str, **options: Any) -> Any:
    return boto3.client(service, endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, **options)


@functools.cache
def _tries(number: int) -> Config:
    return Config(retries={"mode": "standard", "total_max_attempts": number})


def _descendants(pid: int) -> set[int]:
    """Return the processes below one, however deep: guests' own namespaces don't hide them from here."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(name), []).append(int(name))
    found, waiting = set[int](), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def _parent(pid: str) -> int:
    try:
        state, parent = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return 0 if state == "Z" else int(parent)


def _words(pid: int) -> str:
    try:
        return f"{pid} {Path('/proc', str(pid), 'cmdline').read_bytes().replace(bytes(1), b' ')!r}"
    except OSError:
        return f"{pid} (gone meanwhile)"


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home = Home(tmp_path_factory.mktemp("cloud") / "local")
    control, _ = home.start(Settings(seed=5, boot_s=(0.1, 0.3)))
    yield Cloud(control)
    assert home.stop()


@pytest.fixture
def cloud(shared_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud, the environment pointing at it, and a folder to work in; nothing may be left in either."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "ASPOT_"))]:
        monkeypatch.delenv(name)
    for name, value in shared_cloud.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ASPOT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ASPOT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shared_cloud.begin()
    yield shared_cloud
    shared_cloud.clear_faults()
    left = shared_cloud.left_for_good()
    del shared_cloud.regions[1:]
    assert not left, f"left in the cloud: {left}"
    left = left_here(tmp_path / "state")
    assert not left, f"left in the state folder: {left}"


def left_here(state: Path) -> list[str]:
    """What is in the state folder of runs that should be over: locks, keys, and runs without an end."""
    known = journals.runs(state=state) if state.exists() else []
    found = [f"{item.name} is still driven" for item in known if item.is_live]
    found += [f"{item.name} has no end: {item.trouble or item.left}" for item in known if item.ended is None]
    found += [f"{item.name} left {item.left}" for item in known if item.left]
    return found + [f"keys of {item.name}" for item in known if any(item.folder.keys.glob("*"))]


def write(path: str | Path, text: str) -> str:
    """Write a file, and the folders above it; return its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    return str(path)


def json_lines(text: str) -> list[dict[str, Any]]:
    """Return the objects of a text that holds one a line."""
    return [json.loads(line) for line in text.splitlines()]
