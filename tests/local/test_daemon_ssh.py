"""Machines by plain ssh, and what their own shutdown does: the wire half with real guests."""

import json
import subprocess

import pytest


def ssh(aws, key, name, command, *options):
    words = ["ssh", "-F", aws.control.environment["ASPOT_LOCAL_SSH_CONFIG"], "-i", str(key), "-o", "IdentitiesOnly=yes"]
    words += [*options, name, command]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=30)


@pytest.fixture
def box(aws, key_pair, until):
    """A booted machine with a Name, and how to run a command on it."""
    name, key = key_pair
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}]

    def boot(**more):
        instance = aws.launch(KeyName=name, TagSpecifications=tags, **more)[0]
        address = aws.booted(instance)["address"]
        config = aws.control.folder
        until(lambda: instance in (config / "known_hosts").read_text())
        return instance, name, address, lambda where, command: ssh(aws, key, where, command)

    return boot


def test_ssh_by_id_name_and_address_with_strict_host_keys(box):
    instance, name, address, run = box()
    for where in (instance, name, address):
        done = run(where, "id -un; exit 7")
        assert (done.returncode, done.stdout) == (7, "ec2-user\n"), done.stderr


def test_the_default_user_is_the_images(box, aws):
    parameter = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    image = aws.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    _, name, _, run = box(ImageId=image)
    assert run(name, "id -un").stdout == "ubuntu\n"


def test_a_guest_can_use_the_cloud_it_runs_in(box):
    _, name, _, run = box()
    done = run(name, 'printf %s "$AWS_ENDPOINT_URL"')
    assert done.stdout.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(("behavior", "end"), [("terminate", "terminated"), ("stop", "stopped")])
def test_shutdown_does_what_its_behaviour_says(box, aws, behavior, end):
    instance, name, _, run = box(InstanceInitiatedShutdownBehavior=behavior)
    run(name, "sudo shutdown -h now")
    item = aws.reach(instance, end)
    assert item["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_notice_is_in_the_metadata(box, aws):
    instance, name, _, run = box()
    read = (
        'T=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" '
        '"${AWS_EC2_METADATA_SERVICE_ENDPOINT}latest/api/token"); '
        'curl -s -o /dev/stdout -H "X-aws-ec2-metadata-token: $T" '
        '"${AWS_EC2_METADATA_SERVICE_ENDPOINT}latest/meta-data/spot/instance-action"'
    )
    aws.control.call("POST", "interrupt", {"instance": name, "notice_s": 60})
    done = run(name, read)
    assert json.loads(done.stdout)["action"] == "terminate", done.stderr
    aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")
    assert run(name, "true").returncode == 255


def test_a_late_sshd_opens_later(box, aws, until):
    aws.fault("late-sshd", delay_s=1.0)
    _, name, _, run = box()
    assert run(name, "true").returncode == 255
    until(lambda: run(name, "true").returncode == 0)


def test_a_new_host_key_is_known_soon(box, until):
    instance, name, _, run = box()
    before = run(name, "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout
    change = (
        "ssh-keygen -q -t ed25519 -N '' -f fresh && sudo cp fresh /etc/ssh/ssh_host_ed25519_key && "
        "sudo cp fresh.pub /etc/ssh/ssh_host_ed25519_key.pub && sudo systemctl reload ssh && cat fresh.pub"
    )
    done = run(instance, change)
    assert done.returncode == 0, done.stderr
    assert done.stdout != before
    until(lambda: run(name, "true").returncode == 0)
