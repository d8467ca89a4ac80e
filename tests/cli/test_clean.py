"""`aspot clean`: what earlier runs left is shown, and ended when told to; nothing else is touched."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from local_world import write
from processes import Piped

from aspot.intake.names import new_run_id, owner, run_id
from aspot.journal.sqlite import SqliteJournal
from aspot.machine.model import RunSpec

KINDS = {"instance", "security-group", "launch-template"}


@pytest.fixture
def script(cloud):
    return write("long.sh", "echo begun; sleep 300\n")


@pytest.fixture
def killed(start, script):
    """Return a function that begins a run of this name, and kills its process once the job runs."""

    def call(name):
        run = start(Piped, "run", script, "-n", name)
        run.says("started")
        run.kill()

    return call


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Return a block in which no run is known here."""

    @contextlib.contextmanager
    def block():
        with monkeypatch.context() as patch:
            patch.setenv("ASPOT_STATE_DIR", str(tmp_path / "elsewhere"))
            yield

    return block


def test_nothing_to_clean(aspot, cloud):
    assert aspot("clean") == (0, "Nothing to clean (checked us-east-1).\n", "")
    assert aspot("clean", "--yes") == (0, "Nothing to clean (checked us-east-1).\n", "")
    assert aspot("clean", "-q") == (0, "", "")
    assert aspot("sweep", "--yes", "-q") == (0, "", "")
    code, out, err = aspot("clean", "--json")
    assert (code, json.loads(out), err) == (0, {"found": [], "left": []}, "")


def test_run_that_is_driven_is_never_touched(aspot, cloud, start, script):
    run = start(Piped, "run", script, "-n", "driven")
    run.says("started")
    code, out, _ = aspot("clean", "--yes", "--all", "--run", "driven")
    assert code == 0
    assert "aspot down driven" in out
    assert [item["state"] for item in cloud.alive()] == ["running"]
    assert aspot("clean", "--yes", "-q") == (0, "", "")
    assert aspot("down", "driven")[0] == 0
    assert run.end() == 1


def test_run_that_was_left_to_its_machines_is_ended_only_when_told_to(aspot, cloud, killed):
    killed("left")
    for words in (["clean"], ["clean", "--yes"], ["clean", "--yes", "--run", "left"]):
        code, out, _ = aspot(*words)
        assert (code, len(cloud.alive())) == (0, 1)
        assert "Left alone:" in out
        assert "aspot attach left" in out

    code, out, _ = aspot("clean", "--all")
    assert (code, len(cloud.alive())) == (0, 1)
    assert out.splitlines()[0].split() == ["RUN", "AGE", "WHAT", "$/h"]
    assert "security group, launch template  $0.0" in out
    assert cloud.alive()[0]["id"] in out
    assert out.splitlines()[-1] == "Nothing was ended: aspot clean --yes --all ends it."

    cloud.forget_calls()
    code, out, err = aspot("clean", "--yes", "--all")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked).")
    assert err.startswith("ending left: ")
    assert out.startswith("Ended left: ")
    assert sum(number for name, number in cloud.calls().items() if name != "DescribeInstances") <= 8, cloud.calls()
    assert cloud.left_for_good() == []
    assert "left" not in aspot("ls")[1]


def test_run_without_a_journal_here_settles_first_unless_it_is_named(aspot, cloud, killed, elsewhere):
    killed("lost")
    with elsewhere():
        code, out, _ = aspot("clean", "--yes")
        assert (code, len(cloud.alive())) == (0, 1)
        assert "--run lost ends it" in out

        code, out, _ = aspot("clean", "--run", "lost", "--json")
        (found,) = json.loads(out)["found"]
        assert code == 0
        assert (found["run"], found["region"]) == ("lost", "us-east-1")
        assert {thing["kind"] for thing in found["things"]} == KINDS
        assert found["usd_per_hour"] > 0
        assert found["age_s"] < 300

        code, out, err = aspot("sweep", "--yes", "--run", "lost", "--json", "-q")
        assert (code, err) == (0, "")
        assert {thing["kind"] for thing in json.loads(out)["found"][0]["things"]} >= KINDS
        assert json.loads(out)["left"] == []
    assert cloud.left_for_good() == []
    assert aspot("down", "lost")[0] == 0


def test_every_region_that_runs_used_is_looked_in(aspot, cloud, start, script):
    run = start(Piped, "run", script, "-n", "abroad", "--region", "eu-west-1")
    run.says("started")
    run.kill()
    assert aspot("clean", "--region", "us-east-1", "--all")[1] == "Nothing to clean (checked us-east-1).\n"
    code, out, _ = aspot("clean", "--all")
    assert code == 0
    assert out.startswith("eu-west-1:\nRUN")
    code, out, _ = aspot("clean", "--yes", "--all", "--older-than", "1h")
    assert code == 0
    assert "it began or launched something" in out
    code, out, _ = aspot("clean", "--yes", "--all", "--json", "-q")
    assert (code, [found["region"] for found in json.loads(out)["found"]]) == (0, ["eu-west-1"])
    assert aspot("clean", "--all")[1] == "Nothing to clean (checked us-east-1, eu-west-1).\n"


def test_region_that_cannot_be_checked_is_said(aspot, cloud):
    """A run known here used a region that is no more; the others are checked all the same."""
    asyncio.run(_ended_run(RunSpec(id=new_run_id(), name="old", region="us-nowhere-1")))
    code, out, _ = aspot("clean", "--json")
    assert code == 3
    assert json.loads(out)["left"] == ["us-nowhere-1 could not be checked: there is no AWS region 'us-nowhere-1'"]
    assert aspot("clean", "-q", "--region", "us-east-1") == (0, "", "")


async def _ended_run(spec):
    journal = SqliteJournal.create(spec, created=datetime.now(UTC))
    await journal.finish([])
    await journal.aclose()


def test_account_that_cannot_be_asked(aspot, cloud):
    cloud.fault("expire-credentials")
    code, out, err = aspot("clean", "--yes")
    assert (code, out) == (3, "")
    assert err.startswith("error: ")


def test_disk_that_a_machine_left_is_deleted(aspot, cloud, killed):
    """Somebody told EC2 to keep it: nothing of aspot's does."""
    killed("disk")
    ec2 = cloud.client("ec2")
    (machine,) = cloud.alive()
    (told,) = ec2.describe_instances(InstanceIds=[machine["id"]])["Reservations"][0]["Instances"]
    device = told["BlockDeviceMappings"][0]
    tags = [tag for tag in told["Tags"] if tag["Key"].startswith("aspot:")]
    extra = ec2.create_volume(Size=1, AvailabilityZone=machine["zone"])["VolumeId"]
    ec2.create_tags(Resources=[extra], Tags=tags)
    assert device["Ebs"]["VolumeId"] != extra
    code, out, _ = aspot("clean", "--all")
    assert f"volume {extra} (available)" in out
    assert device["Ebs"]["VolumeId"] not in out
    code, out, _ = aspot("clean", "--yes", "--all")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked).")
    assert "volume" in out


def test_machine_that_may_not_be_ended_is_left(aspot, cloud, killed):
    killed("kept")
    (machine,) = cloud.alive()
    ec2 = cloud.client("ec2")
    ec2.modify_instance_attribute(InstanceId=machine["id"], DisableApiTermination={"Value": True})
    code, out, _ = aspot("clean", "--yes", "--all", "-q")
    assert code == 3
    assert out.startswith("Left behind:\n")
    assert f"instance {machine['id']} of kept (OperationNotPermitted" in out
    code, out, _ = aspot("clean", "--yes", "--all", "--json", "-q")
    assert code == 3
    assert [item.split(" (")[0].rpartition(" of ")[2] for item in json.loads(out)["left"]] == ["kept", "kept"]
    assert "kept" in aspot("ls")[1]
    ec2.modify_instance_attribute(InstanceId=machine["id"], DisableApiTermination={"Value": False})
    assert aspot("clean", "--yes", "--all")[0] == 0


def test_look_alikes_are_ignored(aspot, cloud):
    """Somebody copied our tags, whole or in part, onto things of their own."""
    ec2, run = cloud.client("ec2"), new_run_id()
    ours = {"aspot:run": run, "aspot:name": "fake", "aspot:owner": owner(), "aspot:v": "1", "aspot:request": "r1"}
    copies = [
        {**ours, "aspot:request": ""},
        {**ours, "aspot:owner": "you@there"},
        {**ours, "aspot:run": "r-1"},
        {**ours, "aspot:v": ""},
    ]
    ids = [launch(ec2, tags) for tags in copies]
    group = ec2.create_security_group(GroupName="web", Description="web")["GroupId"]
    ec2.create_tags(Resources=[group], Tags=in_form(ours))
    names = [word for name in ("fake", run, "r-1") for word in ("--run", name)]

    code, out, _ = aspot("clean", "--yes", "--all", *names)
    assert code == 0
    assert "Ignored, as not provably yours:" in out
    for one in (*ids, group):
        assert one in out
    assert {item["id"] for item in cloud.alive()} == set(ids)
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert not set(cloud.calls()) & {"TerminateInstances", "DeleteSecurityGroup"}
    ec2.terminate_instances(InstanceIds=ids)
    ec2.delete_security_group(GroupId=group)


def in_form(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items() if value]


def launch(ec2, tags):
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    answer = ec2.run_instances(
        ImageId=image,
        InstanceType="c7i.large",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": in_form(tags)}],
    )
    return answer["Instances"][0]["InstanceId"]


def test_disk_of_a_run_that_is_left_alone_is_left_alone(aspot, cloud):
    """Driven from elsewhere for hours, it launched a machine just now, whose disk EC2 shows before it is in use."""
    ec2, began = cloud.client("ec2"), datetime.now(UTC) - timedelta(hours=3)
    tags = {"aspot:run": run_id(began, bytes(10)), "aspot:name": "far", "aspot:owner": owner(), "aspot:v": "1"}
    machine = launch(ec2, tags | {"aspot:request": "r1"})
    disk = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    ec2.create_tags(Resources=[disk], Tags=in_form(tags | {"aspot:request": "r1"}))
    code, out, _ = aspot("clean", "--yes")
    assert code == 0
    assert "far (c7i.large, volume): it has no journal here" in out
    assert ec2.describe_volumes(VolumeIds=[disk])["Volumes"]
    assert [item["id"] for item in cloud.alive()] == [machine]
    assert aspot("clean", "--yes", "--run", "far", "-q") == (0, "", "")
    assert cloud.left_for_good() == []


def test_wrong_use(aspot, cloud):
    code, out, err = aspot("clean", "--older-than", "soon")
    assert (code, out) == (2, "")
    assert "--older-than" in err
