"""Prices, scores, offerings and the small services: AWS.md 6, 7, 10 and 12."""

import json
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest


def test_prices_now_are_one_for_each_zone_and_below_on_demand(aws):
    now = datetime.now(UTC)
    asked = {"InstanceTypes": ["m5.large"], "ProductDescriptions": ["Linux/UNIX"], "StartTime": now, "EndTime": now}
    prices = aws.ec2.describe_spot_price_history(**asked)["SpotPriceHistory"]
    assert sorted(price["AvailabilityZone"] for price in prices) == aws.offered()
    assert all(0.02 < float(price["SpotPrice"]) < 0.15 for price in prices)
    assert all(price["Timestamp"] <= now for price in prices)
    assert {price["ProductDescription"] for price in prices} == {"Linux/UNIX"}


def test_prices_move_and_page_newest_first(aws):
    zone = aws.offered()[0]
    start = datetime.now(UTC) - timedelta(days=30)
    asked = {"InstanceTypes": ["m5.large"], "AvailabilityZone": zone, "StartTime": start}
    pages = aws.ec2.get_paginator("describe_spot_price_history").paginate(PaginationConfig={"PageSize": 50}, **asked)
    prices = [price for page in pages for price in page["SpotPriceHistory"]]
    times = [price["Timestamp"] for price in prices]
    assert len(prices) > 100
    assert times == sorted(times, reverse=True)
    assert times[-1] <= start < times[-2]
    assert len({price["SpotPrice"] for price in prices}) > 20


def test_a_launch_pays_no_more_than_history_says(aws):
    zone = aws.offered()[0]
    now = datetime.now(UTC)
    asked = {"InstanceTypes": ["m5.large"], "AvailabilityZone": zone, "StartTime": now, "EndTime": now}
    price = float(aws.ec2.describe_spot_price_history(**asked)["SpotPriceHistory"][0]["SpotPrice"])
    spot = {"MarketType": "spot", "SpotOptions": {"MaxPrice": str(price)}}
    assert len(aws.launch(InstanceMarketOptions=spot, Placement={"AvailabilityZone": zone})) == 1


def test_offerings_by_region_zone_and_zone_id(aws, refused):
    wanted = [{"Name": "instance-type", "Values": ["m5.large"]}]
    describe = aws.ec2.describe_instance_type_offerings
    assert [o["Location"] for o in describe(Filters=wanted)["InstanceTypeOfferings"]] == [aws.region]
    zones = {zone["ZoneName"]: zone["ZoneId"] for zone in aws.ec2.describe_availability_zones()["AvailabilityZones"]}
    by_id = describe(LocationType="availability-zone-id", Filters=wanted)["InstanceTypeOfferings"]
    assert {offer["Location"] for offer in by_id} == {zones[zone] for zone in aws.offered()}
    here = [{"Name": "location", "Values": [aws.offered()[0]]}]
    pages = aws.ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=here, PaginationConfig={"PageSize": 100}
    )
    assert len([o for page in pages for o in page["InstanceTypeOfferings"]]) > 200


def test_types_are_described_and_unknown_ones_refused(aws, refused):
    found = aws.ec2.describe_instance_types(InstanceTypes=["m5.large"])["InstanceTypes"][0]
    assert found["VCpuInfo"]["DefaultVCpus"] == 2
    assert refused(aws.ec2.describe_instance_types, InstanceTypes=["m5.gigantic"])[0] == "InvalidInstanceType"
    assert refused(aws.ec2.describe_instance_types, MaxResults=101)[0] == "InvalidParameterValue"


def test_types_are_those_that_the_region_offers_page_by_page(aws):
    pages = list(aws.ec2.get_paginator("describe_instance_types").paginate())
    assert [len(found["InstanceTypes"]) for found in pages[:-1]] == [100] * (len(pages) - 1), "as many as EC2 gives"
    names = [item["InstanceType"] for found in pages for item in found["InstanceTypes"]]
    offers = aws.ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone")
    assert set(names) == {offer["InstanceType"] for found in offers for offer in found["InstanceTypeOfferings"]}
    assert len(names) == len(set(names))
    wanted = [
        {"Name": "instance-type", "Values": ["m5.*"]},
        {"Name": "processor-info.supported-architecture", "Values": ["x86_64"]},
        {"Name": "vcpu-info.default-vcpus", "Values": ["2", "4"]},
        {"Name": "supported-usage-class", "Values": ["spot"]},
    ]
    found = aws.ec2.describe_instance_types(Filters=wanted)["InstanceTypes"]
    assert [item["InstanceType"] for item in found] == ["m5.large", "m5.xlarge"]
    assert found[0]["EbsInfo"]["EbsOptimizedInfo"]["BaselineIops"] > 0, "the whole of what EC2 says"


def test_placement_scores(aws, refused):
    types = ["m5.large", "c5.large", "r5.large"]
    score = aws.ec2.get_spot_placement_scores
    by_region = score(InstanceTypes=types, TargetCapacity=10, RegionNames=["us-east-1", "eu-west-1"])
    assert sorted(found["Region"] for found in by_region["SpotPlacementScores"]) == ["eu-west-1", "us-east-1"]
    asked = {"InstanceTypes": types, "TargetCapacity": 10, "SingleAvailabilityZone": True}
    by_zone = score(RegionNames=[aws.region], **asked)["SpotPlacementScores"]
    ids = {zone["ZoneId"] for zone in aws.ec2.describe_availability_zones()["AvailabilityZones"]}
    assert {found["AvailabilityZoneId"] for found in by_zone} == ids
    assert all(1 <= found["Score"] <= 10 for found in by_zone)
    few = score(InstanceTypes=types[:1], RegionNames=[aws.region], TargetCapacity=1)["SpotPlacementScores"]
    assert [found["Score"] for found in few] == [1], "with one or two types it is always low"


def test_regions_are_those_that_the_account_has_switched_on(aws, refused):
    found = {region["RegionName"]: region for region in aws.ec2.describe_regions()["Regions"]}
    assert {"us-east-1", "eu-west-1", "sa-east-1"} <= set(found)
    assert not any(name.startswith(("cn-", "us-gov-")) for name in found), "another partition's"
    assert {region["OptInStatus"] for region in found.values()} == {"opt-in-not-required"}
    every = {region["RegionName"] for region in aws.ec2.describe_regions(AllRegions=True)["Regions"]}
    assert set(found) < every
    named = aws.ec2.describe_regions(RegionNames=["eu-west-1"])["Regions"]
    assert [region["Endpoint"] for region in named] == ["ec2.eu-west-1.amazonaws.com"]
    off = [{"Name": "opt-in-status", "Values": ["not-opted-in"]}]
    assert aws.ec2.describe_regions(Filters=off)["Regions"] == []
    assert refused(aws.ec2.describe_regions, RegionNames=["mars-north-1"])[0] == "InvalidParameterValue"


def test_the_advisor_s_file_is_there_for_everyone(aws):
    assert aws.offered()  # of the Regions used so far
    url = aws.ec2.meta.endpoint_url + "/spot-advisor-data.json"
    with urllib.request.urlopen(url) as answer:  # without a signature, as AWS's
        found = json.load(answer)
    types = found["spot_advisor"][aws.region]["Linux"]
    assert types["m5.large"]["r"] in range(5)
    assert 30 < types["m5.large"]["s"] < 80
    assert 3 <= len({item["r"] for item in types.values()}) <= 5


PARAMETERS = [
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
    "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2",
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    "/aws/service/canonical/ubuntu/server/22.04/stable/current/arm64/hvm/ebs-gp2/ami-id",
    "/aws/service/debian/release/12/latest/amd64",
    "/aws/service/debian/release/bookworm/latest/arm64",
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
]


def test_public_parameters_name_images_that_exist(aws):
    ssm = aws.client("ssm")
    found = ssm.get_parameters(Names=[*PARAMETERS, "/aws/service/nothing"])
    assert found["InvalidParameters"] == ["/aws/service/nothing"]
    assert {parameter["Name"] for parameter in found["Parameters"]} == set(PARAMETERS)
    images = {parameter["Value"] for parameter in found["Parameters"]}
    described = aws.ec2.describe_images(ImageIds=list(images))["Images"]
    assert {image["ImageId"] for image in described} == images
    assert {image["State"] for image in described} == {"available"}


def test_an_unknown_parameter_is_not_found(aws, refused):
    assert refused(aws.client("ssm").get_parameter, Name="/aws/service/nothing")[0] == "ParameterNotFound"


def test_parameters_by_path_page(aws):
    path = "/aws/service/ami-amazon-linux-latest"
    pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path)
    names = [parameter["Name"] for page in pages for parameter in page["Parameters"]]
    assert PARAMETERS[0] in names
    assert len(names) == len(set(names)) == 10


def test_images_are_regional(aws, refused):
    elsewhere = "us-west-2" if aws.region != "us-west-2" else "us-east-1"
    other = aws.client("ssm", region_name=elsewhere).get_parameter(Name=PARAMETERS[0])["Parameter"]["Value"]
    assert refused(aws.run, ImageId=other)[0] == "InvalidAMIID.NotFound"


def test_own_parameters_are_kept_by_moto(aws):
    ssm = aws.client("ssm")
    ssm.put_parameter(Name="/mine", Value="x", Type="String")
    assert ssm.get_parameter(Name="/mine")["Parameter"]["Value"] == "x"


def test_an_image_can_be_given_by_its_parameter(aws):
    item = aws.run(ImageId=f"resolve:ssm:{PARAMETERS[0]}")["Instances"][0]
    assert item["ImageId"] == aws.ami


@pytest.mark.parametrize("code", ["L-34B43A08", "L-1216C47A", "L-3819A6DF", "L-7212CCBC", "L-DB2E81BA", "L-417A185B"])
def test_quotas_have_values(aws, code):
    quota = aws.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    assert quota["Value"] == 10_000


def test_quotas_can_be_listed_and_set(aws, refused):
    client = aws.client("service-quotas")
    aws.fault("quota", code="L-3819A6DF", number=0)
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="ec2", PaginationConfig={"PageSize": 5})
    values = {quota["QuotaCode"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    assert (values["L-3819A6DF"], values["L-34B43A08"]) == (0, 10_000)
    assert refused(aws.run, InstanceType="g4dn.xlarge")[0] == "MaxSpotInstanceCountExceeded"
    assert refused(client.get_service_quota, ServiceCode="ec2", QuotaCode="L-0")[0] == "NoSuchResourceException"


def test_on_demand_prices_have_pricings_shape(aws):
    wanted = {
        "instanceType": "m5.large",
        "regionCode": "us-east-1",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "preInstalledSw": "NA",
    }
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    client = aws.client("pricing", region_name="us-east-1")
    found = client.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
    terms = json.loads(found[0])["terms"]["OnDemand"]
    dimension = next(iter(next(iter(terms.values()))["priceDimensions"].values()))
    assert len(found) == 1
    assert dimension["unit"] == "Hrs"
    assert 0.08 < float(dimension["pricePerUnit"]["USD"]) < 0.11  # 0.096 in us-east-1


@pytest.mark.parametrize("region", ["eu-west-2", "us-east-1"])
def test_offers_name_zones_that_exist(aws, region):
    ec2 = aws.client("ec2", region_name=region)
    zones = {zone["ZoneId"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    offers = ec2.describe_instance_type_offerings(LocationType="availability-zone-id")["InstanceTypeOfferings"]
    assert {offer["Location"] for offer in offers} == zones
