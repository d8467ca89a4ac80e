"""Data kept in step from Python: `Fleet.sync`, `Instance.sync`."""

import uuid
from pathlib import Path

import pytest
from local_world import write

from aspot import ConfigError, Fleet, Instance


@pytest.fixture
def bucket(cloud):
    name, s3 = f"data-{uuid.uuid4()}", cloud.client("s3")
    s3.create_bucket(Bucket=name)
    yield name
    for item in s3.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


async def test_between_here_and_s3_and_within_it(cloud, bucket):
    write("here/a", "1")
    write("here/b/c", "2")
    outcome = await Fleet.sync("here", f"s3://{bucket}/x")
    assert (sorted(outcome.copied), outcome.size, outcome.ok) == (["a", "b/c"], 2, True)
    assert (await Fleet.sync(f"s3://{bucket}/x", f"s3://{bucket}/y")).same == 0
    assert sorted((await Fleet.sync(f"s3://{bucket}/y", Path("back"), dry_run=True)).copied) == ["a", "b/c"]
    assert not Path("back").exists()
    assert len((await Fleet.sync(f"s3://{bucket}/y", Path("back"))).copied) == 2
    write("back/more", "3")
    assert (await Fleet.sync("back", f"s3://{bucket}/y", checksum=True)).copied == ["more"]
    assert (await Fleet.sync("here", f"s3://{bucket}/y", delete=True)).deleted == ["more"]
    with pytest.raises(ConfigError, match="both sides are here"):
        await Fleet.sync("here", "back")


async def test_with_a_box_and_with_a_volume(cloud):
    ec2 = cloud.client("ec2")
    tags = [{"Key": "aspot:volume", "Value": "disk"}]
    wanted = {"AvailabilityZone": "us-east-1c", "Size": 1, "Encrypted": True}
    made = ec2.create_volume(**wanted, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}])["VolumeId"]
    try:
        write("here/a", "1")
        async with Instance("dev", profile="t2.micro", show=False) as box:
            assert (await box.sync("here", ":data")).copied == ["a"]
            assert (await box.run("cat data/a; echo 2 >data/b")).stdout == "1"
            assert (await box.sync(":data", "back")).copied == ["a", "b"]
            assert sorted((await box.sync(":data", ":copy")).copied) == ["a", "b"]
            assert (await Fleet.sync("dev:copy", "back")).same == 2
            with pytest.raises(ConfigError, match="neither is a folder of dev"):
                await box.sync("here", "back")
            await box.terminate()
        outcome = await Fleet.sync("back", "ebs://disk/x", profile="t2.micro")
        assert outcome.copied == ["a", "b"]
        assert not cloud.alive()
    finally:
        ec2.delete_volume(VolumeId=made)
