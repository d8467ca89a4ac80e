"""`Ec2Cloud.launch`: one CreateFleet, what its answers mean, lost answers, and RunInstances where it is not allowed."""

import pytest

from aspot.aws import bucket
from aspot.errors import InternalError
from aspot.machine.model import LaunchSpec
from aspot.machine.pool import Market, Pool, RefusalKind
from aspot.ports import LaunchUnanswered

A, B = Pool("c7i.large", "us-east-1a"), Pool("m7i.large", "us-east-1b")


def spec(**changes):
    return LaunchSpec(**({"id": "r1", "count": 3, "pools": (A, B)} | changes))


def fleet(*instances, errors=()):
    by_pool = [
        {"InstanceType": A.type, "AvailabilityZone": A.zone, "Lifecycle": "spot", "InstanceIds": list(instances)}
    ]
    return {"FleetId": "fleet-1", "Instances": by_pool if instances else [], "Errors": list(errors)}


def error(code, pool=A, message="no"):
    overrides = {"InstanceType": pool.type, "SubnetId": f"subnet-{pool.zone[-1]}"}
    return {"LaunchTemplateAndOverrides": {"Overrides": overrides}, "ErrorCode": code, "ErrorMessage": message}


def ran(*instances):
    return {"ReservationId": "r-1", "Instances": [{"InstanceId": one} for one in instances]}


@pytest.fixture(autouse=True)
def fresh_buckets():
    bucket.bucket.cache_clear()


@pytest.fixture
async def ready(cloud, make_plan):
    await cloud.prepare(make_plan())
    return cloud


async def test_one_call_asks_for_all(ready, stub):
    stub.says("CreateFleet", fleet("i-1", "i-2", "i-3"))
    answer = await ready.launch(spec())
    assert [one.instance for one in answer.launched] == ["i-1", "i-2", "i-3"]
    assert {(one.pool, one.market) for one in answer.launched} == {(A, Market.SPOT)}
    (asked,) = stub.asked("CreateFleet")
    assert asked["Type"] == "instant"
    assert asked["TargetCapacitySpecification"] == {"TotalTargetCapacity": 3, "DefaultTargetCapacityType": "spot"}
    assert asked["SpotOptions"] == {"AllocationStrategy": "price-capacity-optimized"}
    (config,) = asked["LaunchTemplateConfigs"]
    assert config["LaunchTemplateSpecification"] == {"LaunchTemplateId": "lt-1", "Version": "1"}
    assert config["Overrides"] == [
        {"InstanceType": "c7i.large", "SubnetId": "subnet-a"},
        {"InstanceType": "m7i.large", "SubnetId": "subnet-b"},
    ]


async def test_tags_name_the_request_and_go_into_the_call(ready, stub):
    stub.says("CreateFleet", fleet("i-1"))
    await ready.launch(spec())
    found = stub.asked("CreateFleet")[0]["TagSpecifications"]
    assert [one["ResourceType"] for one in found] == ["fleet", "instance", "volume"]
    for one in found:
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        assert (tags["aspot:run"], tags["aspot:request"]) == ("r-7f3a", "r1")


async def test_max_price_is_sent_only_where_it_was_asked_for(cloud, stub, make_plan):
    await cloud.prepare(make_plan(run={"max_price_usd": 0.05}))
    stub.says("CreateFleet", fleet("i-1"))
    await cloud.launch(spec())
    overrides = stub.asked("CreateFleet")[0]["LaunchTemplateConfigs"][0]["Overrides"]
    assert [one["MaxPrice"] for one in overrides] == ["0.05000", "0.05000"]


async def test_on_demand_launch_has_no_spot_words(cloud, stub, make_plan):
    await cloud.prepare(make_plan(run={"market": "on-demand", "max_price_usd": 0.05}))
    stub.says("CreateFleet", fleet("i-1"))
    await cloud.launch(spec(market=Market.ON_DEMAND))
    (asked,) = stub.asked("CreateFleet")
    assert asked["TargetCapacitySpecification"]["DefaultTargetCapacityType"] == "on-demand"
    assert "SpotOptions" not in asked
    assert "MaxPrice" not in asked["LaunchTemplateConfigs"][0]["Overrides"][0]


async def test_mixed_architectures_each_get_their_image(cloud, stub, make_plan):
    await cloud.prepare(make_plan(types=("c7i.large", "c7g.large")))
    stub.says("CreateFleet", fleet("i-1"))
    await cloud.launch(spec(pools=(A, Pool("c7g.large", "us-east-1b"))))
    overrides = stub.asked("CreateFleet")[0]["LaunchTemplateConfigs"][0]["Overrides"]
    assert [one["ImageId"] for one in overrides] == ["ami-0b0b", "ami-0a0a"]


# --- a 200 is not success ---


async def test_errors_of_a_fleet_become_one_refusal_a_pool(ready, stub):
    errors = [
        error("InsufficientInstanceCapacity"),
        error("InsufficientInstanceCapacity"),
        error("UnfulfillableCapacity", B),
    ]
    stub.says("CreateFleet", fleet("i-1", errors=errors))
    answer = await ready.launch(spec())
    assert len(answer.launched) == 1
    assert [(one.pool, one.kind) for one in answer.refusals] == [
        (A, RefusalKind.NO_CAPACITY),
        (B, RefusalKind.NOT_TRIED),
    ]


async def test_refused_permission_inside_a_200_is_fatal(ready, stub):
    stub.says("CreateFleet", fleet(errors=[error("UnauthorizedOperation"), error("UnauthorizedOperation", B)]))
    answer = await ready.launch(spec())
    assert [(one.pool, one.kind) for one in answer.refusals] == [(None, RefusalKind.FATAL)]


async def test_fatal_word_beside_instances_stops_nothing(ready, stub):
    stub.says("CreateFleet", fleet("i-1", errors=[error("InvalidParameterValue", B)]))
    answer = await ready.launch(spec())
    assert answer.refusals == ()


async def test_template_not_yet_known_inside_a_200_says_nothing_of_the_pool(ready, stub):
    stub.says("CreateFleet", fleet(errors=[error("InvalidSecurityGroupID.NotFound")]))
    answer = await ready.launch(spec())
    assert answer.refusals[0].kind is RefusalKind.NOT_TRIED


async def test_pool_follows_from_overrides_where_the_answer_has_no_zone(ready, stub):
    overrides = {"InstanceType": B.type, "SubnetId": "subnet-b"}
    entry = {"LaunchTemplateAndOverrides": {"Overrides": overrides}, "InstanceIds": ["i-1"]}
    stub.says("CreateFleet", {"Instances": [entry], "Errors": []})
    answer = await ready.launch(spec())
    assert answer.launched[0].pool == B


# --- whole refusals ---


@pytest.mark.parametrize(
    ("code", "http", "kind"),
    [
        ("MaxSpotInstanceCountExceeded", 400, RefusalKind.QUOTA),
        ("InsufficientInstanceCapacity", 500, RefusalKind.NO_CAPACITY),
        ("RequestLimitExceeded", 503, RefusalKind.THROTTLED),
        ("RequestExpired", 400, RefusalKind.AUTH_EXPIRED),
        ("IdempotentParameterMismatch", 400, RefusalKind.FATAL),
        ("IdempotentInstanceTerminated", 400, RefusalKind.NOT_TRIED),
    ],
)
async def test_refused_call_is_sent_once(ready, stub, code, http, kind):
    stub.says("CreateFleet", stub.refused(code, http=http))
    answer = await ready.launch(spec())
    assert [(one.kind, one.code) for one in answer.refusals] == [(kind, code)]
    assert len(stub.asked("CreateFleet")) == 1


@pytest.mark.parametrize("how", ["lost", "InternalError", "ServiceUnavailable"])
async def test_answer_that_does_not_come_is_a_doubt_and_the_repeat_is_the_same(ready, stub, how):
    first = stub.lost if how == "lost" else stub.refused(how, http=503)
    stub.says("CreateFleet", first, fleet("i-1", "i-2", "i-3"))
    with pytest.raises(LaunchUnanswered):
        await ready.launch(spec())
    assert len((await ready.launch(spec())).launched) == 3
    one, other = stub.asked("CreateFleet")
    assert one == other
    assert len(one["ClientToken"]) == 64


async def test_tokens_differ_between_requests_counts_and_pools(ready, stub):
    stub.says("CreateFleet", fleet("i-1"))
    for changes in ({}, {"id": "r2"}, {"count": 2}, {"pools": (B, A)}):
        await ready.launch(spec(**changes))
    assert len({asked["ClientToken"] for asked in stub.asked("CreateFleet")}) == 4


async def test_template_that_ec2_does_not_know_yet_is_waited_for(ready, stub):
    stub.says("CreateFleet", stub.refused("InvalidLaunchTemplateId.NotFound"), fleet("i-1"))
    assert len((await ready.launch(spec())).launched) == 1
    one, other = stub.asked("CreateFleet")
    assert one["ClientToken"] == other["ClientToken"]


async def test_endpoint_that_is_gone_means_nothing_was_sent(ready, stub, monkeypatch, unused_url):
    monkeypatch.setenv("AWS_ENDPOINT_URL", unused_url)
    ready._aws._is_refused = True  # a new client, for the new endpoint
    answer = await ready.launch(spec())
    assert [one.kind for one in answer.refusals] == [RefusalKind.UNREACHABLE]


async def test_denied_launch_says_what_aws_encoded(ready, stub):
    blob = "no. Encoded authorization failure message: abc"
    for action in ("CreateFleet", "RunInstances"):
        stub.says(action, stub.refused("UnauthorizedOperation", blob, 403))
    text = "<DecodedMessage>{&quot;context&quot;: {&quot;action&quot;: &quot;ec2:CreateTags&quot;}}</DecodedMessage>"
    for level in ("Result", "Response"):
        text = f"<DecodeAuthorizationMessage{level}>{text}</DecodeAuthorizationMessage{level}>"
    stub.says("DecodeAuthorizationMessage", stub.raw(text))
    answer = await ready.launch(spec())
    assert [one.kind for one in answer.refusals] == [RefusalKind.FATAL]
    assert "ec2:CreateTags" in answer.refusals[0].fix


async def test_launch_before_prepare_is_a_bug(cloud):
    with pytest.raises(InternalError):
        await cloud.launch(spec())


# --- pool by pool ---


@pytest.fixture
def without_fleets(stub):
    stub.says("CreateFleet", stub.refused("UnauthorizedOperation", http=403))


@pytest.mark.usefixtures("without_fleets")
class TestRunInstances:
    async def test_takes_the_place_of_create_fleet_for_good(self, ready, stub):
        stub.says("RunInstances", ran("i-1", "i-2", "i-3"))
        assert len((await ready.launch(spec())).launched) == 3
        assert len((await ready.launch(spec(id="r2"))).launched) == 3
        assert len(stub.asked("CreateFleet")) == 1

    async def test_asks_as_create_fleet_would(self, ready, stub):
        stub.says("RunInstances", ran("i-1", "i-2", "i-3"))
        await ready.launch(spec())
        (asked,) = stub.asked("RunInstances")
        assert (asked["MinCount"], asked["MaxCount"]) == (1, 3)
        assert asked["LaunchTemplate"] == {"LaunchTemplateId": "lt-1", "Version": "1"}
        assert asked["InstanceMarketOptions"] == {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
        assert asked["NetworkInterfaces"][0]["SubnetId"] == "subnet-a"
        assert [one["ResourceType"] for one in asked["TagSpecifications"]] == ["instance", "volume"]
        assert "SubnetId" not in asked

    async def test_the_rest_comes_from_the_next_pool(self, ready, stub):
        stub.says("RunInstances", ran("i-1"), ran("i-2", "i-3"))
        answer = await ready.launch(spec())
        assert [one.pool for one in answer.launched] == [A, B, B]
        assert [asked["MaxCount"] for asked in stub.asked("RunInstances")] == [3, 2]

    async def test_a_pool_without_capacity_is_passed_over(self, ready, stub):
        stub.says("RunInstances", stub.refused("InsufficientInstanceCapacity", http=500), ran("i-1", "i-2", "i-3"))
        answer = await ready.launch(spec())
        assert {one.pool for one in answer.launched} == {B}
        assert [(one.pool, one.kind) for one in answer.refusals] == [(A, RefusalKind.NO_CAPACITY)]

    async def test_quota_of_a_family_is_asked_for_once(self, ready, stub):
        stub.says("RunInstances", stub.refused("MaxSpotInstanceCountExceeded"))
        answer = await ready.launch(spec())
        assert [one.kind for one in answer.refusals] == [RefusalKind.QUOTA]
        assert len(stub.asked("RunInstances")) == 1

    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "UnauthorizedOperation", "RequestExpired"])
    async def test_refusal_of_everything_ends_the_walk(self, ready, stub, code):
        stub.says("RunInstances", stub.refused(code))
        answer = await ready.launch(spec())
        assert [one.pool for one in answer.refusals] == [None]
        assert len(stub.asked("RunInstances")) == 1

    async def test_too_many_in_one_request_is_halved(self, ready, stub):
        stub.says("RunInstances", stub.refused("ResourceCountExceeded"), ran("i-1"), ran("i-2", "i-3"))
        answer = await ready.launch(spec())
        assert len(answer.launched) == 3
        assert [asked["MaxCount"] for asked in stub.asked("RunInstances")] == [3, 1, 2]

    async def test_lost_answer_is_repeated_where_it_was_lost(self, ready, stub):
        stub.says("RunInstances", ran("i-1"), stub.lost, ran("i-2", "i-3"))
        with pytest.raises(LaunchUnanswered):
            await ready.launch(spec())
        answer = await ready.launch(spec())
        assert [one.instance for one in answer.launched] == ["i-1", "i-2", "i-3"]
        _, lost, again = stub.asked("RunInstances")
        assert lost == again

    async def test_max_price_and_on_demand(self, cloud, stub, make_plan):
        stub.says("RunInstances", ran("i-1", "i-2", "i-3"))
        await cloud.prepare(make_plan(run={"market": "spot-first", "max_price_usd": 0.05}))
        await cloud.launch(spec())
        await cloud.launch(spec(id="r2", market=Market.ON_DEMAND))
        spot, on_demand = stub.asked("RunInstances")
        assert spot["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "0.05000"
        assert "InstanceMarketOptions" not in on_demand


async def test_fleet_quota_falls_back_for_this_time(ready, stub):
    stub.says("CreateFleet", stub.refused("MaxFleetCountExceeded"), fleet("i-4"))
    stub.says("RunInstances", ran("i-1", "i-2", "i-3"))
    assert len((await ready.launch(spec())).launched) == 3
    await ready.launch(spec(id="r2"))
    assert len(stub.asked("CreateFleet")) == 2
