"""Every use of moto, its documented and its semi-private sides alike: the one file to look at when moto changes.

Written for moto 5.2.x; tests/local checks each correction, so that an upgrade fails loudly. Semi-private here: the
`ec2_backends` registry with its `amis`, `enis`, `groups`, `key_pairs` and `tags`, the models `Ami` and `Instance`,
`INSTANCE_TYPES` and `INSTANCE_TYPE_OFFERINGS`, EventBridge's rules, S3's buckets, IAM's roles. To be called on
moto's own thread (moto_host).
"""

from __future__ import annotations

import base64
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from aspot.local.images import Image, PublicImage, public_images
from aspot.local.records import Launch, State, Subnet
from aspot.local.refusal import Refusal

__all__ = ["ACCOUNT", "MotoRegion", "bucket_region", "ec2_model", "role_policies", "translated"]

ACCOUNT = "123456789012"
_T = TypeVar("_T")


def translated(function: Callable[..., _T], *args: Any) -> _T:
    """Call a function; what moto refuses comes back as `Refusal`."""
    from moto.core.exceptions import ServiceException

    try:
        return function(*args)
    except ServiceException as error:
        raise Refusal(error.code, error.message) from error


def ec2_model() -> Any:
    """Return botocore's service model of EC2, the one that moto has loaded."""
    from moto.core.utils import get_service_model

    return get_service_model("ec2")


def all_regions() -> list[dict[str, str]]:
    """Return the Regions of the account's partition, as DescribeRegions shows them."""
    from botocore.session import Session
    from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

    ours = set(Session().get_available_regions("ec2"))
    return [
        {"RegionName": region.name, "Endpoint": region.endpoint, "OptInStatus": region.opt_in_status}
        for region in RegionsAndZonesBackend.regions
        if region.name in ours
    ]


class MotoRegion:
    """The EC2 of one Region as moto keeps it: images, network, keys, templates, disks, tags.

    Args:
        name: The Region's name.
    """

    def __init__(self, name: str) -> None:
        from moto.ec2.models import ec2_backends

        try:
            self._backend = ec2_backends[ACCOUNT][name]
        except KeyError:
            raise Refusal("AuthFailure", f"There is no Region named {name}.") from None
        self.name = name
        self._public = {image.id_in(name): image for image in public_images()}
        for image in public_images():
            self._add_image(image)

    def _add_image(self, image: PublicImage) -> None:
        from moto.ec2.models.amis import Ami

        image_id = image.id_in(self.name)
        if image_id in self._backend.amis:
            return
        self._backend.amis[image_id] = Ami(
            self._backend,
            image_id,
            name=image.name,
            description=image.description,
            owner_id=image.owner,
            owner_alias="amazon" if "amazon" in image.description.lower() else None,
            public=True,
            virtualization_type="hvm",
            architecture=image.architecture,
            image_location=f"amazon/{image.name}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=image.root_device,
            region_name=f"{self.name}a",
        )

    def image(self, image_id: str) -> Image | None:
        """Return an image, or None."""
        ami = self._backend.amis.get(image_id)
        if ami is None:
            return None
        public = self._public.get(image_id)
        if public is not None:
            return public.at(self.name)
        return Image(
            id=image_id,
            architecture=ami.architecture or "x86_64",
            root_device=ami.root_device_name or "/dev/xvda",
            user=self._user_of(ami),
        )

    def _user_of(self, ami: Any) -> str:
        """Return the login user of an image made from a machine: the user of what that machine was made from."""
        source = getattr(ami, "instance", None)
        image = self.image(source.image_id) if source is not None else None
        return image.user if image is not None else "ec2-user"

    def zones(self) -> dict[str, str]:
        """Return the Region's zones: name to zone id."""
        return {zone.name: zone.zone_id for zone in self._backend.describe_availability_zones()}

    def subnet(self, subnet_id: str) -> Subnet:
        """Return a subnet.

        Raises:
            Refusal: there is no such subnet.
        """
        return _subnet(translated(self._backend.get_subnet, subnet_id))

    def default_subnets(self) -> dict[str, Subnet]:
        """Return the default subnets by zone."""
        return {zone: _subnet(found) for zone, found in self._backend.get_default_subnets().items()}

    def maps_public_ip(self, subnet_id: str) -> bool:
        """Tell whether machines in a subnet get a public address by default."""
        return str(self._backend.get_subnet(subnet_id).map_public_ip_on_launch).lower() == "true"

    def group_id(self, name_or_id: str, *, vpc: str) -> str | None:
        """Return the id of a security group given by id, or by name within a network; None if there is none."""
        found = self._backend.get_security_group_from_id(name_or_id)
        if found is None:
            found = self._backend.get_security_group_from_name(name_or_id, vpc)
        return None if found is None else str(found.id)

    def admits_ssh(self, group_ids: Iterable[str], address: str) -> bool:
        """Tell whether one of these groups has a rule that lets an IP address in to port 22."""
        groups = [self._backend.get_security_group_from_id(one) for one in group_ids]
        return any(_admits_ssh(rule, address) for group in groups if group for rule in list(group.ingress_rules))

    def admits_members(self, group_ids: Iterable[str], members: Iterable[str], port: int) -> bool:
        """Tell whether one of these groups has a rule that lets members of another in to a TCP port."""
        wanted = set(members)
        groups = [self._backend.get_security_group_from_id(one) for one in group_ids]
        rules = [rule for group in groups if group for rule in list(group.ingress_rules)]
        return any(_covers(rule, port) and (rule.source_group or {}).get("GroupId") in wanted for rule in rules)

    def volumes_of(self, body: Any) -> list[str]:
        """Return the ids of the volumes that are attached to a machine beside its root disk, by device name."""
        disks = sorted(body.block_device_mapping.items())
        return [str(disk.volume_id) for name, disk in disks if name != body.root_device_name]

    def volume(self, volume_id: str) -> tuple[str, bool] | None:
        """Return a volume's zone, and whether it is attached; None if there is none."""
        found = self._backend.volumes.get(volume_id)
        return None if found is None else (str(found.zone.name), found.attachment is not None)

    def groups_holding(self, group_id: str) -> list[str]:
        """Return what keeps a security group in use: interfaces, and other groups whose rules name it."""
        holders = [eni.id for eni in list(self._backend.enis.values()) if group_id in _groups_of_interface(eni)]
        for groups in list(self._backend.groups.values()):
            holders += [group.id for group in list(groups.values()) if group.id != group_id and _names(group, group_id)]
        return holders

    def public_key(self, name: str) -> str | None:
        """Return the OpenSSH line of a key pair, or None if there is no such pair."""
        pair = self._backend.key_pairs.get(name)
        return None if pair is None else str(pair.material_public.decode()).strip()

    def template(self, *, id: str | None, name: str | None, version: str | None) -> tuple[str, str, dict[str, Any]]:  # noqa: A002
        """Return a launch template's id, the number of the version, and its launch data.

        Raises:
            Refusal: there is no such template or version.
        """
        backend = self._backend
        template = backend.get_launch_template(id) if id else backend.get_launch_template_by_name(name or "")
        if version not in (None, "", "$Default", "$Latest") and not str(version).isdigit():
            raise Refusal("InvalidLaunchTemplateId.VersionNotFound", f"Could not find version {version}.")
        found = template.get_version(version or "$Default")
        return template.id, str(found.number), dict(found.data)

    def instance_profile(self, *, name: str | None, arn: str | None) -> tuple[str, str | None] | None:
        """Return an instance profile's ARN and the name of its role; None if there is no such profile."""
        from moto.iam.models import iam_backends

        backend = iam_backends[ACCOUNT]["aws"]
        for profile in backend.get_instance_profiles():
            if profile.arn == arn or profile.name == name:
                return profile.arn, (profile.roles[0].name if profile.roles else None)
        return None

    def launch(self, launch: Launch, count: int) -> tuple[str, list[Any]]:
        """Make machines' bodies with their disks and interfaces; return the reservation's id and the bodies."""
        from moto.core.types import Base64EncodedString

        data = Base64EncodedString(base64.b64encode(launch.user_data).decode()) if launch.user_data else None
        interface = {"DeviceIndex": 0, "DeleteOnTermination": True, "SubnetId": launch.subnet.id}
        reservation = self._backend.run_instances(
            launch.image.id,
            count,
            data,
            [],
            instance_type=launch.type,
            is_instance_type_default=False,
            region_name=self.name,
            subnet_id=launch.subnet.id,
            security_group_ids=list(launch.groups),
            key_name=launch.key_name,
            nics=[interface],
            tags=launch.tags,
            lifecycle="spot" if launch.spot else None,
            client_token=launch.client_token,
            instance_initiated_shutdown_behavior=launch.shutdown,
            iam_instance_profile=launch.profile,
            metadata_options=launch.metadata_options,
            disable_api_termination=launch.options.get("DisableApiTermination", False),
            ebs_optimized=launch.options.get("EbsOptimized", False),
            monitoring_state="enabled" if launch.options.get("Monitoring", {}).get("Enabled") else "disabled",
            block_device_mappings=[dict(disk) for disk in launch.disks],
        )
        for body in reservation.instances:
            _set_state(body, State.PENDING)
            self.tag([eni.id for eni in body.nics.values()], launch.tags.get("network-interface", {}))
        return reservation.id, list(reservation.instances)

    def address(self, body: Any, *, private: str | None = None, public: str | None = None) -> None:
        """Give a machine's interface the addresses where it can really be reached."""
        eni = body.nics[0]
        if private is not None:
            eni.subnet.del_subnet_ip(eni.private_ip_address)
            eni.private_ip_address = private
            eni.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": private}]
        if public is not None:
            eni.public_ip = public

    def end(self, body: Any) -> None:
        """Take a machine's disks and interfaces away, those that go with it, and their tags."""
        volumes = [mapping.volume_id for mapping in body.block_device_mapping.values()]
        body.terminate()
        for name in volumes:
            if name not in self._backend.volumes:
                self._backend.tags.pop(name, None)  # moto keeps those of disks that it deletes with their machine

    def set_state(self, body: Any, state: State) -> None:
        """Tell moto a machine's state."""
        _set_state(body, state)

    def tag(self, ids: Iterable[str], tags: Mapping[str, str]) -> None:
        """Put tags on resources."""
        if tags:
            self._backend.create_tags(list(ids), dict(tags))

    def tags(self, resource_id: str) -> dict[str, str]:
        """Return a resource's tags."""
        return dict(self._backend.tags.get(resource_id, ()))

    def is_protected(self, body: Any) -> bool:
        """Tell whether a machine has termination protection."""
        return bool(body.disable_api_termination is True)

    def shutdown_behavior(self, body: Any) -> str:
        """Return what the machine's own shutdown does: `stop` or `terminate`."""
        return str(body.instance_initiated_shutdown_behavior)

    def view(self, body: Any) -> dict[str, Any]:
        """Return the parts of DescribeInstances that moto owns: groups, disks and interfaces."""
        groups = [{"GroupId": group.id, "GroupName": group.name} for group in list(body.security_groups)]
        return {
            "SecurityGroups": groups,
            "BlockDeviceMappings": [_disk(name, disk) for name, disk in body.get_block_device_mapping],
            "NetworkInterfaces": [_interface(eni, groups) for eni in list(body.nics.values())],
            "MetadataOptions": {
                "State": "applied",
                "HttpTokens": body.metadata_options.http_tokens,
                "HttpPutResponseHopLimit": body.metadata_options.http_put_response_hop_limit,
                "HttpEndpoint": body.metadata_options.http_endpoint,
                "HttpProtocolIpv6": body.metadata_options.http_protocol_ipv6,
                "InstanceMetadataTags": body.metadata_options.instance_metadata_tags,
            },
            "SourceDestCheck": bool(body.source_dest_check),
        }

    @property
    def has_rules(self) -> bool:
        """Tell whether there may be rules of EventBridge: its part of moto is imported at the first request for it."""
        return "moto.events.models" in sys.modules

    def publish(self, kind: str, detail: Mapping[str, str], *, time: float) -> None:
        """Put an event of EC2's about one machine on the default bus: rules that match send it to their targets.

        Not by moto's PutEvents: that leaves out the account, adds a time of its own, and asks disabled rules, too.
        A target gets the whole event: its transformer of inputs, if it has one, is not asked.

        Args:
            kind: AWS's `detail-type`.
            detail: AWS's `detail`; the machine is its `instance-id`.
            time: The event's own time, seconds since 1970.
        """
        from moto.events.models import events_backends

        event: Any = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": "aws.ec2",
            "account": ACCOUNT,
            "time": time,
            "region": self.name,
            "resources": [f"arn:aws:ec2:{self.name}:{ACCOUNT}:instance/{detail['instance-id']}"],
        }
        for rule in list(events_backends[ACCOUNT][self.name].describe_event_bus("default").rules.values()):
            if rule.state == "ENABLED":
                one: Any = {**event, "detail": dict(detail)}
                rule.send_to_targets(one, transform_input=False)

    def queue_wait_s(self, name: str) -> int:
        """Return how long a queue lets receivers wait who do not say how long; 0 if there is no such queue."""
        from moto.sqs.models import sqs_backends

        queue: Any = sqs_backends[ACCOUNT][self.name].queues.get(name)
        return int(queue.receive_message_wait_time_seconds or 0) if queue is not None else 0

    def types(self) -> dict[str, Any]:
        """Return what EC2 says of each instance type (DescribeInstanceTypes), by name."""
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        return dict(INSTANCE_TYPES)

    def offerings(self) -> dict[str, frozenset[str]]:
        """Return the zones of this Region that offer each instance type, of those zones that moto knows."""
        from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

        known = self.zones()
        zones: dict[str, set[str]] = {}
        for offer in INSTANCE_TYPE_OFFERINGS["availability-zone"].get(self.name, ()):
            if offer["Location"] in known:
                zones.setdefault(offer["InstanceType"], set()).add(offer["Location"])
        return {name: frozenset(found) for name, found in zones.items()}


def _set_state(body: Any, state: State) -> None:
    body._state.code, body._state.name = state.value  # noqa: SLF001  # moto offers no way to say `pending`


def _subnet(found: Any) -> Subnet:
    return Subnet(
        id=found.id,
        vpc=found.vpc_id,
        zone=found.availability_zone,
        zone_id=found.availability_zone_id,
        default=bool(found.default_for_az),
    )


def _groups_of_interface(eni: Any) -> set[str]:
    return {group.id for group in eni.group_set}


def _covers(rule: Any, port: int) -> bool:
    return rule.ip_protocol == "-1" or (
        rule.ip_protocol == "tcp" and int(rule.from_port or 0) <= port <= int(rule.to_port or 65535)
    )


def _admits_ssh(rule: Any, address: str) -> bool:
    cidr = (rule.ip_range or {}).get("CidrIp") or (rule.ip_range or {}).get("CidrIpv6")
    return _covers(rule, 22) and cidr is not None and ip_address(address) in ip_network(cidr, strict=False)


def _names(group: Any, group_id: str) -> bool:
    return any(rule.source_group.get("GroupId") == group_id for rule in [*group.ingress_rules, *group.egress_rules])


def _disk(name: str, disk: Any) -> dict[str, Any]:
    return {
        "DeviceName": name,
        "Ebs": {
            "VolumeId": disk.volume_id,
            "Status": "attached" if disk.status == "in-use" else disk.status,
            "AttachTime": disk.attach_time,
            "DeleteOnTermination": disk.delete_on_termination,
        },
    }


def _interface(eni: Any, groups: list[dict[str, str]]) -> dict[str, Any]:
    public = {"IpOwnerId": "amazon", "PublicIp": eni.public_ip, "PublicDnsName": ""} if eni.public_ip else None
    address = {"Primary": True, "PrivateIpAddress": eni.private_ip_address, "Association": public}
    return {
        "NetworkInterfaceId": eni.id,
        "SubnetId": eni.subnet.id,
        "VpcId": eni.subnet.vpc_id,
        "Description": eni.description,
        "OwnerId": ACCOUNT,
        "Status": eni.status,
        "MacAddress": eni.mac_address,
        "InterfaceType": "interface",
        "SourceDestCheck": True,
        "PrivateIpAddress": eni.private_ip_address,
        "PrivateIpAddresses": [address],
        "Ipv6Addresses": [],
        "Association": public,
        "Groups": groups,
        "Attachment": {
            "AttachmentId": eni.attachment_id,
            "AttachTime": eni.attach_time,
            "DeleteOnTermination": bool(eni.delete_on_termination),
            "DeviceIndex": eni.device_index,
            "Status": "attached",
            "NetworkCardIndex": 0,
        },
    }


def bucket_region(name: str) -> str | None:
    """Return the Region of a bucket; None if there is no such bucket."""
    from moto.s3.models import s3_backends

    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(name)
    return None if bucket is None else str(bucket.region_name)


def role_policies(name: str) -> list[dict[str, Any]]:
    """Return the policies of a role, its own and those attached to it."""
    from moto.iam.models import iam_backends

    role = next((item for item in iam_backends[ACCOUNT]["aws"].get_roles() if item.name == name), None)
    if role is None:
        return []
    attached = (version.document for policy in role.managed_policies.values() for version in _current(policy))
    return [json.loads(document) for document in (*role.policies.values(), *attached)]


def _current(policy: Any) -> list[Any]:
    return [version for version in policy.versions if version.version_id == policy.default_version_id]
