"""`aspot prices`, `types` and `images` from a shell, on a local cloud that answers as EC2 does."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local_world import write

from aspot.ui.market import BARS


def aged(days):
    """Make everything that is cached older."""
    for path in Path(cache()).glob("*.json"):
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"at": kept["at"] - days * 86400}))


def cache():
    import os

    return os.environ["ASPOT_CACHE_DIR"]


def test_prices_by_zone_now_and_over_time(aspot, cloud):
    code, out, err = aspot("prices", "c7g.large")
    assert (code, err) == (0, "")
    heading, *rows = out.splitlines()
    assert heading.split() == ["TYPE", "ZONE", "SPOT", "ON-DEMAND", "SAVING", "LOW", "HIGH", "7", "DAYS", "INTERRUPTED"]
    seen = [row.split() for row in rows]
    assert {words[0] for words in seen} == {"c7g.large"}
    assert [words[2] for words in seen] == sorted(words[2] for words in seen), "cheapest first"
    for words in seen:
        low, now, high = (float(words[place].removeprefix("$")) for place in (6, 2, 7))
        assert low <= now <= high < float(words[3].removeprefix("$"))
        assert len(words[8]) == 24
        assert set(words[8]) <= set(BARS)


def test_prices_as_json_are_those_of_the_cloud(aspot, cloud):
    code, out, _ = aspot("prices", "c7g.large", "m5.large", "t2.micro", "--days", "2", "--json")
    rows = json.loads(out)
    assert code == 0
    now = datetime.now(UTC)
    asked = {"InstanceTypes": ["c7g.large"], "StartTime": now, "EndTime": now, "ProductDescriptions": ["Linux/UNIX"]}
    listed = cloud.client("ec2").describe_spot_price_history(**asked)["SpotPriceHistory"]
    assert {(row["type"], row["zone"]): row["spot_usd_per_hour"] for row in rows if row["type"] == "c7g.large"} == {
        (item["InstanceType"], item["AvailabilityZone"]): float(item["SpotPrice"]) for item in listed
    }
    first = rows[0]
    assert [row["type"] for row in rows] == sorted(
        (row["type"] for row in rows), key=["c7g.large", "m5.large", "t2.micro"].index
    )
    assert first["saving"] == round(1 - first["spot_usd_per_hour"] / first["on_demand_usd_per_hour"], 4)
    assert 1 <= first["score"] <= 10
    assert first["interrupted"].endswith("%")
    assert not first["stale"]
    times = [datetime.fromisoformat(moment) for moment, _ in first["history"]]
    assert times == sorted(times)
    assert timedelta(days=2) < now - times[0] < timedelta(days=3)


def test_prices_of_a_profile_of_patterns_and_of_several_regions(aspot, cloud):
    write("aspot.toml", "[profiles.mine]\ntypes = ['m7g.large', 'c7g.large']\n")
    rows = json.loads(aspot("prices", "mine", "--region", "us-east-1", "--region", "eu-west-1", "--json")[1])
    assert list(dict.fromkeys((row["region"], row["type"]) for row in rows)) == [
        ("us-east-1", "m7g.large"),
        ("us-east-1", "c7g.large"),
        ("eu-west-1", "m7g.large"),
        ("eu-west-1", "c7g.large"),
    ]
    assert {row["type"] for row in json.loads(aspot("prices", "c7g.*xlarge", "--json")[1])} >= {
        "c7g.xlarge",
        "c7g.16xlarge",
    }


def test_the_region_is_the_profile_s_where_none_is_given(aspot, cloud):
    write(
        "aspot.toml",
        "[profiles.default]\nregion = 'eu-west-1'\n[profiles.far]\nextends = 'arm'\nregion = 'us-west-2'\n",
    )
    rows = json.loads(aspot("prices", "m7g.large", "far", "--json")[1])
    assert {(row["region"], row["type"]) for row in rows} >= {("eu-west-1", "m7g.large"), ("us-west-2", "c7g.xlarge")}
    assert all(row["zone"].startswith("eu-west-1") for row in json.loads(aspot("types", "m7g.large", "--json")[1]))
    assert "eu-west-1" in aspot("doctor")[1]
    write("aspot.toml", "[profiles.default]\nregion = 3\n")
    code, _, err = aspot("ls")
    assert code == 0, "what is running is shown whatever the profiles say"
    assert "profiles are not looked at: " in err
    assert aspot("down", "--all")[0] == 0


@pytest.mark.parametrize(
    ("words", "said", "fix"),
    [
        (["prices", "c7g.lrage"], "no instance type c7g.lrage", "'c7g.large'"),
        (["prices", "gpuu"], "no profile 'gpuu'", "'gpu'"),
        (["prices", "c7g.large", "--days", "91"], "--days must be from 1 to 90", "--days 7"),
        (["prices", "c7g.large", "--region", "mars-north-1"], "no AWS region 'mars-north-1'", "us-east-1"),
        (["prices", "p2.xlarge"], "no instance type p2.xlarge", "g4dn.xlarge"),
        (["types", "zz*"], "no instance type zz*", "another region"),
        (["types", "--vcpu", "8-4"], "--vcpu '8-4' goes down", "--vcpu 4-8"),
        (["types", "--memory", "much"], "--memory 'much' is not a range", "--memory 8-16"),
        (["types", "--gpus", "-"], "--gpus '-' is not a range", "--gpus 8"),
        (["types", "--max-price", "free"], "--max-price must be US dollars", ""),
        (["types", "--arch", "sparc"], "--arch", "--help"),
    ],
)
def test_what_cannot_work_is_told_with_a_fix(words, said, fix, aspot, cloud):
    code, out, err = aspot(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert fix in err


def test_a_profile_s_type_that_the_region_lacks_is_done_without(aspot, cloud):
    """Eu-west-1 has no g6 (2026)."""
    code, out, err = aspot("prices", "gpu", "--region", "eu-west-1", "--json")
    assert code == 0
    assert {row["type"] for row in json.loads(out)} == {"g5.xlarge", "g4dn.xlarge"}
    assert "eu-west-1 has no g6.xlarge\n" in err
    code, out, err = aspot("run", write("a.sh", "true\n"), "-p", "gpu", "--region", "eu-west-1", "-n", "g", "-q")
    assert code == 0, err
    code, _, err = aspot("run", write("a.sh", "true\n"), "-p", "g6.xlarge", "--region", "eu-west-1", "-n", "g6", "-q")
    assert code == 2
    assert "no instance type g6.xlarge in eu-west-1" in err


@pytest.mark.parametrize("words", [["prices", "c7g.large"], ["types"], ["images"]])
def test_without_credentials_that_is_said(words, aspot, cloud, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, _, err = aspot(*words)
    assert code == 3
    assert err.startswith("error: there are no AWS credentials\nfix:")


def test_the_old_is_marked_when_aws_throttles_and_nothing_old_is_an_error(aspot, cloud, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    before = json.loads(aspot("prices", "c7g.large", "--json")[1])
    cloud.fault("throttle", action="DescribeSpotPriceHistory")
    assert json.loads(aspot("prices", "c7g.large", "--json")[1]) == before, "that is new enough"
    aged(days=0.25)
    code, out, err = aspot("prices", "c7g.large", "--json")
    after = json.loads(out)
    assert code == 0
    assert [row["spot_usd_per_hour"] for row in after] == [row["spot_usd_per_hour"] for row in before]
    assert all(row["stale"] for row in after)
    assert err.startswith("us-east-1: spot prices are 6 h 0 min old: AWS refused ec2:DescribeSpotPriceHistory")
    assert aspot("prices", "c7g.large", "-q")[2] == ""
    code, out, err = aspot("prices", "m7g.large")
    assert (code, out) == (3, "")
    assert "RequestLimitExceeded" in err
    assert "fix:   wait a minute" in err


def test_what_aws_will_not_say_is_left_out_and_told(aspot, cloud, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    monkeypatch.setenv("ASPOT_SPOT_ADVISOR_URL", "")
    for action in ("GetProducts", "GetSpotPlacementScores"):
        cloud.fault("throttle", action=action)
    code, out, err = aspot("prices", "c7g.large", "m7g.large", "r7g.large")
    assert code == 0
    assert out.split("\n")[0].split() == ["TYPE", "ZONE", "SPOT", "ON-DEMAND", "SAVING", "LOW", "HIGH", "7", "DAYS"]
    assert out.splitlines()[1].split()[3:5] == ["–", "–"]
    assert "no on-demand prices: AWS refused pricing:GetProducts" in err
    assert "no placement scores: AWS refused ec2:GetSpotPlacementScores" in err
    assert "interruption bands: ASPOT_SPOT_ADVISOR_URL is empty" in err


def test_types_that_fit_cheapest_first(aspot, cloud):
    code, out, err = aspot(
        "types", "--vcpu", "8-16", "--memory", "16-64", "--arch", "arm64", "--max-price", "0.3", "--json"
    )
    rows = json.loads(out)
    assert (code, err) == (0, "")
    assert len(rows) > 10
    assert all(8 <= row["vcpus"] <= 16 and 16 <= row["memory_gib"] <= 64 and row["arch"] == "arm64" for row in rows)
    prices = [row["spot_usd_per_hour"] for row in rows]
    assert prices == sorted(prices)
    assert prices[-1] <= 0.3
    row = next(row for row in rows if row["type"].startswith("c7g."))
    zones = json.loads(aspot("prices", row["type"], "--json")[1])
    assert (row["spot_usd_per_hour"], row["zone"]) == min((item["spot_usd_per_hour"], item["zone"]) for item in zones)
    assert row["on_demand_usd_per_hour"] == zones[0]["on_demand_usd_per_hour"]
    asked = cloud.calls()["DescribeInstanceTypes"]
    gpus = json.loads(aspot("types", "--gpu", "--json")[1])
    assert cloud.calls()["DescribeInstanceTypes"] == asked, "the list is kept for a day"
    assert {"g5.xlarge", "p5.48xlarge"} <= {row["type"] for row in gpus}
    assert all(row["gpus"] >= 1 and row["gpu"] for row in gpus)
    assert {row["gpus"] for row in json.loads(aspot("types", "--gpus", "4-", "--json")[1])} >= {4, 8}
    text = aspot("types")[1].splitlines()
    assert len(text) == 42
    assert text[-1].endswith("more: --all shows them")
    (line,) = aspot("types", "m5.xlarge")[1].splitlines()[1:]
    assert line.split()[:3] == ["m5.xlarge", "4", "2"], "its vCPUs and cores"
    assert aspot("types", "--vcpu", "5000") == (0, "", "No instance type fits.\n")


def test_images_published_and_own(aspot, cloud):
    ec2 = cloud.client("ec2")
    published = json.loads(aspot("images", "--json")[1])
    by_alias = {(item["alias"], item["arch"]): item for item in published if item["alias"]}
    assert {alias for alias, _ in by_alias} == {"al2023", "ubuntu-24.04", "ubuntu-22.04", "debian-12", "debian-13"}
    assert by_alias["debian-12", "arm64"]["user"] == "admin"
    assert "deeplearning" in "".join(item["parameter"] for item in published)
    own = ec2.register_image(Name="my-own-image", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    try:
        assert own not in aspot("images")[1], "the list is kept for a day"
        code, out, _ = aspot("images", "--fresh", "--own")
        assert code == 0
        assert out.splitlines()[1].split()[0] == own
    finally:
        ec2.deregister_image(ImageId=own)
    found = json.loads(aspot("images", "UBUNTU", "24.04", "--arch", "arm64", "--json")[1])
    assert {item["arch"] for item in found} == {"arm64"}
    assert found[0]["image"] == "ubuntu-24.04"
    assert aspot("images", "windows") == (0, "", "No image fits.\n")


def test_an_image_that_is_shown_can_be_launched(aspot, cloud):
    """By each of the words that the list says to write in a profile."""
    found = {item["image"]: item for item in json.loads(aspot("images", "--arch", "x86_64", "--json")[1])}
    word = next(image for image in found if image.startswith("/"))
    script = write("who.sh", "id -un\n")
    code, out, err = aspot("run", script, "-n", "image", "--image", word, "--disk", "100 GB", "-q")
    assert code == 0, err + out
    assert Path("aspot-results/image/who/stdout").read_text().strip() == found[word]["user"]


def test_a_cache_from_another_time_is_harmless(aspot, cloud):
    assert aspot("types", "c7g.large", "-q")[0] == 0
    for path in Path(cache()).glob("*.json"):
        path.write_text(json.dumps({"at": time.time() + 10**9, "value": 3, "parts": []})[:-5])
    assert aspot("types", "c7g.large", "-q")[0] == 0
