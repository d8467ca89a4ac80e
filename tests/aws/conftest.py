"""A loopback endpoint that answers as it is told, for every AWS service that aspot asks; and its environment."""

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import attrs
import botocore.session
import pytest
from aiohttp import web

from aspot.aws import bucket
from aspot.aws.account import Account
from aspot.aws.cloud import Ec2Cloud
from aspot.local import LocalCloud
from aspot.local.ec2_wire import Ec2Wire, error_xml
from aspot.machine.model import RunSpec
from aspot.ports import CloudPlan


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def wire():
    return Ec2Wire(botocore.session.get_session().get_service_model("ec2"))


@attrs.frozen
class Refused:
    """AWS says no."""

    code: str
    message: str = "no"
    http: int = 400


@attrs.frozen
class Raw:
    """An answer as it is, for services whose shapes the stub does not know."""

    text: str
    http: int = 200


class Lost(Exception):
    """The request is taken, and the connection closed without an answer."""


@attrs.define
class Stub:
    """What it answers by action (the last answer is repeated), and what it was asked."""

    wire = attrs.field()
    answers = attrs.field(factory=dict)
    calls = attrs.field(factory=list)
    headers = attrs.field(factory=dict)
    url = attrs.field(default="")
    delay_s = attrs.field(default=0.0)
    refused = Refused
    lost = Lost
    raw = Raw

    @staticmethod
    def product(name, usd):
        return product(name, usd)

    def says(self, action, *answers):
        self.answers[action] = list(answers)

    def asked(self, action):
        return [params for name, params in self.calls if name == action]

    def counts(self):
        counts = defaultdict(int)
        for name, _ in self.calls:
            counts[name] += 1
        return dict(counts)

    async def handle(self, request):
        body = await request.text()
        await asyncio.sleep(self.delay_s)
        target = request.headers.get("X-Amz-Target")
        if target:
            return self._reply_json(request, target.rpartition(".")[2], json.loads(body))
        form = dict(parse_qsl(body, keep_blank_values=True))
        action = form.pop("Action")
        if self.wire.knows(action):
            return self._reply_xml(request, action, self.wire.parameters(action, form))
        return self._reply_xml(request, action, form)

    def _next(self, request, action, params):
        self.calls.append((action, params))
        waiting = self.answers.get(action, [Refused("NotImplemented", action)])
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        answer = answer(params) if callable(answer) and answer is not Lost else answer
        if answer is Lost:
            request.transport.close()
        return answer

    def _reply_xml(self, request, action, params):
        answer = self._next(request, action, params)
        if isinstance(answer, Refused):
            text = error_xml(answer.code, answer.message, request_id="req-1")
            return web.Response(status=answer.http, text=text, content_type="text/xml", headers=self.headers)
        if answer is Lost:
            return web.Response()
        if isinstance(answer, Raw):
            return web.Response(status=answer.http, text=answer.text, content_type="text/xml", headers=self.headers)
        text = answer if isinstance(answer, str) else self.wire.answer(action, answer, request_id="req-1")
        return web.Response(text=text, content_type="text/xml", headers=self.headers)

    def _reply_json(self, request, action, params):
        answer = self._next(request, action, params)
        if isinstance(answer, Refused):
            refused = {"__type": answer.code, "message": answer.message}
            return web.json_response(refused, status=answer.http, headers=self.headers)
        return web.Response() if answer is Lost else web.json_response(answer, headers=self.headers)


@pytest.fixture
async def stub(wire, monkeypatch, tmp_path):
    """An endpoint in this process, and an environment in which AWS tools find it."""
    found = Stub(wire)
    app = web.Application()
    app.router.add_post("/", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    aws_environment(monkeypatch, tmp_path, found.url)
    well_stocked(found)
    yield found
    await runner.cleanup()


def aws_environment(monkeypatch, tmp_path, url):
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_EC2"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


TYPES = {
    "c7i.large": ("x86_64", 2),
    "m7i.large": ("x86_64", 2),
    "c7g.large": ("arm64", 2),
    "g5.xlarge": ("x86_64", 4),
    "x2gd.large": ("arm64", 2),
}
ZONES = ("us-east-1a", "us-east-1b")


def well_stocked(stub):
    """Answer as an ordinary account with a default VPC in two zones would."""
    stub.says("DescribeInstanceTypes", _types)
    stub.says("DescribeInstanceTypeOfferings", _offers)
    stub.says("DescribeSubnets", {"Subnets": [subnet(zone) for zone in ZONES]})
    stub.says("DescribeSpotPriceHistory", _prices)
    stub.says("GetParameters", _parameters)
    stub.says("GetServiceQuota", {"Quota": {"QuotaCode": "L-34B43A08", "Value": 64.0}})
    stub.says("GetProducts", {"PriceList": [product("c7i.large", "0.0892")]})
    stub.says("DescribeKeyPairs", {"KeyPairs": [{"KeyPairId": "key-1"}]})
    stub.says("CreateSecurityGroup", {"GroupId": "sg-1"})
    stub.says("AuthorizeSecurityGroupIngress", {"Return": True})
    stub.says("CreateLaunchTemplate", {"LaunchTemplate": {"LaunchTemplateId": "lt-1"}})
    stub.says("DeleteLaunchTemplate", {"LaunchTemplate": {"LaunchTemplateId": "lt-1"}})
    stub.says("DeleteSecurityGroup", {"Return": True})
    stub.says("DescribeTags", {"Tags": []})
    stub.says("DescribeInstances", {"Reservations": []})
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": []})
    stub.says("TerminateInstances", {"TerminatingInstances": []})
    stub.says("ListQueues", {})
    stub.says("GetQueueUrl", Refused("AWS.SimpleQueueService.NonExistentQueue"))
    stub.says("DescribeRule", Refused("ResourceNotFoundException"))


def _types(asked):
    return {"InstanceTypes": [kind(name) for name in asked["Filters"][0]["Values"] if name in TYPES]}


def _offers(asked):
    pools = [(name, zone) for name in asked["Filters"][0]["Values"] for zone in ZONES]
    return {"InstanceTypeOfferings": [{"InstanceType": name, "Location": zone} for name, zone in pools]}


def _prices(asked):
    return {"SpotPriceHistory": [price(name, zone) for name in asked["InstanceTypes"] for zone in ZONES]}


def _parameters(asked):
    return {"Parameters": [{"Name": name, "Value": ami(name)} for name in asked["Names"]]}


def kind(name):
    arch, vcpus = TYPES[name]
    return {
        "InstanceType": name,
        "ProcessorInfo": {"SupportedArchitectures": [arch]},
        "VCpuInfo": {"DefaultVCpus": vcpus},
    }


def subnet(zone, **more):
    return {
        "SubnetId": f"subnet-{zone[-1]}",
        "VpcId": "vpc-1",
        "AvailabilityZone": zone,
        "MapPublicIpOnLaunch": True,
        "AvailableIpAddressCount": 4000,
        **more,
    }


def price(name, zone):
    return {
        "InstanceType": name,
        "AvailabilityZone": zone,
        "SpotPrice": "0.0312",
        "Timestamp": datetime(2026, 11, 23, tzinfo=UTC),
    }


def ami(name):
    return "ami-0a0a" if "arm64" in name else "ami-0b0b"


def product(name, usd):
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
    return json.dumps(
        {
            "product": {"attributes": {"instanceType": name}},
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}},
        }
    )


@pytest.fixture
def make_plan():
    """Return a function that makes a plan for two types, with these changes."""
    return _plan


def _plan(**changes):
    run = {"id": "r-7f3a", "name": "study", "region": "us-east-1"} | changes.pop("run", {})
    found = {"types": ("c7i.large", "m7i.large"), "user_data": b"#cloud-config\n", "owner": "me", "expires": 1795000000}
    return CloudPlan(run=RunSpec(**run), **(found | changes))


@pytest.fixture
async def cloud(stub):
    found = await Ec2Cloud.open(None)
    yield found
    await found.aclose()


@pytest.fixture
def unused_url(free_tcp_port):
    """Return the URL of a port at which nobody listens."""
    return f"http://127.0.0.1:{free_tcp_port}"


@pytest.fixture(scope="module")
async def local_cloud(anyio_backend):
    async with LocalCloud(boot="0.1-0.3", seed=7) as found:
        yield found


@pytest.fixture
def used_regions():
    """The regions in which a test may leave something; None is the usual one."""
    return (None,)


@pytest.fixture
async def local(local_cloud, used_regions, monkeypatch, tmp_path):
    """The local cloud, with the environment pointing at it; what a test left there goes."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in local_cloud.env.items():
        monkeypatch.setenv(name, value)
    bucket.bucket.cache_clear()
    await local_cloud.reset_calls()
    yield local_cloud
    await local_cloud.clear_faults()
    for region in used_regions:
        async with await Account.open(region) as account:
            for run in {found.run for found in await account.instances()} | set(await account.runs()):
                assert await account.remove_run(run) == []
