"""`aspot s3 cp` and `sync` from S3 to S3: the bytes never come here."""

import json
import os
import uuid

import pytest
from local_world import until

MIB = 1 << 20
COPIES = ("CopyObject", "UploadPartCopy")


@pytest.fixture
def other(cloud):
    """A bucket in another region."""
    name, s3 = f"other-{uuid.uuid4()}", cloud.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield name
    cloud.clear_faults()
    for item in s3.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


def in_parts(s3, bucket, key, *parts, **more):
    """Make an object of these parts."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    made = []
    for number, content in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=content)
        made.append({"PartNumber": number, "ETag": answer["ETag"]})
    wanted = {"Parts": made}
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=wanted)


def sync(aspot, *words):
    code, out, err = aspot("s3", "sync", *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_folder_to_another_bucket_is_copied_by_s3_itself(aspot, bucket, other, cloud):
    s3 = cloud.client("s3")
    contents = {"a": b"one", "sub/ü +%&": b"two", "a//b": b"odd", "big": os.urandom(12 * MIB)}
    for name, content in contents.items():
        s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=content, ContentType="text/x-own", Metadata={"k": "v"})
    parts = os.urandom(5 * MIB), os.urandom(5 * MIB), b"end"
    in_parts(s3, bucket, "in/parts", *parts, ContentType="text/x-parts", Metadata={"of": "parts"})
    cloud.forget_calls()
    told = sync(aspot, f"s3://{bucket}/in", f"s3://{other}/out")
    assert (sorted(told["copied"]), told["bytes"]) == (sorted([*contents, "parts"]), 12 * MIB + 9 + 10 * MIB + 3)
    calls = cloud.calls()
    assert "GetObject" not in calls
    assert "UploadPart" not in calls
    assert calls["UploadPartCopy"] - calls["CopyObject"] <= 3
    there = cloud.client("s3", region="eu-west-1")
    for name, content in {**contents, "parts": b"".join(parts)}.items():
        found = there.get_object(Bucket=other, Key=f"out/{name}")
        assert found["Body"].read() == content
        assert found["ETag"] == s3.head_object(Bucket=bucket, Key=f"in/{name}")["ETag"]
        kind = ("text/x-parts", {"of": "parts"}) if name == "parts" else ("text/x-own", {"k": "v"})
        assert (found["ContentType"], found["Metadata"]) == kind
    cloud.forget_calls()
    told = sync(aspot, f"s3://{bucket}/in", f"s3://{other}/out", "--checksum")
    assert (told["copied"], told["same"]) == ([], 5)
    assert not set(COPIES) & set(cloud.calls())


def test_what_changed_is_copied_and_what_is_gone_deleted(aspot, bucket, held, cloud):
    s3 = cloud.client("s3")
    for name, content in {"in/a": b"1", "in/b": b"1", "out/b": b"2", "out/c": b"3", "in2/x": b"9"}.items():
        s3.put_object(Bucket=bucket, Key=name, Body=content)
    words = (f"s3://{bucket}/in", f"s3://{bucket}/out/", "--delete")
    code, out, _ = aspot("s3", "sync", *words, "--dry-run")
    assert (code, out.splitlines()) == (0, ["would copy a", "would copy b", "would delete c"])
    told = sync(aspot, *words)
    assert (sorted(told["copied"]), told["deleted"]) == (["a", "b"], ["c"])
    assert held() == {"in/a": b"1", "in/b": b"1", "out/a": b"1", "out/b": b"1", "in2/x": b"9"}


def test_the_same_content_in_other_parts_is_not_copied_again(aspot, bucket, cloud):
    s3, content = cloud.client("s3"), os.urandom(12 * MIB)
    s3.put_object(Bucket=bucket, Key="in/a", Body=content)

    def is_made_later():
        in_parts(s3, bucket, "out/a", content[: 6 * MIB], content[6 * MIB :])
        times = [s3.head_object(Bucket=bucket, Key=f"{name}/a")["LastModified"] for name in ("in", "out")]
        return times[0] < times[1]

    until(is_made_later)
    words = (f"s3://{bucket}/in", f"s3://{bucket}/out")
    assert sync(aspot, *words)["same"] == 1, "the newer of the two decides where nothing else tells"
    assert sync(aspot, *words, "--checksum")["copied"] == ["a"]
    assert sync(aspot, *words, "--checksum")["same"] == 1


def test_one_object(aspot, bucket, held, cloud):
    cloud.client("s3").put_object(Bucket=bucket, Key="in/a", Body=b"1")
    for dest in (f"s3://{bucket}/b", f"s3://{bucket}/dir/", f"s3://{bucket}"):
        assert aspot("s3", "cp", f"s3://{bucket}/in/a", dest)[0] == 0
    assert aspot("s3", "cp", "-r", f"s3://{bucket}/in", f"s3://{bucket}/all")[0] == 0
    assert held() == dict.fromkeys(("in/a", "b", "dir/a", "a", "all/a"), b"1")


def test_a_copy_that_broke_goes_on(aspot, bucket, held, cloud):
    parts = [os.urandom(5 * MIB) for _ in range(12)]
    in_parts(cloud.client("s3"), bucket, "in/big", *parts)
    cloud.forget_calls()
    cloud.fault("deny", action="UploadPartCopy", count=1)
    words = ("s3", "sync", f"s3://{bucket}/in", f"s3://{bucket}/out")
    code, _, err = aspot(*words)
    assert code == 3
    assert "error: these credentials may not use" in err
    assert "the permission s3:PutObject is missing" in err
    assert "out/big" not in held()
    assert aspot(*words)[0] == 0
    assert held()["out/big"] == b"".join(parts)
    calls = cloud.calls()
    assert calls["CreateMultipartUpload"] == 1
    assert calls["UploadPartCopy"] <= 12 + 8, "what was copied was copied again"
    s3 = cloud.client("s3")
    assert s3.head_object(Bucket=bucket, Key="in/big")["ETag"] == s3.head_object(Bucket=bucket, Key="out/big")["ETag"]


def test_the_place_that_may_not_be_used_is_named(aspot, bucket, cloud):
    cloud.client("s3").put_object(Bucket=bucket, Key="in/a", Body=b"1")
    for actions, permission, place in (
        (("CopyObject",), "s3:PutObject", "out/a"),
        (("CopyObject", "HeadObject"), "s3:GetObject", "in/a"),
    ):
        for action in actions:
            cloud.fault("deny", action=action)
        code, _, err = aspot("s3", "sync", f"s3://{bucket}/in", f"s3://{bucket}/out")
        cloud.clear_faults()
        assert code == 3
        assert f"may not use s3://{bucket}/{place}: the permission {permission} is missing" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sync", "s3://{bucket}/a", "s3://{bucket}/a/"), "are the same place"),
        (("cp", "s3://{bucket}/a", "s3://{bucket}/a"), "are the same place"),
        (("sync", "s3://{bucket}", "s3://{bucket}/a"), "is in the other"),
        (("sync", "s3://{bucket}/a/b", "s3://{bucket}/a"), "is in the other"),
        (("cp", "s3://{bucket}/none", "s3://{bucket}/b"), "there is no object"),
        (("cp", "s3://{bucket}/none/", "s3://{bucket}/b"), "is no object"),
        (("sync", "s3://{bucket}/none", "s3://{bucket}/b"), "there is nothing in"),
        (("sync", "s3://{bucket}/none", "s3://no-such-bucket-of-anyone"), "there is no bucket"),
    ],
)
def test_what_cannot_be_is_one_error(aspot, bucket, cloud, words, said):
    code, _, err = aspot("s3", *(word.format(bucket=bucket) for word in words))
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
