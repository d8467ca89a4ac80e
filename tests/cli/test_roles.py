"""`aspot roles`: made with the least rights, found again, changed, removed; others' left alone."""

import json
import uuid

import pytest
from stores import may


@pytest.fixture
def name(cloud):
    made = f"data-{uuid.uuid4()}"
    yield made
    left = [item["RoleName"] for item in cloud.client("iam").list_roles()["Roles"] if made in item["RoleName"]]
    assert left == []


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def roles(aspot):
    return {item["name"]: item for item in json.loads(aspot("roles", "ls", "--json")[1])}


def test_a_role_is_enough_for_copies_and_for_nothing_else(aspot, bucket, held, name, box, cloud):
    code, _, err = aspot("roles", "create", name, "--bucket", bucket)
    assert (code, err.splitlines()[0]) == (0, f"made {name}: may write in {bucket}")
    assert roles(aspot)[name]["buckets"] == [bucket]
    assert f"write: {bucket}" in aspot("roles", "ls")[1]
    home = box(name)
    put(home / "data" / "big", b"1" * (9 << 20))
    place = f"s3://{bucket}"
    assert aspot("s3", "sync", "data", place, "--on", "box")[0] == 0
    assert aspot("s3", "sync", place, "back", "--on", "box")[0] == 0
    (home / "data" / "big").unlink()
    code, _, err = aspot("s3", "sync", "data", place, "--on", "box", "--delete")
    assert code == 3
    assert "the permission s3:DeleteObject is missing" in err
    code, _, err = aspot("roles", "create", name, "--bucket", bucket, "--access", "delete")
    assert (code, err.splitlines()[0]) == (0, f"changed {name}: may delete in {bucket}")
    assert aspot("s3", "sync", "data", place, "--on", "box", "--delete")[0] == 0
    assert held() == {}
    assert aspot("roles", "create", name, "--bucket", bucket, "--access", "read")[0] == 0
    put(home / "data" / "a", b"1")
    assert "s3:PutObject" in aspot("s3", "sync", "data", place, "--on", "box")[2]
    assert aspot("roles", "rm", name)[0] == 0
    assert name not in roles(aspot)


def test_one_for_a_file_system(aspot, bucket, name, cloud):
    aspot("fs", "create", "lab")
    (found,) = cloud.file_systems()
    iam = cloud.client("iam")
    try:
        code, _, err = aspot("roles", "create", name, "--filesystem", "lab", "--access", "read")
        assert (code, err.splitlines()[0]) == (0, f"made {name}: may mount lab to read")
        assert roles(aspot)[name]["filesystems"] == [found["FileSystemId"]]
        assert f"mount {found['FileSystemId']}" in aspot("roles", "ls")[1]
        code, _, err = aspot("roles", "create", name, "--filesystem", found["FileSystemId"], "--bucket", bucket)
        assert (code, err.splitlines()[0]) == (
            0,
            f"changed {name}: may write in {bucket}, and mount {found['FileSystemId']}",
        )
        rules = iam.get_role_policy(RoleName=f"aspot-{name}", PolicyName="aspot-s3")["PolicyDocument"]["Statement"]
        assert rules[-1] == {
            "Effect": "Allow",
            "Action": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            "Resource": [found["FileSystemArn"]],
        }
        assert f"write: {bucket}; mount {found['FileSystemId']}" in aspot("roles", "ls")[1]
        assert aspot("roles", "rm", name)[0] == 0
    finally:
        cloud._remove_file_systems()


def test_what_others_made_is_left_alone(aspot, bucket, role):
    theirs = role(*may(bucket, "GetObject"))
    for words in (("create", theirs, "--bucket", bucket), ("rm", theirs)):
        code, _, err = aspot("roles", *words)
        assert code == 2
        assert "that aspot did not make" in err
    assert roles(aspot)[theirs]["buckets"] is None


@pytest.mark.parametrize("action", ["PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile"])
def test_what_was_made_is_gone_again_when_the_rest_is_refused(aspot, bucket, name, cloud, action):
    cloud.fault("deny", action=action)
    code, _, err = aspot("roles", "create", name, "--bucket", bucket)
    cloud.clear_faults()
    assert code == 3
    assert f"ask for the permission iam:{action}" in err
    assert name not in roles(aspot)


def test_what_cannot_be_is_one_error(aspot, bucket, name, cloud):
    for words, said in (
        (("create", name, "--bucket", "no-such-bucket-of-anyone"), "there is no bucket"),
        (("create", "a/b", "--bucket", bucket), "'a/b' is no name for an instance profile"),
        (("create", name), "--bucket"),
        (("create", name, "--filesystem", "none"), "there is no file system none"),
        (("rm", name), f"there is no instance profile {name!r}"),
    ):
        code, _, err = aspot("roles", *words)
        assert code == 2, err
        assert said in err
