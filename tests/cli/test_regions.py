"""`aspot` over two regions: words, kill -9 and attach, Ctrl-C, what is left in each, and a lost journal."""

import json
import re
from pathlib import Path

import pytest
from local_world import until, write
from processes import Piped

from aspot.journal.runs import newest
from tests.cli.test_coming_back import COUNTING

NEAR, FAR = "us-east-1", "eu-west-1"
WORDS = ("-p", "c7i.large", "--region", NEAR, "--region", FAR, "--zone", f"{NEAR}a", "--zone", f"{FAR}a")
BOTH = [re.compile(rf'"instance_launched".*"zone": "{region}a"') for region in (NEAR, FAR)]


@pytest.fixture
def two(cloud):
    """Two regions, of which the first has room for one machine."""
    cloud.regions += [FAR]
    cloud.fault("capacity", type="*", zone=NEAR, number=1)
    return cloud


def jobs(text=COUNTING):
    return write("one.sh", text), write("two.sh", text)


def regions(cloud):
    return {item["region"] for item in cloud.alive()}


def test_regions_are_given_by_words_or_by_one(two, aspot):
    code, _, err = aspot("run", write("a.sh", "echo a\n"), "-n", "words", *WORDS[:2], "--region", f"{FAR}, {NEAR}")
    assert code == 0, err
    assert newest("words").regions == (FAR, NEAR)
    code, _, err = aspot("run", write("b.sh", "echo b\n"), "-n", "one", *WORDS[:2], "--region", FAR)
    assert code == 0, err
    assert (newest("one").region, newest("one").regions) == (FAR, (FAR,))
    code, _, err = aspot("run", "a.sh", "--region", ",")
    assert (code, "--region names a region" in err) == (2, True)
    code, _, err = aspot("run", "a.sh", "--region", NEAR, "--region", "us-esat-1")
    assert (code, "us-esat-1" in err) == (2, True)
    assert "Nothing was launched." in err


def test_a_profile_names_regions(two, aspot):
    write("aspot.toml", f'[profiles.wide]\ntypes = ["c7i.large"]\nregions = ["{NEAR}", "{FAR}"]\n')
    code, _, err = aspot("run", *jobs("sleep 2\n"), "-n", "wide", "-p", "wide", "--json")
    assert code == 0, err
    assert newest("wide").regions == (NEAR, FAR)
    assert f"{NEAR}, {FAR}" in aspot("profiles", "show", "wide")[1]
    assert f"{NEAR}, {FAR}" in aspot("profiles", "ls")[1]
    write("aspot.toml", f'[profiles.wide]\nregion = "{NEAR}"\nregions = ["{NEAR}", "{FAR}"]\n')
    code, _, err = aspot("run", "one.sh", "-p", "wide")
    assert (code, "aspot.toml:3: [profiles.wide] region and regions are both given" in err) == (2, True)


def test_a_killed_client_comes_back_in_both_regions(two, start, aspot):
    run = start(Piped, "run", *jobs(), "-n", "night", "--json", *WORDS)
    run.says_all(BOTH)
    until(lambda: sum("step 3" in path.read_text() for path in Path("aspot-results").rglob("a1/stdout")) == 2)
    run.kill()
    assert regions(two) == {NEAR, FAR}
    launched = two.launches()
    listed = json.loads(aspot("ls", "--json")[1])
    assert {item["zone"] for item in listed} == {f"{NEAR}a", f"{FAR}a"}
    code, _, err = aspot("attach", "night", "--region", "us-west-2")
    assert (code, f"runs in {NEAR}, {FAR}, not in us-west-2" in err) == (2, True)
    code, out, err = aspot("attach", "night")
    assert code == 0, err
    assert "2 succeeded" in out
    assert f"Nothing left (checked in {NEAR} and {FAR})." in out
    assert two.launches() == launched
    for job in ("one", "two"):
        assert Path(f"aspot-results/night/{job}/out/log").read_text() == "run 1 from 0\ndone\n"


def test_ctrl_c_leaves_nothing_in_either(two, start):
    run = start(Piped, "run", *jobs("sleep 300\n"), "-n", "stop", "--json", *WORDS)
    run.says_all(BOTH)
    run.interrupt()
    assert run.end() == 130
    assert json.loads(run.out.splitlines()[-1])["left"] == []
    assert two.alive() == []


def test_the_receipt_names_what_is_left_in_each_region(two, start, aspot):
    """Somebody protected the machines of both."""
    run = start(Piped, "run", *jobs("echo begun; sleep 3\n"), "-n", "rest", *WORDS)
    until(lambda: sum("begun" in path.read_text() for path in Path("aspot-results").rglob("a1/stdout")) == 2)
    protect(two, is_on=True)
    assert run.end() == 3
    left = run.out[run.out.index("Left behind, $") :]
    for region in (NEAR, FAR):
        assert f"c7i.large {region}a)" in left
        assert re.search(rf"security group sg-\w+ \(DependencyViolation\) in {region}$", left, re.MULTILINE), left
    code, _, err = aspot("down", "rest", "--region", "us-west-2")
    assert (code, "leave --region out" in err) == (2, True)
    code, out, _ = aspot("down", "rest", "-q", "--json")
    assert code == 3
    assert {item.rpartition(" ")[2] for item in json.loads(out)["left"]} == {NEAR, FAR}
    protect(two, is_on=False)
    code, out, err = aspot("down", "rest", "-q")
    assert (code, out.strip()) == (0, "Nothing left (checked).")


def protect(cloud, *, is_on):
    for item in cloud.alive():
        ec2 = cloud.client("ec2", region=item["region"])
        ec2.modify_instance_attribute(InstanceId=item["id"], DisableApiTermination={"Value": is_on})


def test_down_ends_a_run_in_both_regions(two, start, aspot):
    run = start(Piped, "run", *jobs("sleep 300\n"), "-n", "gone", "--json", *WORDS)
    run.says_all(BOTH)
    run.kill()
    code, out, err = aspot("down", "gone")
    assert code == 0, err
    assert "Nothing left (checked)." in out
    assert two.alive() == []


def test_clean_looks_in_both_regions(two, start, aspot):
    run = start(Piped, "run", *jobs("sleep 300\n"), "-n", "swept", "--json", *WORDS)
    run.says_all(BOTH)
    run.kill()
    code, out, err = aspot("clean", "--yes", "--all", "--json", "--run", "swept")
    assert code == 0, err
    assert {item["region"] for item in json.loads(out)["found"]} == {NEAR, FAR}
    assert two.alive() == []


def test_with_the_journal_lost_the_machines_tell_of_both_regions(two, start, aspot):
    run = start(Piped, "run", *jobs(), "-n", "lost", "--json", *WORDS)
    run.says_all([*BOTH, re.compile('"job_started".*"one"'), re.compile('"job_started".*"two"')])
    run.kill()
    for path in newest("lost").folder.path.glob("journal.db*"):
        path.unlink()
    code, out, err = aspot("attach", "lost", "--from-cloud", "--json")
    assert code == 0, err
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["left"]) == ("finished", [])
    assert {item["attempts"][0]["zone"] for item in last["results"]} == {f"{NEAR}a", f"{FAR}a"}
    for job in ("one", "two"):
        assert Path(f"aspot-results/lost/{job}/out/log").read_text() == "run 1 from 0\ndone\n"


def test_without_a_journal_down_finds_both_regions(two, start, aspot, elsewhere):
    run = start(Piped, "run", *jobs("sleep 300\n"), "-n", "far", "--json", *WORDS)
    run.says_all(BOTH)
    run.kill()
    elsewhere()
    code, _, err = aspot("down", "far")
    assert code == 0, err
    assert two.alive() == []


def test_a_box_is_in_the_first_region(two, aspot):
    write("aspot.toml", f'[profiles.wide]\ntypes = ["t3.micro"]\nregions = ["{FAR}", "{NEAR}"]\n')
    code, _, err = aspot("connect", "-n", "dev", "-p", "wide", "-q")
    assert code == 0, err
    assert regions(two) == {FAR}
    assert aspot("ssh", "dev", "echo hi")[:2] == (0, "hi\n")
    assert aspot("down", "dev")[0] == 0


def test_a_machine_in_either_region_is_logged_in_to(two, start, aspot):
    run = start(Piped, "run", *jobs("sleep 300\n"), "-n", "in", "--json", *WORDS)
    run.says_all([re.compile(f'"job_started".*"in_{number}"') for number in (1, 2)])
    run.kill()  # so that EC2 is asked where they are
    for name in ("in/one", "in/two"):
        code, out, err = aspot("ssh", name, "echo hi")
        assert (code, out) == (0, "hi\n"), err
    assert aspot("down", "in")[0] == 0


def test_another_computer_goes_on_in_both_regions(two, start, aspot, elsewhere):
    run = start(Piped, "run", *jobs(), "-n", "moved", "--json", *WORDS)
    run.says_all([*BOTH, re.compile('"job_started".*"one"'), re.compile('"job_started".*"two"')])
    run.kill()
    assert aspot("export", "moved")[0] == 0
    (bundle,) = elsewhere(Path("moved.aspot"))
    code, out, err = aspot("attach", "moved", "--key", bundle)
    assert code == 0, err
    assert f"Nothing left (checked in {NEAR} and {FAR})." in out
    assert newest("moved").regions == (NEAR, FAR)


def test_what_runs_is_listed_where_ec2_can_be_asked(two, start, aspot):
    run = start(Piped, "run", *jobs("sleep 300\n"), "-n", "listed", "--json", *WORDS)
    run.says_all(BOTH)
    two.fault("deny", action="DescribeInstances", region=FAR)
    code, out, err = aspot("ls", "--json")
    assert code == 0
    assert [item["zone"] for item in json.loads(out)] == [f"{NEAR}a"]
    assert err.startswith(f"EC2 was not asked in {FAR}: ")
    assert aspot("ls", "--json", "--region", NEAR)[2] == ""
    two.clear_faults()
    run.interrupt()
    assert run.end() == 130


def test_profiles_of_several_regions_are_set_and_reset(two, aspot, tmp_path):
    code, _, err = aspot("profiles", "set", "default", f"regions={NEAR},{FAR}", "types=c7i.large")
    assert code == 0, err
    assert f'regions = ["{NEAR}", "{FAR}"]' in (tmp_path / "config/profiles.toml").read_text()
    code, _, err = aspot("profiles", "set", "default", f"region={FAR}")
    assert (code, "region and regions are both given" in err) == (2, True)
    code, out, err = aspot("doctor", "--json")
    assert code == 0, out
    assert {region for region in (NEAR, FAR) if f" in {region}" in out} == {NEAR, FAR}
    code, out, err = aspot("prices", "default", "--json")
    assert code == 0, err
    assert {item["region"] for item in json.loads(out)} == {NEAR, FAR}
    code, _, err = aspot("profiles", "reset", "--region", FAR, "--image", "al2023")
    assert code == 0, err
    text = (tmp_path / "config/profiles.toml").read_text()
    assert (f'region = "{FAR}"' in text, "regions" in text) == (True, False)


def test_a_region_that_was_left_out_keeps_nobody_from_coming_back(two, start, aspot):
    two.fault("deny", action="CreateLaunchTemplate", region=NEAR)
    run = start(Piped, "run", jobs()[0], "-n", "half", "--json", *WORDS)
    run.says_all([BOTH[1], re.compile('"launch_refused".*us-east-1 is left out'), re.compile('"job_started"')])
    run.kill()
    code, out, err = aspot("attach", "half")
    assert code == 0, err
    assert f"{NEAR} is left out: AWS refused ec2:CreateLaunchTemplate" in err
    assert "1 succeeded" in out
    assert f"Nothing left (checked in {NEAR} and {FAR})." in out, "the group that was made there has to go"


def test_a_region_with_machines_has_to_be_there_to_come_back(two, start, aspot):
    run = start(Piped, "run", *jobs(), "-n", "closed", "--json", *WORDS)
    run.says_all(BOTH)
    run.kill()
    two.fault("close-region", region=FAR)
    code, _, err = aspot("attach", "closed")
    assert (code, "AuthFailure" in err) == (3, True)
    two.clear_faults()
    code, out, err = aspot("attach", "closed")
    assert code == 0, err
    assert "2 succeeded" in out
