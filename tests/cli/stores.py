"""Buckets, roles, and machines that have one."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from local_world import Cloud, write
from processes import Piped

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def bucket(cloud: Cloud) -> Iterator[str]:
    """A bucket of the test's own."""
    name = f"data-{uuid.uuid4()}"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name)
    yield name
    cloud.clear_faults()
    for item in s3.list_objects_v2(Bucket=name).get("Contents", ()):
        s3.delete_object(Bucket=name, Key=item["Key"])
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def held(cloud: Cloud, bucket: str) -> Any:
    """What the bucket holds: contents by name."""

    def look() -> dict[str, bytes]:
        s3 = cloud.client("s3")
        found = s3.list_objects_v2(Bucket=bucket).get("Contents", ())
        return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}

    return look


@pytest.fixture
def role(cloud: Cloud) -> Iterator[Any]:
    """Make a role with its instance profile; return its name."""
    iam, made = cloud.client("iam"), []

    def call(*statements: dict[str, Any]) -> str:
        name = f"role-{uuid.uuid4()}"
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="data", PolicyDocument=json.dumps(policy))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        made.append(name)
        return name

    yield call
    for name in made:
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
        iam.delete_instance_profile(InstanceProfileName=name)
        iam.delete_role_policy(RoleName=name, PolicyName="data")
        iam.delete_role(RoleName=name)


@pytest.fixture
def box(cloud: Cloud, start: Any) -> Iterator[Any]:
    """Start a machine called `box_1`, with an instance profile or none; return its home, as seen from here."""
    runs: list[Piped] = []

    def call(profile: str = "") -> Any:
        words = ["--instance-profile", profile] if profile else []
        run = start(Piped, "run", write("one.sh", "sleep 600\n"), "-n", "box", "--json", *words)
        runs.append(run)
        run.says_all([re.compile(r'"job_started"')])
        events = [json.loads(line) for line in run.out.splitlines()]
        found = next(event["instance_id"] for event in events if event["event"] == "instance_ready")
        return cloud.machine(found) / "home" / "ec2-user"

    yield call
    for run in runs:
        run.interrupt()
        run.end()


def may(bucket: str, *actions: str) -> list[dict[str, Any]]:
    """Return statements that allow actions on a bucket and what is in it."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return [{"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": resources}]
