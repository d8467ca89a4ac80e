"""What RunInstances and CreateFleet ask for: templates merged, every name looked up, what EC2 refuses refused.

Runs on moto's thread. May import: cloud's types, moto_seams, records, refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from aspot.local.catalog import Catalog
from aspot.local.images import Image, public_parameters
from aspot.local.moto_seams import MotoRegion
from aspot.local.records import Launch, Subnet
from aspot.local.refusal import Refusal
from aspot.local.wish_fields import disks, market, shutdown_behavior, tag_lists, tags, user_data

__all__ = ["Wish", "merged_with_template", "read_wish"]


@attrs.frozen(kw_only=True)
class Wish:
    """A checked request for machines that only lacks its pool.

    `subnets` are those that the request allows: one, or the default subnet of each zone.
    """

    image: Image
    type: str
    subnets: tuple[Subnet, ...]
    key_name: str | None
    user_data: bytes
    profile: str | None
    role: str | None
    spot: bool
    max_price: float | None
    behavior: str
    shutdown: str
    tags: dict[str, dict[str, str]]
    disks: tuple[dict[str, Any], ...]
    public_ip: bool | None
    group_names: tuple[str, ...]
    metadata_options: dict[str, Any]
    options: dict[str, Any]

    def launch(self, moto: MotoRegion, subnet: Subnet, *, token: str, fleet_id: str | None = None) -> Launch:
        """Complete the wish with a subnet.

        Raises:
            Refusal: a security group is not in the subnet's network.
        """
        names = self.group_names or ("default",)
        public = moto.maps_public_ip(subnet.id) if self.public_ip is None else self.public_ip
        kept = (
            "image",
            "type",
            "key_name",
            "user_data",
            "profile",
            "role",
            "spot",
            "max_price",
            "behavior",
            "shutdown",
        )
        also = ("tags", "disks", "metadata_options", "options")
        return Launch(
            **{name: getattr(self, name) for name in kept + also},
            subnet=subnet,
            groups=tuple(_group(moto, name, subnet.vpc) for name in names),
            public_ip=public,
            client_token=token,
            fleet_id=fleet_id,
        )


def merged_with_template(moto: MotoRegion, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's parameters with those of its launch template where it has none of its own.

    Raises:
        Refusal: there is no such template or version.
    """
    wanted = parameters.get("LaunchTemplate")
    if not wanted:
        return dict(parameters)
    template_id, number, data = moto.template(
        id=wanted.get("LaunchTemplateId"), name=wanted.get("LaunchTemplateName"), version=wanted.get("Version")
    )
    if data.get("UserData") is not None:
        data["UserData"] = str(data["UserData"])
    merged = {**data, **{name: value for name, value in parameters.items() if value is not None}}
    merged["TagSpecifications"] = tag_lists(data) + tag_lists(parameters)
    origin = {"aws:ec2launchtemplate:id": template_id, "aws:ec2launchtemplate:version": number}
    merged["TemplateTags"] = origin
    return merged


def read_wish(moto: MotoRegion, catalog: Catalog, parameters: Mapping[str, Any]) -> Wish:
    """Check merged parameters and look up what they name.

    Raises:
        Refusal: as EC2 refuses them.
    """
    interface = _interface(parameters)
    image = _image(moto, parameters.get("ImageId"))
    instance_type = parameters.get("InstanceType") or "m1.small"
    _check_type(catalog, instance_type, image)
    spot, max_price, behavior = market(parameters.get("InstanceMarketOptions") or {})
    profile, role = _profile(moto, parameters.get("IamInstanceProfile") or {})
    return Wish(
        image=image,
        type=instance_type,
        subnets=_subnets(
            moto, interface.get("SubnetId") or parameters.get("SubnetId"), parameters.get("Placement") or {}
        ),
        key_name=_key(moto, parameters.get("KeyName")),
        user_data=user_data(parameters.get("UserData")),
        profile=profile,
        role=role,
        spot=spot,
        max_price=max_price,
        behavior=behavior,
        shutdown=shutdown_behavior(parameters.get("InstanceInitiatedShutdownBehavior")),
        tags=tags(parameters),
        disks=disks(image, parameters.get("BlockDeviceMappings") or ()),
        public_ip=interface.get("AssociatePublicIpAddress"),
        group_names=tuple(interface.get("Groups") or _group_names(parameters)),
        metadata_options=dict(parameters.get("MetadataOptions") or {}),
        options={name: parameters[name] for name in _PASSED_ON if parameters.get(name) is not None},
    )


_PASSED_ON = ("DisableApiTermination", "EbsOptimized", "Monitoring")


def _interface(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    interfaces = parameters.get("NetworkInterfaces") or ()
    if not interfaces:
        return {}
    clash = "Network interfaces and an instance-level {} may not be specified on the same request"
    if parameters.get("SubnetId"):
        raise Refusal("InvalidParameterCombination", clash.format("subnet ID"))
    if parameters.get("SecurityGroupIds") or parameters.get("SecurityGroups"):
        raise Refusal("InvalidParameterCombination", clash.format("security groups"))
    return next((found for found in interfaces if not found.get("DeviceIndex")), interfaces[0])


def _image(moto: MotoRegion, image_id: str | None) -> Image:
    if not image_id:
        raise Refusal("MissingParameter", "The request must contain the parameter ImageId")
    if image_id.startswith("resolve:ssm:"):
        image_id = _resolved(moto.name, image_id.removeprefix("resolve:ssm:"))
    if not image_id.startswith("ami-"):
        raise Refusal("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
    image = moto.image(image_id)
    if image is None:
        raise Refusal("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return image


def _resolved(region: str, parameter: str) -> str:
    found = public_parameters(region).get(parameter)
    if found is None:
        raise Refusal("InvalidParameterValue", f"Parameter {parameter} of the SSM parameter store was not found.")
    return found


def _check_type(catalog: Catalog, instance_type: str, image: Image) -> None:
    offer = catalog.offer(instance_type)
    if offer is None:
        raise Refusal("InvalidInstanceType", f"Invalid value '{instance_type}' for InstanceType.")
    if image.architecture not in offer.architectures:
        raise Refusal(
            "InvalidParameterValue",
            f"The architecture '{','.join(offer.architectures)}' of the specified instance type does not match the "
            f"architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have "
            "matching architectures, and try again.",
        )


def _profile(moto: MotoRegion, wanted: Mapping[str, Any]) -> tuple[str | None, str | None]:
    name, arn = wanted.get("Name"), wanted.get("Arn")
    if not name and not arn:
        return None, None
    found = moto.instance_profile(name=name, arn=arn)
    field, value = ("name", name) if name else ("arn", arn)
    if found is None:
        problem = f"Value ({value}) for parameter iamInstanceProfile.{field} is invalid."
        raise Refusal("InvalidParameterValue", f"{problem} Invalid IAM Instance Profile {field}")
    if found[1] is None:
        raise Refusal("InvalidParameterValue", f"IAM Instance Profile '{found[0]}' has no associated IAM Roles")
    return found


def _subnets(moto: MotoRegion, subnet_id: str | None, placement: Mapping[str, Any]) -> tuple[Subnet, ...]:
    zone = placement.get("AvailabilityZone")
    if zone is not None and zone not in moto.zones():
        raise Refusal("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    if subnet_id:
        subnet = moto.subnet(subnet_id)
        if zone not in (None, subnet.zone):
            raise Refusal("InvalidParameterValue", f"The subnet {subnet_id} is not in the availability zone {zone}.")
        return (subnet,)
    found = moto.default_subnets()
    if not found:
        raise Refusal("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
    if zone is not None and zone not in found:
        raise Refusal("MissingInput", f"No default subnet for availability zone: '{zone}'.")
    return tuple(subnet for name, subnet in sorted(found.items()) if zone in (None, name))


def _key(moto: MotoRegion, name: str | None) -> str | None:
    if name and moto.public_key(name) is None:
        raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
    return name or None


def _group_names(parameters: Mapping[str, Any]) -> list[str]:
    return [*(parameters.get("SecurityGroupIds") or ()), *(parameters.get("SecurityGroups") or ())]


def _group(moto: MotoRegion, name: str, vpc: str) -> str:
    found = moto.group_id(name, vpc=vpc)
    if found is None:
        raise Refusal("InvalidGroup.NotFound", f"The security group '{name}' does not exist")
    return found
