"""The daemon's life and `aspot local`: one per folder, found again, cleaned up after a crash, gone without a trace."""

import concurrent.futures
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

from aspot.errors import ConfigError
from aspot.local import LocalCloud
from aspot.local.client import boot_range
from aspot.local.home import Home, Settings


@pytest.fixture
def run(tmp_path):
    """Run `aspot local` on a folder of its own, with a clean environment."""
    kept = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
    }
    environment = {**kept, "ASPOT_LOCAL_DIR": str(tmp_path / "cloud")}

    def call(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "aspot", "local", *words],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    yield call
    call("down")


def exported(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            found[name] = value
        else:
            assert words[0] == "unset"
    return found


def test_up_prints_what_to_export_and_down_ends_it(run, tmp_path):
    env_file = tmp_path / "env"
    first = exported(run("up", "--env-file", str(env_file)).stdout)
    assert set(first) >= {
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "ASPOT_LOCAL_SSH_CONFIG",
        "ASPOT_LOCAL_DIR",
    }
    assert env_file.read_text() == "".join(f"{name}={value}\n" for name, value in first.items())
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "cloud").stat().st_mode) == 0o700
    again = run("up")
    assert exported(again.stdout) == first
    assert "already running" in again.stderr
    run("down")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(first["AWS_ENDPOINT_URL"], timeout=2)
    assert "no local cloud runs" in run("down").stderr
    assert run("ls", check=False).returncode == 2


def test_a_crashed_one_is_cleaned_up_by_the_next_up(run, tmp_path, until):
    environment = exported(run("up", "--boot", "0-0.1").stdout)
    control = Home(tmp_path / "cloud").running()
    address = booted_machine(environment, control, until)
    os.kill(control.pid, signal.SIGKILL)
    assert "started" in run("up").stderr
    assert json.loads(run("ls", "--json").stdout) == []
    with socket.socket() as link:
        assert link.connect_ex(address) != 0


def booted_machine(environment, control, until):
    """Launch a machine and return where its SSH server listens."""
    options = {
        "endpoint_url": environment["AWS_ENDPOINT_URL"],
        "region_name": environment["AWS_DEFAULT_REGION"],
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }
    name = "/aws/service/debian/release/12/latest/amd64"
    image = boto3.client("ssm", **options).get_parameter(Name=name)["Parameter"]["Value"]
    asked = {"ImageId": image, "InstanceType": "c5.large", "MinCount": 1, "MaxCount": 1}
    boto3.client("ec2", **options).run_instances(**asked)
    machine = until(lambda: next((m for m in control.call("GET", "instances") if m["booted"]), None))
    return machine["address"], machine["port"]


def test_two_ups_at_once_start_one(tmp_path):
    home = Home(tmp_path / "cloud")

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        started = list(pool.map(lambda _: home.start(Settings())[0], range(3)))
    try:
        assert len({control.pid for control in started}) == 1
    finally:
        assert home.stop()


def test_two_folders_are_two_clouds(tmp_path):
    homes = [Home(tmp_path / name) for name in ("one", "two")]
    controls = [home.start(Settings())[0] for home in homes]
    assert controls[0].port != controls[1].port
    for home in homes:
        assert home.stop()


def test_foreground_ends_with_ctrl_c(tmp_path):
    environment = {**os.environ, "ASPOT_LOCAL_DIR": str(tmp_path / "cloud")}
    words = [sys.executable, "-m", "aspot", "local", "up", "--foreground"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        said = up.stderr.readline()
        assert "Ctrl-C" in said, said
        assert Home(tmp_path / "cloud").running() is not None
        up.send_signal(signal.SIGINT)
        assert up.wait(20) == 0
    assert Home(tmp_path / "cloud").running() is None


@pytest.mark.parametrize(
    "words",
    [
        ["up", "--boot", "fast"],
        ["up", "--boot", "2-1"],
        ["up", "--port", "70000"],
        ["up", "--env-file", "/nowhere/at/all"],
        ["interrupt", "i-0123456789abcdef0"],
        ["fault", "list"],
    ],
)
def test_wrong_words_get_one_line_and_a_fix(run, words):
    done = run(*words, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    assert "fix:" in done.stderr


def test_faults_and_interruptions_by_command(run):
    run("up", "--boot", "0-0.1")
    fault = json.loads(run("fault", "refuse-pool", "m5.large", "*").stdout)
    assert (fault["kind"], fault["zone"], fault["code"]) == ("refuse-pool", "*", "InsufficientInstanceCapacity")
    assert json.loads(run("fault", "throttle", "RunInstances", "--for", "60").stdout)["seconds_left"] > 50
    assert json.loads(run("fault", "late-sshd", "5", "--count", "2").stdout)["count_left"] == 2
    assert json.loads(run("fault", "quota", "L-34B43A08", "8").stdout)["number"] == 8
    assert len(run("fault", "list").stdout.splitlines()) == 4
    assert "4 faults cleared" in run("fault", "clear").stdout
    unknown = run("interrupt", "nobody", check=False)
    assert unknown.returncode == 2
    assert "nobody" in unknown.stderr


@pytest.mark.parametrize(("text", "found"), [("0.5-2", (0.5, 2.0)), ("1", (1.0, 1.0)), ((0.0, 3.0), (0.0, 3.0))])
def test_boot_ranges(text, found):
    assert boot_range(text) == found


@pytest.mark.parametrize("text", ["", "a-b", "3-1", "-1", "1-2-3", "inf"])
def test_what_is_no_boot_range(text):
    with pytest.raises(ConfigError):
        boot_range(text)


@pytest.mark.anyio
async def test_a_local_cloud_of_ones_own(tmp_path):
    from aiobotocore.session import get_session

    async with LocalCloud(boot=(0.0, 0.1), seed=3, ssh_port=2230) as cloud:
        folder = Path(cloud.env["ASPOT_LOCAL_DIR"])
        options = {
            "endpoint_url": cloud.endpoint,
            "region_name": "eu-west-1",
            "aws_access_key_id": cloud.env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": cloud.env["AWS_SECRET_ACCESS_KEY"],
        }
        async with get_session().create_client("ssm", **options) as ssm:
            name = "/aws/service/debian/release/12/latest/amd64"
            image = (await ssm.get_parameter(Name=name))["Parameter"]["Value"]
        async with get_session().create_client("ec2", **options) as ec2:
            made = await ec2.run_instances(
                ImageId=image,
                InstanceType="c5.large",
                MinCount=1,
                MaxCount=2,
                InstanceMarketOptions={"MarketType": "spot"},
            )
        ids = {item["InstanceId"] for item in made["Instances"]}
        machines = await cloud.instances()
        assert {machine["id"] for machine in machines} == ids
        assert {machine["user"] for machine in machines} == {"admin"}
        assert {machine["port"] for machine in machines} == {2230}
        assert {machine["tags"]["aspot-local:ssh-port"] for machine in machines} == {"2230"}
        assert await cloud.calls() == {"GetParameter": 1, "RunInstances": 1}
        await cloud.reset_calls()
        assert await cloud.calls() == {}
        await cloud.fault("throttle", action="*")
        assert [fault["kind"] for fault in await cloud.faults()] == ["throttle"]
        await cloud.clear_faults()
        await cloud.interrupt(min(ids), notice_s=60)
        await cloud.rebalance(max(ids))
        assert [m["notice"] is not None for m in await cloud.instances()] == [m["id"] == min(ids) for m in machines]
    assert not folder.exists()
    with pytest.raises(ConfigError):
        await cloud.instances()


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_a_cloud_of_ones_own_ends_with_its_owner(tmp_path, until):
    program = (
        "import asyncio, os, pathlib, sys\n"
        "from aspot.local import LocalCloud\n"
        "async def main():\n"
        "    async with LocalCloud(folder=pathlib.Path(sys.argv[1])):\n"
        "        os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "cloud")], check=True, timeout=60)
    until(lambda: Home(tmp_path / "cloud").running() is None)


@pytest.mark.anyio
async def test_a_folder_in_use_is_refused(control):
    with pytest.raises(ConfigError, match="already runs"):
        await LocalCloud(folder=control.folder).start()
