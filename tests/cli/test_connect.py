"""`aspot connect` and `spot_connect`: the ancestor's line word for word, its flags, prompts, and what `ls` says."""

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import asyncssh
import pexpect
import pytest
from local_world import until, write
from processes import ASPOT

from aspot.journal import runs as journals

SPOT_CONNECT = [sys.executable, "-c", "from aspot.cli.main import spot_connect; spot_connect()"]


def alive(cloud, name="dev"):
    return [item for item in cloud.alive() if item["tags"].get("aspot:name") == name]


@pytest.fixture
def box(cloud, aspot):
    """A box, ended after the test."""
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    yield "dev"
    assert aspot("down", "dev")[0] == 0


def piped(*words, text=""):
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=100, check=False)


def test_the_articles_own_line_word_for_word(cloud, aspot):
    """R2, R6: it makes the box and opens a prompt; the same line again reconnects, in no time."""
    line = [*SPOT_CONNECT, "-n", "instance_1", "-p", "t2.micro", "-a", "True"]
    first = piped(*line, text="echo $((6 * 7)) >answer; exit 5")
    assert first.returncode == 5, first.stderr
    assert "instance_1: t2.micro us-east-1" in first.stderr
    assert "/h; ends itself after 2 h without use; aspot down instance_1" in first.stderr
    (made,) = alive(cloud, "instance_1")
    assert made["type"] == "t2.micro"
    cloud.forget_calls()
    second = piped(*line, text="cat answer")
    assert (second.returncode, second.stdout) == (0, "42\n")
    assert cloud.calls() == {}  # it answers where it was, and its host key proves that it is it
    assert [item["id"] for item in alive(cloud, "instance_1")] == [made["id"]]
    code, _, err = aspot("connect", "-n", "instance_1", "-t")
    assert code == 0
    assert "Nothing left (checked)" in err
    assert not alive(cloud, "instance_1")


def test_the_command_is_installed():
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject["project"]["scripts"]["spot_connect"] == "aspot.cli.main:spot_connect"


def test_a_prompt_is_a_terminal(box):
    child = pexpect.spawn(ASPOT[0], [*ASPOT[1:], "connect", "-n", "dev", "-a"], dimensions=(30, 90), encoding="utf-8",
                          timeout=30)  # fmt: skip
    child.expect(r"[$#] ")
    child.sendline("stty size; tty; echo $TERM")
    child.expect("30 90")
    child.expect("/dev/pts/")
    child.sendline("sleep 100")
    time.sleep(0.3)
    child.sendintr()
    child.sendline("echo code $?")
    child.expect("code 130")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_other_commands_know_a_box_and_count_as_its_use(aspot, box):
    found = piped(*ASPOT, "ssh", "dev", "ls ~/.aspot/.machine/sessions | wc -l; exit 7")
    assert (found.returncode, found.stdout.strip()) == (7, "1")
    write("here.txt", "there and back")
    assert aspot("cp", "here.txt", "dev:copied.txt")[0] == 0
    assert aspot("cp", "dev:copied.txt", "back.txt")[0] == 0
    assert Path("back.txt").read_text() == "there and back"
    assert "Host dev i-" in aspot("ssh-config")[1]


def test_scripts_uploads_and_their_codes(cloud, aspot, box):
    """R4, R5."""
    write("one.sh", "echo one $PWD; ls data\n")
    write("two.sh", "echo two; exit 3\n")
    write("three.sh", "echo three\n")
    write("a.txt", "a")
    write("b/c.txt", "c")
    code, out, err = aspot("connect", "-n", "dev", "-u", "a.txt,b", "-r", "data", "-s", "one.sh,two.sh,three.sh")
    assert code == 1
    assert out == "one /home/ec2-user\na.txt\nb\ntwo\n"
    assert "two.sh failed: exit code 3" in err
    code, out, _ = aspot("connect", "--name", "dev", "--script", "one.sh", "--script", "three.sh", "-q")
    assert (code, out.splitlines()[-1]) == (0, "three")


def test_every_flag_of_a_new_box(cloud, aspot, request):
    """R7, R8: what the ancestor's flags ask for is what EC2 is asked for."""
    ec2 = cloud.client("ec2", tries=5)
    ec2.create_key_pair(KeyName="mine")
    request.addfinalizer(lambda: ec2.delete_key_pair(KeyName="mine"))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="own", Description="own", VpcId=vpc)["GroupId"]
    iam = cloud.client("iam", tries=5)
    iam.create_instance_profile(InstanceProfileName="reader")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")
    iam.add_role_to_instance_profile(InstanceProfileName="reader", RoleName="reader")
    code, out, err = aspot(
        "connect", "-n", "dev", "-p", "t2.micro", "-prc", "0.05", "-reg", "us-east-1", "-kp", "mine", "-sg", group,
        "-ip", "reader", "-ami", "ubuntu-24.04", "-un", "ubuntu", "-m", "True", "-em", "False", "-nm", "False",
        "-a", "False", "-t", "False", "--disk", "20 GB", "--json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert (told["name"], told["type"], told["phase"]) == ("dev", "t2.micro", "ssh-ready")
    (template,) = ec2.describe_launch_templates()["LaunchTemplates"]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["KeyName"] == "mine"
    assert data["Monitoring"] == {"Enabled": True}
    assert data["IamInstanceProfile"] == {"Name": "reader"}
    assert data["NetworkInterfaces"][0]["Groups"] == [group]
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 20
    code, out, err = aspot("connect", "-n", "dev", "-s", write("who.sh", "id -un; echo $HOME\n"), "-prc", "1")
    assert out.splitlines()[-1] == "/home/ubuntu"
    assert "dev is there already: -prc would be for a new one" in err
    assert aspot("connect", "-iid", told["instance_id"], "-s", "who.sh")[1] == out
    assert aspot("connect", "-n", "dev", "-reg", "us-west-2")[0] == 2
    assert aspot("down", "dev")[0] == 0
    ec2.delete_security_group(GroupId=group)


def test_a_firewall_of_ones_own(cloud, aspot):
    rule = "('tcp', 8888, 8888, '203.0.113.7/32')"
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-fw", rule)
    assert code == 0, err
    groups = cloud.client("ec2", tries=5).describe_security_groups()["SecurityGroups"]
    (own,) = [item for item in groups if item["GroupName"].startswith("aspot-")]
    ports = {item["FromPort"]: item["IpRanges"][0]["CidrIp"] for item in own["IpPermissions"]}
    assert ports == {22: "127.0.0.1/32", 8888: "203.0.113.7/32"}
    assert aspot("down", "dev")[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("tcp", "8000-8010", "0.0.0.0/0"),
        ("tcp 8000-8010 0.0.0.0/0",),
        ("('tcp', 8000, 8010, '0.0.0.0/0')",),
    ],
)
def test_a_range_of_ports_and_who_opens_it_to_all_is_told(cloud, aspot, words):
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-fw", *words, "-fw", "udp 60000-60010 203.0.113.7")
    assert code == 0, err
    assert "dev: the firewall lets everybody in: tcp port 8000-8010 is open to 0.0.0.0/0" in err
    assert err.count("lets everybody in") == 1
    groups = cloud.client("ec2", tries=5).describe_security_groups()["SecurityGroups"]
    (own,) = [item for item in groups if item["GroupName"].startswith("aspot-")]
    ports = {
        (item["IpProtocol"], item["FromPort"], item["ToPort"]): item["IpRanges"][0]["CidrIp"]
        for item in own["IpPermissions"]
    }
    assert ports == {
        ("tcp", 22, 22): "127.0.0.1/32",
        ("tcp", 8000, 8010): "0.0.0.0/0",
        ("udp", 60000, 60010): "203.0.113.7/32",
    }
    assert aspot("down", "dev")[0] == 0


@pytest.fixture
def groups(cloud):
    """Make security groups, and VPCs to put them in; they go after the test."""
    ec2, made, vpcs = cloud.client("ec2", tries=5), [], []

    def make(name, *, elsewhere=False):
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        if elsewhere:
            vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
            vpcs.append(vpc)
        group = ec2.create_security_group(GroupName=name, Description="own", VpcId=vpc)["GroupId"]
        made.append(group)
        return group, vpc

    yield make
    for group in made:
        ec2.delete_security_group(GroupId=group)
    for vpc in vpcs:
        ec2.delete_vpc(VpcId=vpc)


def used_groups(cloud):
    """The groups that the next launch would use."""
    ec2 = cloud.client("ec2", tries=5)
    (template,) = ec2.describe_launch_templates()["LaunchTemplates"]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
    return versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["NetworkInterfaces"][0]["Groups"]


def test_a_security_group_by_its_name(cloud, aspot, groups):
    """R8: that of the default VPC counts where others have its name, too; it is the user's, and stays."""
    groups("web servers", elsewhere=True)
    mine, _ = groups("web servers")
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-sg", "web servers")
    assert code == 0, err
    assert used_groups(cloud) == [mine]
    assert aspot("connect", "-n", "dev", "-s", write("on.sh", "true\n"))[0] == 0
    assert aspot("down", "dev")[0] == 0
    there = cloud.client("ec2", tries=5).describe_security_groups(GroupIds=[mine])["SecurityGroups"]
    assert [item["GroupName"] for item in there] == ["web servers"]
    code, _, err = aspot("run", "-q", "--security-group", "web servers", "--", "true")
    assert code == 0, err


def test_a_group_that_is_not_there_or_not_the_only_one_is_one_line(cloud, aspot, groups):
    (first, one), (second, other) = groups("inner", elsewhere=True), groups("inner", elsewhere=True)
    groups("web-servers")
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-sg", "web-server")
    assert code == 2
    assert err.startswith("error: there is no security group called 'web-server' in us-east-1\n")
    assert "fix:   did you mean web-servers?" in err
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-sg", "xyz")
    assert code == 2
    assert "fix:   there are: default, inner, web-servers (or leave security_group out)" in err
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-sg", "inner")
    assert code == 2
    assert "2 security groups in us-east-1 are called inner, none of them in the default VPC" in err
    assert f"{first} in {one}" in err
    assert f"{second} in {other}" in err
    assert not cloud.launches()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the box with -n"),
        (["-n", "dev", "-iid", "i-1"], "name the box with -n"),
        (["-n", "a b"], "cannot be used"),
        (["-n", "dev", "-p", "huge"], "there is no profile 'huge'"),
        (["-n", "dev", "-p", "t9.nano"], "t9.nano"),
        (["-n", "dev", "-a", "maybe"], "neither True nor False"),
        (["-n", "dev", "-t", "maybe"], "neither True nor False"),
        (["-n", "dev", "-m", "maybe"], "neither True nor False"),
        (["-n", "dev", "-s", "nope.sh"], "no such script: 'nope.sh'"),
        (["-n", "dev", "-s", "here.sh,nope.sh"], "no such script: 'nope.sh'"),
        (["-n", "dev", "-u", "nope.txt"], "nope.txt"),
        (["-n", "dev", "-prc", "free"], "max_price must be US dollars"),
        (["-n", "dev", "-fw", "everyone"], "firewall rule 'everyone'"),
        (["-n", "dev", "-fw", "tcp", "8010-8000", "203.0.113.7/32"], "the wrong way round: 8000-8010?"),
        (["-n", "dev", "-fw", "('tcp', 0, 2, '203.0.113.7/32')"], "there is no port 0"),
        (["-n", "dev", "-fw", "tcp 8000-70000 203.0.113.7/32"], "there is no port 70000"),
        (["-n", "dev", "-fw", "tcp 8000-8010 203.0.113.7/40"], "does not appear to be an IPv4"),
        (["-n", "dev", "-fw", "203.0.113.7/32", "203.0.113.8/32"], "does not appear to be an IPv4"),
        (["-n", "dev", "-sg", "sg-a b"], "security_group cannot be 'sg-a b'"),
        (["-n", "dev", "-fw", "('tcp',)"], "is no rule"),
        (["-n", "dev", "-fw", "(tcp"], "is no rule"),
        (["-n", "dev", "-kp", "nobodys"], "nobodys"),
        (["-n", "dev", "-sg", "sg-0123"], "sg-0123"),
        (["-n", "dev", "-ip", "nobodys"], "nobodys"),
        (["-n", "dev", "-ami", "windows"], "windows"),
        (["-n", "dev", "-reg", "mars-1"], "mars-1"),
        (["-n", "dev", "-iid", "i-0123456789abcdef0", "-n", ""], "there is no instance"),
        (["-n", "dev", "--idle", "soon"], "not a duration"),
        (["-n", "dev", "--disk", "much"], "not a size"),
        (["-n", "dev", "--setup", "nope"], "--setup nope"),
        (["-n", "dev", "-a", "--json"], "a prompt has no JSON"),
        (["-n", "dev", "-wrong"], "unrecognized"),
    ],
)
def test_each_wrong_word_is_one_line_and_nothing_is_left(cloud, aspot, words, message):
    write("here.sh", "true\n")
    code, out, err = aspot("connect", *words)
    assert code == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert out == ""
    assert not cloud.alive()


def test_ls_status_attach_and_down_know_it(cloud, aspot, box):
    code, out, _ = aspot("ls")
    heading, row = out.splitlines()
    assert code == 0
    assert row.split()[:2] == ["dev", "box"]
    assert row[heading.index("STATE") :].startswith("in use")
    assert "1 × t2.micro" in row
    assert row[heading.index("ENDS") :].strip() in ("in 2 h", "in 2 h 1 min", "in 2 h 2 min", "in 1 h 59 min")
    (told,) = json.loads(aspot("ls", "--json")[1])
    assert (told["name"], told["run"], told["state"], told["phase"]) == ("dev", "dev", "running", "ssh-ready")
    _, out, _ = aspot("status", "dev")
    assert out.startswith("dev  box, t2.micro us-east-1")
    assert "ends itself after 2 h without use" in out
    assert json.loads(aspot("status", "dev", "--json")[1])["kind"] == "box"
    code, _, err = aspot("attach", "dev")
    assert code == 2
    assert "dev is a box, not a fleet" in err
    code, _, err = aspot("run", "-n", "dev", "--", "true")
    assert code == 2
    assert "box dev was left" in err
    code, out, _ = aspot("clean")
    assert "Nothing to clean" in out
    assert "a box; aspot connect -n dev opens it" in out
    assert aspot("logs", "dev")[0] == 2
    assert aspot("down", "dev")[1] == "Nothing left (checked).\n"
    assert "ended by its user" in aspot("status", "dev")[1]


def test_idle_as_it_was_told(cloud, aspot, box):
    """A box in use says so; how long it may be without use can be changed on the way in."""
    assert aspot("connect", "-n", "dev", "--idle", "30m")[0] == 0
    out = aspot("ls")[1]
    assert "in 30 min" in out or "in 31 min" in out or "in 32 min" in out or "in 29 min" in out


def test_one_that_is_gone_is_said_to_be(cloud, aspot):
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    (made,) = alive(cloud)
    cloud.interrupt(made["id"], notice_s=0)
    until(lambda: not alive(cloud))
    row = aspot("ls")[1].splitlines()[1]
    assert "ended" in row
    assert "aspot connect -n dev says why" in row
    code, _, err = aspot("connect", "-n", "dev", "-a")
    assert code == 3
    assert "box dev has ended: EC2 took its machine back (spot interruption)" in err
    assert "fix:   aspot connect -n dev -p t2.micro makes a new one" in err
    assert aspot("ls")[1] == "Nothing is running.\n"
    assert "interrupted by EC2" in aspot("status", "dev")[1]


def test_a_lost_one_is_replaced_where_a_kind_was_named(cloud, aspot):
    line = ("connect", "-n", "dev", "-p", "t2.micro")
    assert aspot(*line)[0] == 0
    (made,) = alive(cloud)
    cloud.client("ec2", tries=5).terminate_instances(InstanceIds=[made["id"]])
    until(lambda: not alive(cloud))
    code, _, err = aspot(*line)
    assert code == 0
    assert "its machine was terminated by someone" in err
    assert "Making a new one." in err
    assert len(alive(cloud)) == 1
    assert aspot("down", "dev")[0] == 0


def test_somebody_else_at_its_address_is_not_believed(cloud, aspot, box):
    """Without asking EC2 first: the host key alone decides, and then EC2 says what became of the box."""
    pinned = journals.newest("dev").folder.keys / "host-keys" / f"{alive(cloud)[0]['id']}.pub"
    mine = pinned.read_text()
    pinned.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    found = piped(*ASPOT, "connect", "-n", "dev", "-a", text="echo in")
    assert found.returncode == 3
    assert found.stdout == ""
    assert "showed a host key that is not its own" in found.stderr
    code, _, err = aspot("connect", "-n", "dev")
    assert code == 3
    assert "showed a host key that is not its own" in err
    assert "nothing was sent" in err
    pinned.write_text(mine)


def test_a_prompt_whose_machine_dies_says_so(cloud, box):
    child = pexpect.spawn(ASPOT[0], [*ASPOT[1:], "connect", "-n", "dev", "-a"], encoding="utf-8", timeout=30)
    child.expect(r"[$#] ")
    cloud.interrupt(alive(cloud)[0]["id"], notice_s=0)
    child.expect("the connection to dev broke")
    child.expect("is gone: terminated")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_clean_ends_what_is_left_of_a_box_that_is_gone(cloud, aspot):
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    cloud.interrupt(alive(cloud)[0]["id"], notice_s=0)
    until(lambda: not alive(cloud))
    assert "a box, younger than 10 min" in aspot("clean")[1]
    code, out, _ = aspot("clean", "--yes", "--run", "dev")
    assert code == 0
    assert "Ended dev" in out


def test_ctrl_c_while_it_is_made_leaves_nothing(cloud, start):
    from processes import Piped

    cloud.fault("refuse-pool", type="t2.micro", zone="us-east-1a")
    started = start(Piped, "connect", "-n", "dev", "-p", "t2.micro", "-prc", "0.0011")
    until(lambda: "CreateLaunchTemplate" in cloud.calls())
    time.sleep(1)
    started.signal(2)
    assert started.end() == 130
    assert not cloud.leftovers()
