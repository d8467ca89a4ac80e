"""`aspot launch`: several boxes at once, by name; which came, which did not, and how to reach each."""

import json
import re

import pytest
from local_world import until, write
from processes import OnTerminal, Piped

from aspot.journal import runs as journals


def alive(cloud):
    return {item["tags"]["aspot:name"]: item for item in cloud.alive()}


def test_several_at_once_each_a_box_of_its_own(cloud, aspot):
    """R17: by one line; what is there already is left as it is, and said; the same line again makes nothing."""
    assert aspot("connect", "-n", "b", "-p", "t3.small", "-q")[0] == 0
    first = alive(cloud)["b"]["id"]
    code, out, err = aspot("launch", "a", "b", "-p", "t2.micro", "c", "--market", "on-demand")
    assert code == 0, err
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert rows[0] == ["NAME", "STATE", "TYPE", "ZONE", "$/h", "ADDRESS", "OPEN IT"]
    assert [row[:3] for row in rows[1:4]] == [
        ["a", "ready", "t2.micro"],
        ["b", "was there already", "t3.small"],
        ["c", "ready", "t2.micro"],
    ]
    assert [row[6] for row in rows[1:4]] == ["aspot ssh a", "aspot ssh b", "aspot ssh c"]
    assert rows[4][0].startswith("3 there, $0.0")
    assert rows[4][0].endswith("/h together; a new one ends itself after 2 h without use; aspot down a b c")
    assert "a: t2.micro us-east-1" in err
    assert "b is there already: --market would be for new ones" in err
    found = alive(cloud)
    assert found.keys() == {"a", "b", "c"}
    assert found["b"]["id"] == first
    assert not any(journals.newest(name).is_live for name in "abc")
    assert aspot("ssh", "c", "true")[0] == 0

    cloud.forget_calls()
    code, out, _ = aspot("launch", "a", "b", "c", "-q", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["failed"] == []
    assert [(item["name"], item["instance_id"], item["new"]) for item in told["boxes"]] == [
        (name, found[name]["id"], False) for name in "abc"
    ]
    assert all(item["address"].startswith("127.") and item["usd_per_hour"] > 0 for item in told["boxes"])
    assert not cloud.launches()
    assert aspot("down", "a", "b", "c")[0] == 0


def test_so_many_of_one_name_and_names_that_are_made_up(cloud, aspot):
    code, out, err = aspot("launch", "worker", "--instances", "2", "-p", "t2.micro", "--idle", "30m", "-q")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["worker_1", "worker_2"]
    assert "a new one ends itself after 30 min without use; aspot down worker_1 worker_2" in out
    assert alive(cloud).keys() == {"worker_1", "worker_2"}
    # more of them: those that are there stay, and one is made
    code, out, _ = aspot("launch", "worker", "--instances", "3", "-p", "t2.micro", "-q")
    assert code == 0
    assert [line.split("  ")[1].strip() for line in out.splitlines()[1:4]] == ["was there already"] * 2 + ["ready"]
    code, out, _ = aspot("launch", "--instances", "2", "-p", "t2.micro", "-q", "--json")
    made = [item["name"] for item in json.loads(out)["boxes"]]
    assert code == 0
    assert len(set(made)) == 2
    assert all(re.fullmatch(r"box-\d{4}-\d{4}(-2)?", name) for name in made)
    assert alive(cloud).keys() == {"worker_1", "worker_2", "worker_3", *made}
    assert aspot("down", "--all")[0] == 0


def test_one_that_does_not_come_keeps_no_other_back(cloud, aspot):
    cloud.fault("deny", action="CreateSecurityGroup", count=1)
    code, out, err = aspot("launch", "a", "b", "c", "-p", "t2.micro")
    assert code == 3
    states = {line.split()[0]: re.split(r"\s{2,}", line)[1] for line in out.splitlines()[1:4]}
    (lost,) = [name for name, state in states.items() if state == "did not come"]
    assert sorted(states.values()) == ["did not come", "ready", "ready"]
    assert alive(cloud).keys() == set("abc") - {lost}
    assert f"{lost} did not come:\nerror: " in err
    assert "ec2:CreateSecurityGroup" in err
    assert err.endswith("2 of 3 came. The same command again makes those that did not come, and leaves the others "
                        "as they are.\n")  # fmt: skip
    code, out, err = aspot("launch", "a", "b", "c", "-p", "t2.micro", "-q", "--json")
    assert code == 0, err
    assert [item["name"] for item in json.loads(out)["boxes"] if item["new"]] == [lost]
    assert aspot("down", "a", "b", "c")[0] == 0


def test_what_no_box_can_have_is_told_once_and_nothing_is_left(cloud, aspot):
    code, out, err = aspot("launch", "a", "b", "-p", "t2.micro", "-sg", "nobodys", "-q")
    assert (code, out) == (2, "")
    assert err.count("error: there is no security group called 'nobodys'") == 1
    assert err.startswith("a, b did not come:\n")
    code, out, _ = aspot("launch", "a", "-p", "t2.micro", "-kp", "nobodys", "-q", "--json")
    assert code == 2
    assert json.loads(out)["boxes"] == []
    assert json.loads(out)["failed"][0]["name"] == "a"
    cloud.fault("quota", code="L-34B43A08", number=4)
    code, _, err = aspot("launch", "a", "b", "c", "-p", "t3.small", "-q")
    assert code == 3
    assert err.count("error: 3 × t3.small need 6 vCPUs; your spot quota for standard types is 4 (us-east-1)") == 1
    assert "fix:   launch 2 at most, or request more: https://" in err
    assert not cloud.launches()


def test_no_capacity_in_time_is_told_with_what_was_tried(cloud, aspot):
    cloud.fault("refuse-pool", type="t2.micro", zone="*")
    words = ["-p", "t2.micro", "--max-price", "0.0011", "--capacity-timeout", "2s", "-q"]
    for command in (["launch", "a", *words], ["connect", "-n", "a", *words]):
        code, out, err = aspot(*command)
        assert (code, out) == (3, "")
        assert "box a could not be made: no capacity for 2 s; " in err
        assert "fix:   try another type, zone or region" in err
        assert not cloud.leftovers()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "a"], "a is named twice"),
        (["a b"], "box name 'a b' cannot be used"),
        (["a", "b", "--instances", "2"], "--instances goes with one name"),
        (["a", "--instances", "0"], "--instances is 1 to 1,000, not 0"),
        (["a", "--instances", "60"], "60 instances are many"),
        (["a", "--instances", "two"], "invalid int value"),
        (["x" * 62, "--instances", "2"], "cannot be used"),
        (["a", "-p", "huge"], "there is no profile 'huge'"),
        (["a", "--idle", "soon"], "not a duration"),
        (["a", "--capacity-timeout", "soon"], "capacity_timeout 'soon' is not a duration"),
        (["a", "--idle", "0"], "idle must be above 0 seconds"),
        (["a", "-fw", "tcp", "8000-8010", "203.0.113.7/32"], "firewall rule 'tcp'"),
        (["a", "-n", "5"], "unrecognized"),
        (["a", "b", "--volume", "data:1GB:/mnt/data"], "a volume can be attached to one box at a time"),
        (["a", "-f", "da ta"], "file system name 'da ta' cannot be used"),
    ],
)
def test_each_wrong_word_is_one_line_and_nothing_is_left(cloud, aspot, words, message):
    code, out, err = aspot("launch", *words)
    assert code == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert out == ""
    assert not cloud.alive()


def test_names_of_fleets_and_of_their_machines_are_refused(cloud, aspot, start):
    run = start(Piped, "run", "--json", "-n", "study", "--", "echo here; sleep 600")
    run.says("here")
    cloud.forget_calls()
    for names, message in ((["a", "study"], "study is a fleet"), (["study_1"], "what a machine of fleet study")):
        code, _, err = aspot("launch", *names, "-p", "t2.micro")
        assert code == 2
        assert message in err
        assert "Nothing was launched." in err
    assert aspot("launch", "lab_1", "-p", "t2.micro", "-q")[0] == 0
    code, _, err = aspot("run", "-n", "lab", "--", "true")
    assert code == 2
    assert "box lab_1 has the name that a machine of a fleet lab would have" in err
    assert "aspot down lab_1" in err
    assert aspot("down", "study", "lab_1")[0] == 0
    run.end()


def test_ctrl_c_leaves_those_that_are_ready_and_says_so(cloud, aspot, start):
    assert aspot("launch", "a", "-p", "t2.micro", "-q")[0] == 0
    cloud.fault("never-boot")
    started = start(Piped, "launch", "a", "b", "c", "-p", "t2.micro")
    until(lambda: any(f"{name}: ready after" in started.err for name in "bc"))
    until(lambda: len(alive(cloud)) == 3)
    started.signal(2)
    assert started.end() == 130
    (made,) = [name for name in "bc" if f"{name}: ready after" in started.err]
    until(lambda: alive(cloud).keys() == {"a", made})
    assert f"these stay: a, {made}; aspot down a {made} ends them" in started.err
    assert aspot("down", "a", made)[0] == 0


def test_on_a_terminal_it_is_one_live_table(cloud, aspot, start):
    cloud.fault("late-sshd", delay_s=3)
    shown = start(OnTerminal, "launch", "a", "b", "-p", "t2.micro")
    shown.says("Ctrl-C ends those that are being made, and leaves the others")
    shown.says("1/2 ready, $0.0")
    shown.says("boots")
    assert shown.end() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.said)
    assert re.search(r"a +ready +t2\.micro +us-east-1. +\$0\.\d+ +127\.[\d.:]+ +aspot ssh a", plain)
    assert "aspot down a b" in plain
    assert "launched, spot" not in plain  # the table has it
    cloud.client("ec2", tries=5).terminate_instances(InstanceIds=[alive(cloud)["a"]["id"]])
    until(lambda: "a" not in alive(cloud))
    again = start(OnTerminal, "launch", "a", "b", "-p", "t2.micro")
    again.says("box a has ended: its machine was terminated by someone")
    assert again.end() == 0
    assert re.search(r"Making\s+a\s+new\s+one\.", again.said)
    assert aspot("down", "a", "b")[0] == 0


def test_they_share_a_file_system_that_is_made_once(cloud, aspot):
    code, out, err = aspot("launch", "a", "b", "c", "-p", "t2.micro", "-f", "data", "-q")
    assert code == 0, err
    (made,) = cloud.file_systems()
    assert {item["Value"] for item in made["Tags"] if item["Key"] == "Name"} == {"data"}
    assert aspot("connect", "-n", "a", "-q", "-s", write("put.sh", "echo shared >efs/note\n"))[0] == 0
    for name in "bc":
        code, out, _ = aspot("connect", "-n", name, "-q", "-s", write("get.sh", "cat efs/note\n"))
        assert (code, out) == (0, "shared\n")
    assert aspot("down", "a", "b", "c")[0] == 0
    until(lambda: not cloud.alive())
    assert aspot("fs", "rm", "data", "--yes", "-q")[0] == 0
