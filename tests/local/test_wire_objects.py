"""S3 on the local cloud: what moto keeps, and what is corrected or added in front of it."""

import base64
import hashlib
import os
import shutil
import subprocess
import uuid

import pytest
from botocore.exceptions import ClientError

ODD = ["a b/ü+%.txt", "a//b", "../x", "a/./b", "x&y=1/z", "/lead", "日本/é", "folder/"]


@pytest.fixture
def s3(aws):
    return aws.client("s3", region_name="us-east-1")


@pytest.fixture
def bucket(s3):
    name = f"bucket-{uuid.uuid4()}"
    s3.create_bucket(Bucket=name)
    return name


def refusal(call):
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"]


def test_odd_names_come_back_as_they_were(s3, bucket):
    for name in ODD:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert sorted(item["Key"] for item in listed) == sorted(ODD)
    assert [s3.get_object(Bucket=bucket, Key=name)["Body"].read().decode() for name in ODD] == ODD
    below = s3.list_objects_v2(Bucket=bucket, Prefix="x&y=1/")["Contents"]
    assert [item["Key"] for item in below] == ["x&y=1/z"]


def test_a_head_tells_the_length_and_sends_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"12345")
    assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == 5
    assert refusal(lambda: s3.head_object(Bucket=bucket, Key="b")) == "404"
    assert refusal(lambda: s3.head_bucket(Bucket="no-such-bucket")) == "404"
    assert refusal(lambda: s3.list_objects_v2(Bucket="no-such-bucket")) == "NoSuchBucket"


def test_a_wrong_checksum_is_refused(s3, bucket):
    wrong = base64.b64encode(hashlib.sha256(b"else").digest()).decode()
    assert refusal(lambda: s3.put_object(Bucket=bucket, Key="a", Body=b"this", ChecksumSHA256=wrong)) == "BadDigest"
    assert refusal(lambda: s3.head_object(Bucket=bucket, Key="a")) == "404"


def test_a_bucket_of_another_region_says_where_it_is(s3, aws, control):
    abroad = aws.client("s3", region_name="eu-west-1")
    abroad.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    before = control.call("GET", "calls").get("PutObject", 0)
    assert s3.put_object(Bucket="far-away", Key="a", Body=b"1")["ETag"]  # SDKs follow
    assert control.call("GET", "calls")["PutObject"] - before == 2


def test_denied_and_throttled_in_s3s_own_words(s3, bucket, aws):
    aws.fault("deny", action="PutObject")
    assert refusal(lambda: s3.put_object(Bucket=bucket, Key="a", Body=b"")) == "AccessDenied"
    aws.fault("throttle", action="ListObjectsV2")
    assert refusal(lambda: s3.list_objects_v2(Bucket=bucket)) == "SlowDown"


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_copies_and_lists(control, bucket, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(20 << 20))

    def aws(*words):
        return subprocess.run(
            ["aws", "s3", *words], env=os.environ | control.environment, check=True, capture_output=True, text=True
        ).stdout

    aws("cp", str(tmp_path / "big"), f"s3://{bucket}/big")
    assert "big" in aws("ls", f"s3://{bucket}")
    aws("cp", f"s3://{bucket}/big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()


def test_copies_keep_s3s_rules(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"12345")
    etag, source = s3.head_object(Bucket=bucket, Key="a")["ETag"], {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source, CopySourceIfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"12345"
    wrong = {"CopySource": source, "CopySourceIfMatch": '"0"'}
    assert refusal(lambda: s3.copy_object(Bucket=bucket, Key="c", **wrong)) == "PreconditionFailed"
    lacking = {"Bucket": bucket, "Key": "none"}
    assert refusal(lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=lacking)) == "NoSuchKey"
    lacking = {"Bucket": "no-such-bucket-of-anyone", "Key": "a"}
    assert refusal(lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource=lacking)) == "NoSuchBucket"

    upload = s3.create_multipart_upload(Bucket=bucket, Key="c")["UploadId"]
    part = {"Bucket": bucket, "Key": "c", "PartNumber": 1, "CopySource": source}
    assert (
        refusal(lambda: s3.upload_part_copy(**part, UploadId=upload, CopySourceIfMatch='"0"')) == "PreconditionFailed"
    )
    assert refusal(lambda: s3.upload_part_copy(**part, UploadId=upload, CopySourceRange="bytes=2-5")) == "InvalidRange"
    assert refusal(lambda: s3.upload_part_copy(**part, UploadId="none")) == "NoSuchUpload"
    answer = s3.upload_part_copy(**part, UploadId=upload, CopySourceRange="bytes=1-3")["CopyPartResult"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": answer["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="c", UploadId=upload, MultipartUpload=parts)
    assert s3.get_object(Bucket=bucket, Key="c")["Body"].read() == b"234"
