"""`aspot sync`: S3, machines and this computer, several at once, every so often."""

import json
import signal
from pathlib import Path

import pytest
from local_world import json_lines, until, write
from processes import OnTerminal, Piped
from stores import may

ALL = ("ListBucket", "GetObject", "PutObject", "DeleteObject", "ListMultipartUploadParts")


def test_to_a_machine_and_here_at_once(aspot, bucket, role, box, cloud):
    home = box(role(*may(bucket, *ALL)))
    s3 = cloud.client("s3")
    for name in ("in/a", "in/b/c"):
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    place = f"s3://{bucket}/in"
    code, out, err = aspot("sync", place, "box_1:data", place, "here", "--json")
    assert code == 0, err
    told = {item["dest"]: item for item in json_lines(out)}
    assert {dest: sorted(item["copied"]) for dest, item in told.items()} == {d: ["a", "b/c"] for d in ("data", "here")}
    assert told["data"]["machine"] == "box_1"
    for folder in (home / "data", Path("here")):
        assert (folder / "b" / "c").read_text() == "in/b/c"
    (home / "data" / "new").write_text("1")
    assert aspot("sync", "box:data", f"s3://{bucket}/out")[0] == 0
    assert s3.get_object(Bucket=bucket, Key="out/new")["Body"].read() == b"1"


def test_one_that_fails_keeps_no_other_back(aspot, bucket, held):
    write("here/a", "1")
    code, _, err = aspot("sync", "here", "s3://no-such-bucket-of-anyone", "here", f"s3://{bucket}")
    assert code == 2
    assert "error: there is no bucket" in err
    assert held() == {"a": b"1"}


def test_again_and_again_until_it_is_stopped(bucket, held, cloud, start):
    write("here/a", "1")
    process = start(Piped, "sync", "here", f"s3://{bucket}", "--every", "1s", "--json")
    until(lambda: held() == {"a": b"1"})
    cloud.fault("deny", action="PutObject", count=1)
    write("here/b", "2")
    until(lambda: held() == {"a": b"1", "b": b"2"}, what=lambda: process.out + process.err)
    process.signal(signal.SIGINT)
    assert process.end() == 130
    lines = json_lines(process.out)
    assert next(line for line in lines if "error" in line)["error"].count("s3:PutObject") == 1
    assert [line["copied"] for line in lines if line.get("copied")] == [["a"], ["b"]]
    assert "the same command goes on from here" in process.err
    assert "Traceback" not in process.err


def test_all_are_in_one_view(bucket, held, start):
    for name in ("one", "two"):
        write(f"{name}/big", name * (4 << 20))
    process = start(OnTerminal, "sync", "one", f"s3://{bucket}/1", "two", f"s3://{bucket}/2")
    assert process.end() == 0
    assert f"one → s3://{bucket}/1: 1 file copied" in process.said
    assert f"two → s3://{bucket}/2: 1 file copied" in process.said
    assert {name: len(content) for name, content in held().items()} == {"1/big": 12 << 20, "2/big": 12 << 20}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("here",), "in pairs"),
        (("here", "there"), "both sides are here"),
        (("s3://abc", "s3://abc/def"), "is in the other"),
        (("none", "box:data"), "no such file here: none"),
        (("a:x", "b:y"), "nothing goes from machine to machine"),
        (("a:x", "efs://lab/y"), "aspot fs mount lab --on a"),
        (("a:x", "ebs://lab/y"), "by way of S3"),
        (("s3://abc", "efs://lab/../x"), "leads out of efs://lab"),
        (("s3://abc", "efs:///x"), "file system name"),
        (("s3://abc", "here", "-ip", "lab"), "none is made for these"),
        (("none", "s3://abc"), "no such file here: none"),
        (("s3://a b", "here"), "is not a place in S3"),
        (("s3://abc", "here", "--every", "0.1s"), "too often"),
        (("s3://abc", "here", "--every", "soon"), "--every"),
        (("s3://abc", "none:data"), "nothing called 'none' is running"),
    ],
)
def test_what_cannot_be_is_one_error(aspot, cloud, words, said):
    code, _, err = aspot("sync", *words)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_machine_that_is_gone_is_said(aspot, bucket, role, box, cloud):
    box(role(*may(bucket, *ALL)))
    (there,) = cloud.alive()
    cloud.client("ec2").terminate_instances(InstanceIds=[there["id"]])
    code, out, _ = aspot("sync", f"s3://{bucket}", "box_1:data", "--json")
    assert code == 3
    assert json.loads(out.splitlines()[-1])["error"]
