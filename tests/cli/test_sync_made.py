"""`aspot sync` with file systems and volumes: a machine is made for it, and ended again."""

import json
import os
import signal
from pathlib import Path

import pytest
from local_world import json_lines, until, write
from processes import Piped
from stores import may

MIB = 1 << 20
ALL = ("ListBucket", "GetObject", "PutObject", "DeleteObject", "ListMultipartUploadParts")


@pytest.fixture
def clean(cloud):
    """What a test makes goes at its end; what it launched has gone by then."""
    yield cloud
    cloud.clear_faults()
    assert cloud.alive() == []
    ec2 = cloud.client("ec2")
    cloud._remove_file_systems()
    for item in ec2.describe_security_groups()["SecurityGroups"]:
        if item["GroupName"].startswith("aspot-efs-"):
            ec2.delete_security_group(GroupId=item["GroupId"])
    for item in ec2.describe_volumes()["Volumes"]:
        ec2.delete_volume(VolumeId=item["VolumeId"])


def put(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def disk(cloud, name):
    """What lies on a file system or volume."""
    found = cloud.control.folder / "park" / "machines" / "shared" / "disks" / name
    return found / "data" if name.startswith("vol-") else found


def volume(cloud, name, zone="us-east-1b"):
    tags = [{"Key": "Name", "Value": name}, {"Key": "aspot:volume", "Value": name}]
    wanted = {"AvailabilityZone": zone, "Size": 1, "Encrypted": True}
    made = cloud.client("ec2").create_volume(**wanted, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}])
    return made["VolumeId"]


def ends(err):
    """Tell whether a machine was made and has ended, as its lines say."""
    return ", made for " in err and "has ended. Nothing left (checked)." in err


def test_a_file_system_and_s3_both_ways(aspot, clean, bucket, held, role):
    name, s3 = role(*may(bucket, *ALL)), clean.client("s3")
    contents = {"a": b"one", "sub/b": b"two", "big": os.urandom(20 * MIB)}
    for key, content in contents.items():
        s3.put_object(Bucket=bucket, Key=f"in/{key}", Body=content)
    aspot("fs", "create", "lab")
    (found,) = clean.file_systems()
    code, out, err = aspot("sync", f"s3://{bucket}/in", "efs://lab/data/x", "-ip", name, "--json")
    assert code == 0, err
    (told,) = json_lines(out)
    assert (sorted(told["copied"]), told["dest"]) == (sorted(contents), "efs://lab/data/x")
    assert ends(err)
    assert clean.alive() == []
    assert tree(disk(clean, found["FileSystemId"])) == {f"data/x/{key}": content for key, content in contents.items()}
    assert json.loads(aspot("ls", "--json")[1]) == []
    put(disk(clean, found["FileSystemId"]) / "data" / "x" / "new", b"3")
    code, out, err = aspot("sync", "efs://lab/data", f"s3://{bucket}/out", "-ip", name, "--json")
    assert code == 0, err
    assert held()["out/x/new"] == b"3"
    assert held()["out/x/big"] == contents["big"]
    assert clean.launches() == 2


def test_a_volume_in_its_zone_and_this_computer(aspot, clean):
    made = volume(clean, "disk", "us-east-1b")
    put("here/a", b"1")
    put("here/big", os.urandom(20 * MIB))
    code, _, err = aspot("sync", "here", "ebs://disk/data")
    assert code == 0, err
    assert ends(err)
    assert " us-east-1b, " in err
    assert tree(disk(clean, made) / "data") == tree("here")
    (seen,) = clean.client("ec2").describe_volumes(VolumeIds=[made])["Volumes"]
    assert seen["State"] == "available"
    code, _, err = aspot("sync", f"ebs://{made}/data", "back")
    assert code == 0, err
    assert tree("back") == tree("here")


def test_two_at_once_one_from_disk_to_disk_the_other_within_s3(aspot, clean, bucket, held, role):
    name = role(*may(bucket, *ALL))
    made = volume(clean, "disk")
    aspot("fs", "create", "lab")
    put("here/a", b"1")
    assert aspot("sync", "here", "efs://lab/data")[0] == 0
    clean.client("s3").put_object(Bucket=bucket, Key="in/b", Body=b"2")
    clean.forget_calls()
    words = ("efs://lab/data", "ebs://disk/copy", f"s3://{bucket}/in", f"s3://{bucket}/out")
    code, out, err = aspot("sync", *words, "-ip", name, "--json")
    assert code == 0, err
    assert sorted(item["copied"] for item in json_lines(out)) == [["a"], ["b"]]
    assert tree(disk(clean, made) / "copy") == {"a": b"1"}
    assert held()["out/b"] == b"2"
    assert err.count("has ended. Nothing left (checked).") == 2
    assert clean.launches() == 2


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_a_client_that_leaves_leaves_no_machine(aspot, clean, bucket, role, start, how):
    name = role(*may(bucket, *ALL))
    put("big", os.urandom(MIB) * 200)
    assert aspot("s3", "cp", "big", f"s3://{bucket}/in/big")[0] == 0
    aspot("fs", "create", "lab")
    (found,) = clean.file_systems()
    process = start(Piped, "sync", f"s3://{bucket}/in", "efs://lab/x", "-ip", name)
    partial = disk(clean, found["FileSystemId"]) / "x" / ".big.aspot-part-note"
    until(lambda: partial.exists() and len(partial.read_text().splitlines()) > 2, what=lambda: process.err)
    if how == "interrupted":
        process.signal(signal.SIGINT)
        assert process.end(within_s=100) == 130
        assert "has ended. Nothing left (checked)." in process.err
        assert clean.alive() == []
    else:
        process.kill()
        (listed,) = json.loads(aspot("ls", "--json")[1])
        assert aspot("down", listed["name"])[0] == 0
    assert "Traceback" not in process.err
    clean.forget_calls()
    assert aspot("sync", f"s3://{bucket}/in", "efs://lab/x", "-ip", name, "-q")[0] == 0
    assert clean.calls()["GetObject"] < 25, "it went on where it was"
    assert tree(disk(clean, found["FileSystemId"]) / "x") == {"big": Path("big").read_bytes()}


def test_what_cannot_be_is_one_error_before_anything_is_launched(aspot, clean, bucket, role, start):
    name, poor = role(*may(bucket, *ALL)), role(*may(bucket, "ListBucket", "GetObject"))
    put("here/a", b"1")
    clean.client("s3").put_object(Bucket=bucket, Key="a", Body=b"1")
    aspot("fs", "create", "lab")
    volume(clean, "one", "us-east-1a")
    volume(clean, "two", "us-east-1b")
    place = f"s3://{bucket}"
    for words, code, said, fix in (
        (("here", "efs://none"), 2, "there is no file system none", "aspot fs ls"),
        (("here", "ebs://none"), 2, "there is no volume none", "aspot volume ls"),
        (("none", "efs://lab"), 2, "no such file here: none", ""),
        (("ebs://one", "ebs://two"), 2, "no machine can have all of these volumes", ""),
        ((place, "efs://lab"), 2, "needs a role for S3", f"aspot roles create NAME --bucket {bucket}"),
        (
            (f"s3://{bucket}", "efs://lab", "-ip", "nobody"),
            2,
            "there is no instance profile 'nobody'",
            "aspot roles ls",
        ),
        (("s3://no-such-bucket-of-anyone", "efs://lab", "-ip", name), 2, "there is no bucket", "aspot s3 ls"),
        (
            ("efs://lab", f"s3://{bucket}", "-ip", poor),
            3,
            "the permission s3:PutObject is missing",
            "aspot roles create",
        ),
        (("efs://lab", place, "-ip", name, "-p", "none.such"), 2, "none.such", ""),
    ):
        found = aspot("sync", *words)
        assert (found[0], said in found[2], fix in found[2]) == (code, True, True), found
        assert "Traceback" not in found[2]
    assert clean.launches() == 0
    code, _, err = aspot("sync", "efs://lab/none", f"s3://{bucket}/x", "-ip", name)
    assert (code, "efs-lab/none is not there" in err) == (2, True), err
    assert ends(err)


@pytest.mark.parametrize("why", ["may not ask", "bucket has a policy"])
def test_what_cannot_be_known_before_the_machine_says_first(aspot, clean, bucket, role, why):
    poor = role(*may(bucket, "ListBucket", "GetObject"))
    put("here/a", b"1")
    aspot("fs", "create", "lab")
    assert aspot("sync", "here", "efs://lab")[0] == 0
    if why == "may not ask":
        clean.fault("deny", action="SimulatePrincipalPolicy")
    else:
        rule = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        clean.client("s3").put_bucket_policy(Bucket=bucket, Policy=document)
    code, _, err = aspot("sync", "efs://lab", f"s3://{bucket}", "-ip", poor)
    assert (code, "the permission s3:PutObject is missing" in err) == (3, True), err
    assert ends(err)
    assert clean.alive() == []
    code, out, err = aspot("sync", "efs://lab", f"s3://{bucket}", "-ip", poor, "--dry-run")
    assert (code, out) == (0, "would copy a\n"), err


def test_a_machine_that_ec2_takes_back_is_made_again(aspot, clean, start):
    made = volume(clean, "disk")
    put("here/big", os.urandom(MIB) * 300)
    put("here/a", b"1")
    process = start(Piped, "sync", "here", "ebs://disk/x", "--json")
    partial = disk(clean, made) / "x" / ".big.aspot-part"
    until(lambda: partial.exists() and partial.stat().st_size > 20 * MIB, what=lambda: process.err)
    (first,) = clean.alive()
    clean.client("ec2").terminate_instances(InstanceIds=[first["id"]])
    assert process.end(within_s=110) == 0, process.err
    assert "is gone: " in process.err
    assert "making another, which goes on" in process.err
    assert process.err.count("has ended. Nothing left (checked).") == 2
    assert tree(disk(clean, made) / "x") == tree("here")
    (told,) = json_lines(process.out)
    assert "big" in told["copied"]


def test_two_syncs_with_one_volume_wait_for_each_other(aspot, clean):
    made = volume(clean, "disk")
    put("one/a", b"1")
    put("two/b", b"2")
    code, _, err = aspot("sync", "one", "ebs://disk/1", "two", "ebs://disk/2")
    assert code == 0, err
    assert tree(disk(clean, made)) == {"1/a": b"1", "2/b": b"2"}
    assert clean.launches() == 2


def test_a_volume_that_a_machine_has_is_not_taken(aspot, clean, start):
    write("wait.sh", "echo waits; sleep 600\n")
    run = start(Piped, "run", "--json", "-n", "box", "--volume", "disk:1GB", "wait.sh")
    run.says("waits")
    put("here/a", b"1")
    code, _, err = aspot("sync", "here", "ebs://disk")
    assert (code, "is attached to i-" in err) == (2, True), err
    assert "aspot down NAME" in err
    assert aspot("sync", "here", "box:disk")[0] == 0, "by that machine it goes"
    run.interrupt()
    run.end()
