"""`aspot s3 sync --on NAME`: on the machine, with its role and nothing but Python."""

import json
import os
import sys

import pytest
from local_world import until
from processes import Piped
from stores import may
from wires import BY_PROXY, ByProxy

from aspot.storage.lift import PARTS_AT_ONCE

MIB = 1 << 20
PARTS = 40
"""Of 8 MiB, so that there is time to break a connection before all are there."""
ALL = ("ListBucket", "GetObject", "PutObject", "DeleteObject", "ListMultipartUploadParts")


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_there_and_back(aspot, bucket, held, role, box, cloud):
    home = box(role(*may(bucket, *ALL)))
    contents = {"a.txt": b"one", "sub/ü +%&.txt": b"two", "empty": b"", "big": os.urandom(19 * MIB)}
    for name, content in contents.items():
        put(home / "data" / name, content)
    code, out, err = aspot("s3", "sync", "data", f"s3://{bucket}/runs/1", "--on", "box", "--json")
    assert (code, sorted(json.loads(out)["copied"])) == (0, sorted(contents)), err
    assert json.loads(out)["bytes"] == sum(map(len, contents.values()))
    assert held() == {f"runs/1/{name}": content for name, content in contents.items()}
    assert aspot("s3", "sync", f"s3://{bucket}/runs/1/", "~/back", "--on", "box_1")[0] == 0
    assert tree(home / "back") == contents
    again = aspot("s3", "sync", f"s3://{bucket}/runs/1", "back", "--on", "box/one", "--json")
    assert json.loads(again[1])["same"] == 4
    os.unlink(home / "back" / "empty")
    put(home / "back" / "a.txt", b"neu")
    code, out, _ = aspot("s3", "sync", "back", f"s3://{bucket}/runs/1", "--on", "box", "--delete", "--dry-run")
    assert out.splitlines() == ["would copy a.txt", "would delete empty"]
    assert aspot("s3", "sync", "back", f"s3://{bucket}/runs/1", "--on", "box", "--delete")[0] == 0
    assert held() == {f"runs/1/{name}": content for name, content in (contents | {"a.txt": b"neu"}).items() if content}


def test_within_s3_the_machine_only_asks(aspot, bucket, role, box, cloud, held):
    box(role(*may(bucket, *ALL)))
    s3, parts = cloud.client("s3"), [os.urandom(5 * MIB) for _ in range(12)]
    s3.put_object(Bucket=bucket, Key="in/ü +%&", Body=b"one", ContentType="text/x-own")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="in/big", Metadata={"k": "v"})["UploadId"]
    made = []
    for number, content in enumerate(parts, 1):
        part = {"Bucket": bucket, "Key": "in/big", "UploadId": upload, "PartNumber": number}
        made.append({"PartNumber": number, "ETag": s3.upload_part(**part, Body=content)["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="in/big", UploadId=upload, MultipartUpload={"Parts": made})
    cloud.forget_calls()
    cloud.fault("deny", action="UploadPartCopy", count=1)
    words = ("s3", "sync", f"s3://{bucket}/in", f"s3://{bucket}/out", "--on", "box", "--json")
    code, _, err = aspot(*words)
    assert code == 3
    assert "the permission s3:PutObject is missing" in err
    code, out, err = aspot(*words)
    assert code == 0, err
    assert "big" in json.loads(out)["copied"]
    assert {name: content for name, content in held().items() if name.startswith("out/")} == {
        "out/ü +%&": b"one",
        "out/big": b"".join(parts),
    }
    calls = cloud.calls()
    assert calls["CreateMultipartUpload"] == 1
    assert calls["UploadPartCopy"] <= 12 + 12
    assert "UploadPart" not in calls
    there = {name: s3.head_object(Bucket=bucket, Key=f"out/{name}") for name in ("big", "ü +%&")}
    assert (there["big"]["Metadata"], there["ü +%&"]["ContentType"]) == ({"k": "v"}, "text/x-own")
    again = json.loads(aspot(*words, "--checksum")[1])
    assert (again["copied"], again["same"]) == ([], 2)


def test_both_copiers_agree_on_what_is_the_same(aspot, bucket, role, box, held):
    home = box(role(*may(bucket, *ALL)))
    put(home / "data" / "big", os.urandom(19 * MIB))
    put(home / "data" / "small", b"1")
    assert aspot("s3", "sync", "data", f"s3://{bucket}", "--on", "box")[0] == 0
    assert aspot("s3", "sync", f"s3://{bucket}", "here")[0] == 0
    for words in (("here", f"s3://{bucket}"), ("data", f"s3://{bucket}", "--on", "box")):
        told = json.loads(aspot("s3", "sync", *words, "--checksum", "--json")[1])
        assert (told["copied"], told["same"]) == ([], 2)


@pytest.mark.parametrize("way", ["there", "back"])
def test_it_goes_on_after_a_break(aspot, bucket, held, role, box, cloud, start, way):
    home = box(role(*may(bucket, *ALL)))
    content = os.urandom(8 * MIB) * PARTS
    place = f"s3://{bucket}"
    words = ("data", place) if way == "there" else (place, "data")
    if way == "there":
        put(home / "data" / "big", content)
    else:
        with open("big", "wb") as target:
            target.write(content)
        assert aspot("s3", "cp", "big", place)[0] == 0
    action = "UploadPart" if way == "there" else "GetObject"
    cloud.forget_calls()
    process = start(Piped, "s3", "sync", *words, "--on", "box")
    until(lambda: _is_half_way(cloud) if way == "there" else _parts_noted(home / "data/.big.aspot-part-note"))
    process.kill()
    until(lambda: not _carriers(cloud), what="the copier outlived its connection")
    moved = cloud.calls()[action]
    assert moved < PARTS
    cloud.forget_calls()
    assert aspot("s3", "sync", *words, "--on", "box")[0] == 0
    assert cloud.calls()[action] < PARTS, "nothing was taken up"
    assert (held() if way == "there" else tree(home / "data")) == {"big": content}
    assert [path.name for path in (home / ".aspot" / "s3").iterdir() if path.suffix == ".upload"] == []


def _is_half_way(cloud):
    """Whether one part is there for certain: another is sent only then."""
    return cloud.calls().get("UploadPart", 0) > PARTS_AT_ONCE


def _parts_noted(note):
    return note.exists() and len(note.read_text().splitlines()) > 1


def _carriers(cloud):
    return [pid for pid in cloud.guests() if b"carrier.pyz" in _words(pid)]


def _words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as source:
            return source.read()
    except OSError:
        return b""


def test_what_the_role_may_not_is_named_before_anything_is_copied(aspot, bucket, role, box, held):
    home = box(role(*may(bucket, "ListBucket", "GetObject")))
    put(home / "data" / "a", b"1")
    code, _, err = aspot("s3", "sync", "data", f"s3://{bucket}", "--on", "box")
    assert code == 3
    assert f"error: box_1: its role may not use the bucket {bucket}: the permission s3:PutObject is missing" in err
    assert held() == {}
    code, _, err = aspot("s3", "sync", "data", "s3://no-such-bucket-of-anyone", "--on", "box")
    assert code == 3
    assert "the permission s3:ListBucket is missing" in err


def test_what_cannot_be_is_one_error(aspot, bucket, box, role, cloud):
    home = box()
    code, _, err = aspot("s3", "sync", "data", f"s3://{bucket}", "--on", "box")
    assert (code, err.splitlines()[0]) == (
        2,
        "error: box_1: it has no instance profile, so it has no credentials for S3",
    )
    for words, said in (
        (("a", "b"), "one side is in S3"),
        ((f"s3://{bucket}/x", f"s3://{bucket}"), "is in the other"),
    ):
        code, _, err = aspot("s3", "sync", *words, "--on", "box")
        assert code == 2
        assert said in err
    assert "nothing called 'none'" in aspot("s3", "sync", "data", f"s3://{bucket}", "--on", "none")[2]
    assert not (home / "data").exists()


def test_folders_that_are_not_there(aspot, bucket, box, role):
    box(role(*may(bucket, *ALL)))
    for words, said in (
        (("data", f"s3://{bucket}"), "is not there"),
        ((f"s3://{bucket}/none", "data"), f"there is nothing in s3://{bucket}/none"),
    ):
        code, _, err = aspot("s3", "sync", *words, "--on", "box")
        assert code == 2, err
        assert said in err


def test_a_broken_connection_is_made_again(bucket, held, role, box, cloud, start):
    home = box(role(*may(bucket, *ALL)))
    content = os.urandom(8 * MIB) * PARTS
    put(home / "data" / "big", content)
    (there,) = cloud.alive()
    wire = ByProxy(there["address"], there["port"])
    try:
        program = [sys.executable, BY_PROXY, str(wire.proxy.here)]
        cloud.forget_calls()
        process = start(Piped, "s3", "sync", "data", f"s3://{bucket}", "--on", "box", program=program)
        until(lambda: _is_half_way(cloud))
        wire.reset()
        assert process.end() == 0, process.err
    finally:
        wire.close()
    assert "the connection to box_1 broke; connecting again" in process.err
    assert held() == {"big": content}
    assert cloud.calls()["CreateMultipartUpload"] == 1


def test_a_box_is_in_use_meanwhile(aspot, bucket, held, role, cloud, start):
    name = role(*may(bucket, *ALL))
    assert aspot("connect", "-n", "dev", "-p", "t2.micro", "-ip", name)[0] == 0
    try:
        (there,) = cloud.alive()
        home = cloud.machine(there["id"]) / "home" / "ec2-user"
        put(home / "data" / "big", os.urandom(8 * MIB) * PARTS)
        cloud.forget_calls()
        process = start(Piped, "s3", "sync", "data", f"s3://{bucket}", "--on", "dev")
        until(lambda: _is_half_way(cloud))
        assert any((home / ".aspot").glob(".machine/sessions/*"))
        assert process.end() == 0, process.err
        assert list(held()) == ["big"]
    finally:
        assert aspot("down", "dev")[0] == 0
