"""The metadata service: IMDSv2 as on EC2."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
NOTICE = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
pytestmark = pytest.mark.parametrize("isolation", ["sessions"])


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


class Service:
    def __init__(self, http, guest):
        self.http, self.guest = http, guest
        self.url = guest.park.metadata_endpoint(guest.id) + "latest/"
        self.headers = {}

    async def sign_in(self):
        status, token = await self.ask("PUT", "api/token", TTL)
        assert status == 200
        self.headers = {"X-aws-ec2-metadata-token": token}
        return self

    async def ask(self, method, path, headers=None):
        async with self.http.request(method, self.url + path, headers=headers or self.headers) as answer:
            return answer.status, await answer.text()

    async def get(self, path):
        return await self.ask("GET", path)


@pytest.fixture
async def service(http, grounds):
    return await Service(http, await grounds.boot(b"#!/bin/sh\ntrue\n", role="worker")).sign_in()


async def test_what_the_machine_is(service):
    guest = service.guest
    expected = {
        "instance-id": guest.id,
        "instance-type": "m5.large",
        "ami-id": "ami-0123456789abcdef0",
        "placement/availability-zone": "us-east-1a",
        "placement/region": "us-east-1",
        "local-ipv4": guest.endpoint.address,
        "public-ipv4": guest.endpoint.address,
        "instance-life-cycle": "spot",
    }
    for path, text in expected.items():
        assert await service.get(f"meta-data/{path}") == (200, text)
    assert await service.get("user-data") == (200, "#!/bin/sh\ntrue\n")
    identity = json.loads((await service.get("dynamic/instance-identity/document"))[1])
    assert (identity["instanceId"], identity["region"]) == (guest.id, "us-east-1")


async def test_folders_list_what_is_in_them(service):
    listing = (await service.get("meta-data/"))[1].split("\n")
    assert {"instance-id", "placement/", "iam/", "public-keys/"} <= set(listing)
    assert (await service.get("meta-data/placement/"))[1] == "availability-zone\nregion"


async def test_without_a_token_of_this_machine_it_is_401(service, http, grounds):
    other = await Service(http, await grounds.boot()).sign_in()
    assert (await other.get("meta-data/instance-id"))[0] == 200
    for headers in ({"X-other": "1"}, {"X-aws-ec2-metadata-token": "x"}, other.headers):
        assert (await service.ask("GET", "meta-data/instance-id", headers))[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-other": "1"}, 400),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "0"}, 400),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "21601"}, 400),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "ten"}, 400),
        ({**TTL, "X-Forwarded-For": "10.0.0.1"}, 403),
    ],
)
async def test_bad_requests_for_tokens(service, headers, status):
    assert (await service.ask("PUT", "api/token", headers))[0] == status


async def test_a_token_runs_out(service, until):
    _status, token = await service.ask("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "1"})
    service.headers = {"X-aws-ec2-metadata-token": token}
    assert (await service.get("meta-data/ami-id"))[0] == 200

    async def is_refused():
        return (await service.get("meta-data/ami-id"))[0] == 401

    await until(is_refused)


async def test_a_notice_appears_when_it_is_given(service):
    paths = ["spot/instance-action", "spot/termination-time", "events/recommendations/rebalance"]
    assert [(await service.get(f"meta-data/{path}"))[0] for path in paths] == [404, 404, 404]
    metadata = service.guest.spec.metadata
    metadata.notice_time = NOTICE
    metadata.rebalance_time = NOTICE - timedelta(minutes=5)
    action, moment, rebalance = [(await service.get(f"meta-data/{path}"))[1] for path in paths]
    assert json.loads(action) == {"action": "terminate", "time": "2026-05-04T03:02:01Z"}
    assert moment == "2026-05-04T03:02:01Z"
    assert json.loads(rebalance) == {"noticeTime": "2026-05-04T02:57:01Z"}


@pytest.mark.parametrize("path", ["meta-data/nope", "meta-data/instance-id/x", "nope", "meta-datas/", "dynamic/x"])
async def test_what_is_not_there_is_404(service, path):
    assert (await service.get(path))[0] == 404


async def test_only_reading_is_allowed(service):
    assert (await service.ask("POST", "meta-data/instance-id"))[0] == 405
    assert (await service.ask("PUT", "meta-data/instance-id", TTL))[0] == 403


async def test_a_role_brings_credentials(service, http, grounds):
    assert await service.get("meta-data/iam/security-credentials/") == (200, "worker")
    found = json.loads((await service.get("meta-data/iam/security-credentials/worker"))[1])
    assert found["Code"] == "Success"
    assert datetime.fromisoformat(found["Expiration"]) > datetime.now(UTC) + timedelta(hours=1)
    bare = await Service(http, await grounds.boot()).sign_in()
    assert (await bare.get("meta-data/iam/security-credentials/"))[0] == 404
    assert (await bare.get("user-data"))[0] == 404


async def test_the_machine_finds_it_by_its_environment(service):
    script = (
        "import os, urllib.request as u; e=os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT'];"
        "t=u.urlopen(u.Request(e+'latest/api/token',method='PUT',headers={'X-aws-ec2-metadata-token-ttl-seconds':'60'}));"
        "print(u.urlopen(u.Request(e+'latest/meta-data/instance-id',"
        "headers={'X-aws-ec2-metadata-token':t.read().decode()})).read().decode())"
    )
    assert await service.guest.out(f'python3 -c "{script}"') == service.guest.id
