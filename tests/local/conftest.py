"""One daemon for all tests of the local cloud; each test gets a Region of its own: buckets and machines don't mix."""

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from local_world import client_of
from waiting import until

from aspot.aws.tags import LOCAL_PORT
from aspot.local.handle import Control
from aspot.local.home import Home, Settings

_REGIONS = """us-east-1 us-east-2 us-west-2 eu-west-1 eu-west-2 eu-west-3 eu-central-1 ca-central-1 ap-southeast-1
ap-southeast-2 ap-northeast-1 ap-northeast-2 sa-east-1"""  # of three zones or more, with old types and new ones
_TURN = itertools.cycle(_REGIONS.split())
AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(autouse=True)
def _no_aws_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "ASPOT_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("cloud") / "local")
    home.start(Settings(boot_s=(0.3, 0.5)))
    yield home
    assert home.stop()


@pytest.fixture
def control(home: Home) -> Iterator[Control]:
    control = home.running()
    assert control is not None, home.log.read_text()
    yield control
    control.call("DELETE", "faults")


class Aws:
    """The wire as boto3 sees it, in one Region."""

    def __init__(self, control: Control, region: str) -> None:
        self.control, self.region = control, region
        self.ec2 = self.client("ec2")

    def client(self, service: str, **options: Any) -> Any:
        return client_of(self.control.environment, service, **{"region_name": self.region, "config": ONCE, **options})

    @property
    def ami(self) -> str:
        return self.client("ssm").get_parameter(Name=AL2023)["Parameter"]["Value"]

    def zone(self, letter: str = "a") -> str:
        return self.region + letter

    def offered(self, instance_type: str = "m5.large") -> list[str]:
        wanted = [{"Name": "instance-type", "Values": [instance_type]}]
        found = self.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=wanted)
        return sorted(offer["Location"] for offer in found["InstanceTypeOfferings"])

    def launch(self, count: int = 1, *, spot: bool = True, **more: Any) -> list[str]:
        return [item["InstanceId"] for item in self.run(count, spot=spot, **more)["Instances"]]

    def run(self, count: int = 1, *, spot: bool = True, **more: Any) -> dict[str, Any]:
        asked = {"ImageId": self.ami, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": count}
        if spot:
            asked["InstanceMarketOptions"] = {"MarketType": "spot"}
        return self.ec2.run_instances(**{**asked, **more})

    def template(self, **more: Any) -> str:
        data = {"ImageId": self.ami, "InstanceInitiatedShutdownBehavior": "terminate", **more}
        name = f"t-{time.monotonic_ns()}"
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def fleet(self, count: int, overrides: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        template = more.pop("template", None) or self.template()
        strategy = more.pop("strategy", "price-capacity-optimized")
        config = {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"},
            "Overrides": overrides,
        }
        return self.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[config],
            TargetCapacitySpecification={"TotalTargetCapacity": count, "DefaultTargetCapacityType": "spot"},
            SpotOptions={"AllocationStrategy": strategy},
            **more,
        )

    def one(self, instance_id: str) -> dict[str, Any]:
        return self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]

    @staticmethod
    def tags(item: dict[str, Any]) -> list[dict[str, str]]:
        """Return its tags but for the local cloud's own: the SSH port, where an ordinary user may not have 22."""
        return [tag for tag in item.get("Tags", []) if tag["Key"] != LOCAL_PORT]

    def state(self, instance_id: str) -> str:
        return self.one(instance_id)["State"]["Name"]

    def reach(self, instance_id: str, state: str) -> dict[str, Any]:
        return until(lambda: (item := self.one(instance_id))["State"]["Name"] == state and item)

    def request_of(self, instance_id: str) -> dict[str, Any]:
        wanted = [{"Name": "instance-id", "Values": [instance_id]}]
        return self.ec2.describe_spot_instance_requests(Filters=wanted)["SpotInstanceRequests"][0]

    def booted(self, instance_id: str) -> dict[str, Any]:
        def find() -> Any:
            machines = self.control.call("GET", "instances")
            return next((item for item in machines if item["id"] == instance_id and item["booted"]), None)

        return until(find)

    def there(self, *but: str) -> list[str]:
        """Return the Region's machines, but for those in one of these states."""
        machines = self.control.call("GET", "instances")
        return [item["id"] for item in machines if item["region"] == self.region and item["state"] not in but]

    def fault(self, kind: str, **detail: Any) -> dict[str, Any]:
        return self.control.call("POST", "faults", {"kind": kind, **detail})


def _refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


@pytest.fixture
def refused() -> Callable[..., tuple[str, int, str]]:
    """Call something that AWS refuses; return code, HTTP status and message."""
    return _refused


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    return until


@pytest.fixture
def aws(control: Control) -> Iterator[Aws]:
    made = Aws(control, next(_TURN))
    until(lambda: not made.there("terminated"))  # those of the test before it count towards quotas until they are gone
    yield made
    if live := made.there("terminated", "shutting-down"):
        control.call("DELETE", "faults")
        made.ec2.terminate_instances(InstanceIds=live)


@pytest.fixture
def key_pair(aws: Aws, tmp_path: Path) -> tuple[str, Path]:
    """A key pair imported into the Region: its name and the private key's file."""
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    name = f"k-{time.monotonic_ns()}"
    aws.ec2.import_key_pair(KeyName=name, PublicKeyMaterial=path.with_suffix(".pub").read_bytes())
    return name, path
