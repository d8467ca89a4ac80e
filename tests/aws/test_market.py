"""What a region offers: asked page by page, kept for a while, shown with its age where AWS is silent."""

import json
import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from aspot.aws import advisor, market
from aspot.aws.cache import FORGOTTEN_S, Cache
from aspot.aws.clients import Aws
from aspot.aws.market import Market
from aspot.errors import AuthError, CloudError, ConfigError, ThrottledError
from aspot.machine.pool import Pool


class Clock:
    """Wall-clock time that a test moves."""

    def __init__(self):
        self.time = time.time()

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
async def ask(stub, folder, clock):
    """A market whose cache has a clock of its own."""
    found = Market(await Aws.open(None), Cache(folder, now=clock))
    yield found
    await found.aclose()


def info(name, *, gpus=0):
    gpu = {"Gpus": [{"Name": "A10G", "Manufacturer": "NVIDIA", "Count": gpus}], "TotalGpuMemoryInMiB": 24576 * gpus}
    return {
        "InstanceType": name,
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 4, "DefaultCores": 2},
        "MemoryInfo": {"SizeInMiB": 16384},
        "SupportedUsageClasses": ["on-demand", "spot"],
        **({"GpuInfo": gpu} if gpus else {}),
    }


async def test_types_are_asked_for_page_by_page_and_told_apart(ask, stub):
    stub.says(
        "DescribeInstanceTypes",
        {"InstanceTypes": [info("g5.12xlarge", gpus=4)], "NextToken": "more"},
        {"InstanceTypes": [info("c7i.xlarge")]},
    )
    plain, gpu = (await ask.types()).value
    assert [asked.get("NextToken") for asked in stub.asked("DescribeInstanceTypes")] == [None, "more"]
    assert stub.asked("DescribeInstanceTypes")[0]["MaxResults"] == 100
    assert (plain.name, plain.vcpus, plain.cores, plain.memory_gib, plain.gpus) == ("c7i.xlarge", 4, 2, 16.0, 0)
    assert (gpu.name, gpu.gpus, gpu.gpu, gpu.gpu_memory_gib) == ("g5.12xlarge", 4, "NVIDIA A10G", 96.0)


async def test_a_type_that_is_not_there_is_met_with_the_nearest(ask, stub):
    stub.says("DescribeInstanceTypes", {"InstanceTypes": []})
    with pytest.raises(ConfigError, match=r"no instance type c7i\.lrage in us-east-1") as caught:
        await ask.types(["c7i.lrage"])
    assert "c7i.large" in caught.value.fix


async def test_an_answer_is_kept_until_it_expires(ask, stub, clock):
    first = await ask.spot(["c7i.large"])
    assert first.value == {Pool("c7i.large", zone): 0.0312 for zone in ("us-east-1a", "us-east-1b")}
    clock.time += market.PRICES_S - 1
    again = await ask.spot(["c7i.large"])
    assert (again.value, again.at, again.is_stale) == (first.value, first.at, False)
    assert stub.counts()["DescribeSpotPriceHistory"] == 1
    await ask.spot(["m7i.large"])
    clock.time += 1
    assert (await ask.spot(["c7i.large"])).at > first.at
    assert stub.counts()["DescribeSpotPriceHistory"] == 3


async def test_fresh_asks_whatever_is_kept(ask, stub, folder, clock):
    await ask.spot(["c7i.large"])
    fresh = Market(await Aws.open(None), Cache(folder, now=clock), fresh=True)
    await fresh.spot(["c7i.large"])
    await fresh.aclose()
    assert stub.counts()["DescribeSpotPriceHistory"] == 2


async def test_where_aws_is_silent_the_old_is_shown_with_its_age(ask, stub, clock):
    first = await ask.spot(["c7i.large"])
    clock.time += 7200
    stub.says("DescribeSpotPriceHistory", stub.refused("UnauthorizedOperation", "no", 403))
    old = await ask.spot(["c7i.large"])
    assert (old.value, old.at, old.is_stale) == (first.value, first.at, True)
    assert "ec2:DescribeSpotPriceHistory (UnauthorizedOperation)" in old.note


async def test_without_a_network_the_old_is_shown_too(stub, unused_url, folder, clock, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", unused_url)
    offline = Market(await Aws.open(None), Cache(folder, now=clock))

    async def before():
        return [("c7i.large", "us-east-1a", 0.03)]

    await offline._ask("spot", [None], market.PRICES_S, before)
    clock.time += 3 * 86400
    old = await offline.spot()
    assert (old.value, old.is_stale) == ({Pool("c7i.large", "us-east-1a"): 0.03}, True)
    assert old.note.startswith("AWS cannot be reached: ")
    with pytest.raises(CloudError, match="AWS cannot be reached") as caught:
        await offline.types()
    assert "check the network" in caught.value.fix
    await offline.aclose()


async def test_nothing_old_does_for_a_request_that_is_wrong(ask, stub, clock):
    await ask.spot(["c7i.large"])
    clock.time += 7200
    stub.says("DescribeSpotPriceHistory", stub.refused("InvalidParameterValue", "no such type"))
    with pytest.raises((ConfigError, CloudError), match="InvalidParameterValue"):
        await ask.spot(["c7i.large"])


@pytest.mark.parametrize(
    ("code", "http", "error"),
    [("UnauthorizedOperation", 403, AuthError), ("RequestLimitExceeded", 503, ThrottledError)],
)
async def test_with_nothing_kept_a_refusal_is_an_error(ask, stub, code, http, error, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    stub.says("DescribeSpotPriceHistory", stub.refused(code, "no", http))
    with pytest.raises(error, match=code) as caught:
        await ask.spot()
    assert caught.value.fix


async def test_a_cache_that_is_broken_or_cannot_be_written_is_as_good_as_none(ask, stub, folder):
    await ask.spot(["c7i.large"])
    (kept,) = folder.glob("spot-*.json")
    for text in ("", "[]", '{"at": "x", "value": []}', '{"value": []}'):
        kept.write_text(text)
        assert (await ask.spot(["c7i.large"])).value
    assert stub.counts()["DescribeSpotPriceHistory"] == 5
    nowhere = Cache(kept / "below")
    nowhere.write("x", [], 1)
    assert nowhere.read("x", []) is None


def test_what_nobody_renewed_for_long_is_forgotten(folder):
    cache = Cache(folder)
    cache.write("old", [], 1)
    cache.write("new", [], 1)
    (old,) = folder.glob("old-*")
    os.utime(old, (time.time() - FORGOTTEN_S - 1,) * 2)
    cache.write("more", [], 1)
    assert (cache.read("old", []), cache.read("new", []).value) == (None, 1)


async def test_history_is_by_pool_oldest_first(ask, stub):
    late = {"InstanceType": "c7i.large", "AvailabilityZone": "us-east-1a", "SpotPrice": "0.05"}
    early = datetime(2026, 11, 20, tzinfo=UTC)
    rows = [{**late, "Timestamp": early + timedelta(days=2)}, {**late, "SpotPrice": "0.04", "Timestamp": early}]
    stub.says("DescribeSpotPriceHistory", {"SpotPriceHistory": rows})
    found = (await ask.history(["c7i.large"], days=7)).value
    assert found == {Pool("c7i.large", "us-east-1a"): [(early, 0.04), (early + timedelta(days=2), 0.05)]}
    start = datetime.fromisoformat(str(stub.asked("DescribeSpotPriceHistory")[0]["StartTime"]))
    assert timedelta(days=6.9) < datetime.now(UTC) - start < timedelta(days=7.1)


async def test_prices_on_demand_come_by_page_or_not_at_all(ask, stub):
    pages = [
        {"PriceList": [stub.product("c7i.large", "0.09")], "NextToken": "more"},
        {"PriceList": [stub.product("m7i.large", "0.1")]},
    ]
    stub.says("GetProducts", *pages)
    assert (await ask.on_demand()).value == {"c7i.large": 0.09, "m7i.large": 0.1}
    assert "instanceType" not in {item["Field"] for item in stub.asked("GetProducts")[0]["Filters"]}
    stub.says("GetProducts", {"PriceList": []})
    assert (await ask.on_demand(["c7i.large"])).value == {}
    stub.says("GetProducts", stub.refused("AccessDeniedException", "no", 400))
    refused = await ask.on_demand(["m7i.large"])
    assert refused.value == {}
    assert refused.note.startswith("no on-demand prices: AWS refused pricing:GetProducts (AccessDeniedException)")
    assert not refused.is_stale


async def test_scores_are_by_zone_name_for_three_types_or_more(ask, stub):
    zones = [{"ZoneName": "us-east-1a", "ZoneId": "use1-az6"}, {"ZoneName": "us-east-1b", "ZoneId": "use1-az1"}]
    stub.says("DescribeAvailabilityZones", {"AvailabilityZones": zones})
    scores = [{"Region": "us-east-1", "AvailabilityZoneId": zone, "Score": 7} for zone in ("use1-az1", "use1-az9")]
    stub.says("GetSpotPlacementScores", {"SpotPlacementScores": scores})
    types = ["c7i.large", "m7i.large", "g5.xlarge"]
    assert (await ask.scores(types)).value == {"us-east-1b": 7}
    few = await ask.scores(types[:2])
    assert (few.value, stub.counts()["GetSpotPlacementScores"]) == ({}, 1)
    assert "3 or more types" in few.note
    stub.says("GetSpotPlacementScores", stub.refused("UnauthorizedOperation", "no", 403))
    refused = await ask.scores([*types, "c7g.large"])
    assert (refused.value, "UnauthorizedOperation" in refused.note) == ({}, True)


async def test_images_are_published_and_own_and_a_gone_one_is_passed_over(ask, stub):
    al2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    al2 = "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"

    def published(asked):
        names = {al2023: "ami-a1", al2: "ami-a2"} if asked["Path"].endswith("linux-latest") else {}
        return {"Parameters": [{"Name": name, "Value": value} for name, value in names.items()]}

    def described(asked):
        if asked.get("Owners") == ["self"]:
            return {"Images": [image("ami-own", "mine", 40)]}
        if "ImageIds" in asked:
            return stub.refused("InvalidAMIID.NotFound", "The image id '[ami-a2]' does not exist")
        assert asked["Filters"][0]["Values"] == ["ami-a1", "ami-a2"]
        return {"Images": [image("ami-a1", "al2023-ami", 8)]}

    stub.says("GetParametersByPath", published)
    stub.says("DescribeImages", described)
    own, amazon = (await ask.images()).value
    assert (own.is_own, own.word, own.disk_gb) == (True, "ami-own", 40)
    assert (amazon.alias, amazon.parameter, amazon.word, amazon.id) == ("al2023", al2023, "al2023", "ami-a1")


def image(ident, name, size_gb):
    return {
        "ImageId": ident,
        "Name": name,
        "Architecture": "x86_64",
        "CreationDate": "2026-11-01T00:00:00.000Z",
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": size_gb}}],
    }


# --- the advisor's file ---


@pytest.fixture
def advisor_file(tmp_path, monkeypatch):
    """Serve a text as the file, from a server of its own."""
    import http.server
    import threading

    said = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = said["text"].encode()
            self.send_response(said.get("code", 200))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(advisor.URL_VARIABLE, f"http://127.0.0.1:{server.server_port}/file.json")
    yield said
    server.shutdown()
    thread.join()
    server.server_close()


async def test_bands_are_read_from_the_advisor_s_file(ask, advisor_file):
    types = {"c7i.large": {"s": 60, "r": 0}, "g5.xlarge": {"s": 50, "r": 4}}
    ranges = [{"index": 0, "label": "<5%"}, {"index": 4, "label": ">20%"}]
    advisor_file["text"] = json.dumps({"ranges": ranges, "spot_advisor": {"us-east-1": {"Linux": types}}})
    assert (await ask.bands(["c7i.large", "g5.xlarge", "x"])).value == {"c7i.large": "<5%", "g5.xlarge": ">20%"}


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        ("{}", 200, "no longer looks as it did"),
        ('{"ranges": [], "spot_advisor": {"us-east-1": {"Linux": {"x": {"r": 9}}}}}', 200, "no longer looks as it did"),
        ('{"ranges": [], "spot_advisor": {"us-east-1": []}}', 200, "no longer looks as it did"),
        ("[]", 200, "no longer looks as it did"),
        ("<html>", 200, "cannot be had"),
        ("gone", 404, "cannot be had: 404"),
    ],
)
async def test_a_file_that_is_not_what_it_was_is_told(ask, advisor_file, text, code, why):
    advisor_file.update(text=text, code=code)
    found = await ask.bands(["c7i.large"])
    assert found.value == {}
    assert found.note.startswith("no interruption bands: http://127.0.0.1:")
    assert why in found.note


async def test_the_file_is_not_asked_for_when_its_place_is_empty(ask, monkeypatch):
    monkeypatch.setenv(advisor.URL_VARIABLE, "")
    assert "is empty" in (await ask.bands(["c7i.large"])).note


async def test_without_a_region_another_is_asked_which_there_are(stub, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="no AWS region"):
        await Market.open(None)
    found = await Market.open(None, anywhere=True)
    assert found.region == market.FALLBACK_REGION
    stub.says("DescribeRegions", {"Regions": [{"RegionName": "us-east-1"}, {"RegionName": "eu-west-1"}]})
    assert await found.regions() == ["eu-west-1", "us-east-1"]
    await found.aclose()
    with pytest.raises(ConfigError, match="no AWS region 'here'"):
        await Market.open("here", anywhere=True)
