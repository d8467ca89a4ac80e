"""What is kept of botocore's models: found again, made again when it is damaged or botocore changes, and the same."""

import json
import os
import re
from importlib.resources import files
from pathlib import Path

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import JSONFileLoader, create_loader
from botocore.session import Session

from aspot.aws import models

EC2_CALL = re.compile(r'"ec2:([A-Z]\w+)"')
OF_EFS_ITSELF = {"CreateNetworkInterface", "ModifyNetworkInterfaceAttribute"}
"""What the policy allows for mount targets, whose interfaces EFS makes for us."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASPOT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch):
    """The names of botocore's own files that were read."""
    names = []
    whole = JSONFileLoader.load_file

    def load_file(self, path):
        names.append("/".join(Path(path).parts[-3:]))
        return whole(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", load_file)
    return names


def ec2():
    """EC2's model as a new process has it."""
    return models.loader.__wrapped__().load_service_model("ec2", "service-2")


def large(read):
    return [name for name in read if name.endswith("service-2")]


def test_it_is_cut_down_once_and_found_again(cache, read):
    first = ec2()
    assert len(large(read)) == 1
    assert ec2() == first
    assert len(large(read)) == 1
    (kept,) = cache.glob("ec2-model-*")
    assert kept.stat().st_size < 300_000
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", '{"at": 1, "value": []}', '{"at": 1, "parts": [], "value": null}'])
def test_a_damaged_one_is_made_again(cache, read, text):
    first = ec2()
    (kept,) = cache.glob("ec2-model-*")
    kept.write_text(text)
    assert ec2() == first
    assert json.loads(kept.read_text())["value"] == first


def test_what_somebody_else_put_there_is_not_believed(cache, read, monkeypatch):
    """It says where signed requests are sent."""
    first = ec2()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert ec2() == first
    assert len(large(read)) == 2


def test_another_botocore_has_its_own(cache, read, monkeypatch):
    ec2()
    monkeypatch.setattr(models, "_identity", lambda _path: ["newer"])
    ec2()
    assert len(large(read)) == 2
    assert len(list(cache.glob("ec2-model-*"))) == 2


def test_it_works_where_nothing_can_be_kept(tmp_path, monkeypatch, read):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASPOT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert ec2() == ec2()
    assert len(large(read)) == 2


def test_the_lean_model_of_ec2_has_every_call_that_is_made(cache):
    said = {name for path in files("aspot").rglob("*.py") for name in EC2_CALL.findall(path.read_text())}
    allowed = set(EC2_CALL.findall(files("aspot.aws").joinpath("policy.json").read_text()))
    known = ec2()["operations"].keys()
    whole = create_loader().load_service_model("ec2", "service-2")["operations"].keys()
    assert said & whole <= known
    assert (allowed & whole) - OF_EFS_ITSELF <= known
    assert len(known) < 50


SERVICES = ("ec2", "efs", "events", "iam", "pricing", "s3", "service-quotas", "sqs", "sso", "sso-oidc", "ssm", "sts")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "mx-central-1"])
def test_every_service_is_asked_where_botocore_would_ask_it(cache, region):
    ours, theirs = Session(), Session()
    ours.register_component("data_loader", models.loader.__wrapped__())
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": region}
    for service in SERVICES:
        one, other = ours.create_client(service, **keys).meta, theirs.create_client(service, **keys).meta
        assert (one.endpoint_url, one.partition) == (other.endpoint_url, other.partition), service
    assert ours.get_available_regions("ec2") == theirs.get_available_regions("ec2")


def test_an_unknown_service_is_still_unknown(cache):
    with pytest.raises(UnknownServiceError):
        models.loader.__wrapped__().load_service_model("ec3", "service-2")
