"""Instance profiles: which there are, and one made for a machine's data, with the rights that copies need and no more.

May import: `aspot.aws`, `store`, `address`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import anyio
import attrs

from aspot.aws.errors import Trouble, to_error
from aspot.aws.service import Service
from aspot.errors import AuthError, CloudError, ConfigError
from aspot.storage import efs
from aspot.storage.address import Address
from aspot.storage.store import Store

PREFIX = "aspot-"
"""Of the roles that we make: the policy that is enough for aspot lets such be passed to machines, and no others."""
POLICY = "aspot-s3"
"""Name of the policy in our roles, by which they are known; of file systems, too."""
ACCESS: Mapping[str, tuple[str, ...]] = {
    "read": ("s3:GetObject",),
    "write": ("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"),
    "delete": (
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    ),
}
"""What each kind of access may do with objects; all may list the bucket (which `HeadBucket` takes, too)."""
MOUNT: Mapping[str, tuple[str, ...]] = {
    "read": ("elasticfilesystem:ClientMount",),
    "write": ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"),
    "delete": ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"),
}
"""What each kind of access may do with a file system (EFS user guide, "Using IAM to control access", 2026)."""
NEEDED: Mapping[str, tuple[str, ...]] = {
    "list": (),
    "read": ("s3:GetObject",),
    "write": ("s3:PutObject",),
    "delete": ("s3:PutObject", "s3:DeleteObject"),
}
"""Without which no sync of this kind can be, beside listing the bucket."""
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,58}")
UNDO_S = 30.0
_TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}

Undo = Callable[[], Awaitable[Any]]


@attrs.frozen(kw_only=True)
class Role:
    """An instance profile with its role.

    Args:
        name: The profile's: what `--instance-profile` takes.
        role: The role's; "" for none.
        created: When the profile was made.
        buckets: Those of a role that we made; None for others.
        access: Likewise: `read`, `write` or `delete`.
        filesystems: Likewise: the ids of file systems that it may mount.
    """

    name: str
    role: str
    created: datetime
    buckets: tuple[str, ...] | None = None
    access: str = ""
    filesystems: tuple[str, ...] = ()


class Roles(Service):
    """The instance profiles of an account. Make it with `Roles.open`."""

    async def all(self) -> list[Role]:
        """Return all, by name.

        Raises:
            CloudError: If they cannot be listed.
        """
        found: list[Role] = []
        more: dict[str, Any] = {}
        try:
            while True:
                answer = await self._aws.call("iam:ListInstanceProfiles", **more)
                found += [await self._role(item) for item in answer["InstanceProfiles"]]
                if not answer.get("IsTruncated"):
                    return sorted(found, key=lambda role: role.name)
                more = {"Marker": answer["Marker"]}
        except Trouble as trouble:
            raise to_error(trouble) from trouble

    async def _role(self, item: dict[str, Any]) -> Role:
        role = next((one["RoleName"] for one in item.get("Roles", ())), "")
        document = await self._policy(role) if role.startswith(PREFIX) else None
        buckets, access, disks = _read(document) if document is not None else (None, "", ())
        return Role(
            name=item["InstanceProfileName"],
            role=role,
            created=item["CreateDate"],
            buckets=buckets,
            access=access,
            filesystems=disks,
        )

    async def _policy(self, role: str) -> dict[str, Any] | None:
        """Return our policy in a role; None if it has none: then it is not ours."""
        try:
            answer = await self._aws.call("iam:GetRolePolicy", RoleName=role, PolicyName=POLICY)
        except Trouble as trouble:
            if trouble.code == "NoSuchEntity":
                return None
            raise
        document = answer["PolicyDocument"]
        return dict(json.loads(document) if isinstance(document, str) else document)

    async def create(self, name: str, buckets: Sequence[str], access: str, filesystems: Sequence[str] = ()) -> str:
        """Make an instance profile and its role, or give one that we made earlier these rights and no others.

        Args:
            name: The profile's.
            buckets: Which it may use.
            access: `read`, `write` or `delete`.
            filesystems: Names or ids of those that it may mount.

        Returns:
            `made` or `changed`.

        Raises:
            ConfigError: If the name cannot be, or is taken by something that we did not make; if a bucket or a file
                system is not there.
            CloudError: If AWS refuses; what was made until then is gone again.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for an instance profile", fix="1 to 58 of A-Z a-z 0-9 _ + = , . @ -"
            )
        for bucket in buckets:
            await self._check(bucket)
        role = _role_of(name)
        try:
            arns = [await self._file_system(item) for item in filesystems]
            document = json.dumps(policy(buckets, access, partition=self._aws.partition, filesystems=arns))
            is_there = await self._is_ours(name, role)
            if is_there:
                await self._allow(role, document)
                return "changed"
            await self._make(name, role, document)
        except Trouble as trouble:
            raise to_error(trouble) from trouble
        return "made"

    async def _check(self, bucket: str) -> None:
        """Refuse a bucket that is not there; one that we may not look into may still be the machine's to use."""
        try:
            await Store(self._aws).check(Address.of(f"s3://{bucket}"))
        except AuthError:
            return

    async def _file_system(self, name: str) -> str:
        """Return the ARN of a file system.

        Raises:
            ConfigError: If it is not there.
        """
        found = await efs.find(self._aws, name)
        if found is None:
            raise efs.absent(self._aws, name)
        return found.arn

    async def check(self, name: str, where: Address, access: str) -> None:
        """Refuse a role that certainly may not use a place in S3; what cannot be known here shows on the machine.

        A bucket's own policy may allow what the role's do not: a role counts as refused only if there is none.

        Args:
            name: Of the instance profile.
            where: The place.
            access: `list`, `read`, `write` or `delete`.

        Raises:
            ConfigError: If there is no such instance profile, or it has no role.
            AuthError: If it may not.
        """
        try:
            answer = await self._aws.call("iam:GetInstanceProfile", InstanceProfileName=name)
            roles = answer["InstanceProfile"]["Roles"]
            if not roles:
                raise ConfigError(
                    f"the instance profile {name!r} has no role", fix="aspot roles ls shows what there is"
                )
            denied = await self._denied(roles[0]["Arn"], where, access)
        except Trouble as trouble:
            if trouble.code == "NoSuchEntity":
                raise ConfigError(
                    f"there is no instance profile {name!r}", fix="aspot roles ls shows what there is"
                ) from trouble
            return
        if denied:
            fix = f"a role that may: aspot roles create NAME --bucket {where.bucket}"
            raise AuthError(
                f"the role of {name} may not use {where}: the permission {denied} is missing",
                code="AccessDenied",
                fix=fix,
            )

    async def _denied(self, role: str, where: Address, access: str) -> str:
        """Return a permission that a role certainly lacks; "" for none."""
        bucket = f"arn:{self._aws.partition}:s3:::{where.bucket}"
        inside = f"{bucket}/{where.folder}aspot"
        for actions, resource in ((("s3:ListBucket",), bucket), (NEEDED[access], inside)):
            if not actions:
                continue
            answer = await self._aws.call(
                "iam:SimulatePrincipalPolicy", PolicySourceArn=role, ActionNames=list(actions), ResourceArns=[resource]
            )
            for found in answer["EvaluationResults"]:
                said = found["EvalDecision"]
                if said == "explicitDeny" or (said != "allowed" and not await self._may_have_policy(where)):
                    return str(found["EvalActionName"])
        return ""

    async def _may_have_policy(self, where: Address) -> bool:
        try:
            await self._aws.call("s3:GetBucketPolicy", Bucket=where.bucket)
        except Trouble as trouble:
            return trouble.code != "NoSuchBucketPolicy"
        return True

    async def _is_ours(self, name: str, role: str) -> bool:
        """Tell whether the profile is there already and ours.

        Raises:
            ConfigError: If it is there, and is not.
        """
        try:
            answer = await self._aws.call("iam:GetInstanceProfile", InstanceProfileName=name)
        except Trouble as trouble:
            if trouble.code == "NoSuchEntity":
                return False
            raise
        roles = [item["RoleName"] for item in answer["InstanceProfile"]["Roles"]]
        if roles != [role] or await self._policy(role) is None:
            raise ConfigError(
                f"there is an instance profile {name!r} that aspot did not make", fix="use it as it is, or another name"
            )
        return True

    async def _make(self, name: str, role: str, document: str) -> None:
        trust = json.dumps({"Version": "2012-10-17", "Statement": [_TRUST]})
        call, undo = self._aws.call, list[Undo]()
        try:
            await self._make_role(role, trust)
            undo.append(lambda: call("iam:DeleteRole", RoleName=role))
            await self._allow(role, document)
            undo.append(lambda: call("iam:DeleteRolePolicy", RoleName=role, PolicyName=POLICY))
            await call("iam:CreateInstanceProfile", InstanceProfileName=name)
            undo.append(lambda: call("iam:DeleteInstanceProfile", InstanceProfileName=name))
            await call("iam:AddRoleToInstanceProfile", InstanceProfileName=name, RoleName=role)
        except BaseException:
            with anyio.move_on_after(UNDO_S, shield=True):
                for step in reversed(undo):
                    await step()
            raise

    async def _make_role(self, role: str, trust: str) -> None:
        text = "Data for machines of aspot; made by `aspot roles create`"
        try:
            await self._aws.call("iam:CreateRole", RoleName=role, AssumeRolePolicyDocument=trust, Description=text)
        except Trouble as trouble:
            if trouble.code != "EntityAlreadyExists":
                raise
            raise ConfigError(
                f"there is a role {role!r} without an instance profile of its name", fix="another name, or delete it"
            ) from trouble

    async def _allow(self, role: str, document: str) -> None:
        await self._aws.call("iam:PutRolePolicy", RoleName=role, PolicyName=POLICY, PolicyDocument=document)

    async def remove(self, name: str) -> None:
        """Delete an instance profile that we made, and its role.

        Raises:
            ConfigError: If there is none, or we did not make it.
            CloudError: If AWS refuses.
        """
        role, call = _role_of(name), self._aws.call
        try:
            if not await self._is_ours(name, role):
                raise ConfigError(f"there is no instance profile {name!r}", fix="aspot roles ls shows what there is")
            await call("iam:RemoveRoleFromInstanceProfile", InstanceProfileName=name, RoleName=role)
            await call("iam:DeleteInstanceProfile", InstanceProfileName=name)
            await call("iam:DeleteRolePolicy", RoleName=role, PolicyName=POLICY)
            await call("iam:DeleteRole", RoleName=role)
        except Trouble as trouble:
            if trouble.code == "DeleteConflict":
                raise CloudError(
                    f"the role {role!r} has more than aspot gave it", code=trouble.code, fix="delete it in the console"
                ) from trouble
            raise to_error(trouble) from trouble


def _role_of(name: str) -> str:
    return name if name.startswith(PREFIX) else PREFIX + name


def policy(
    buckets: Sequence[str], access: str, *, partition: str = "aws", filesystems: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a role may do: list these buckets, that with their objects which the access says, and mount these.

    >>> [rule["Action"] for rule in policy(["data"], "read")["Statement"]]
    [['s3:ListBucket'], ['s3:GetObject']]

    Args:
        buckets: Their names.
        access: `read`, `write` or `delete`.
        partition: AWS's.
        filesystems: ARNs of file systems.
    """
    arns = [f"arn:{partition}:s3:::{bucket}" for bucket in buckets]
    objects = [f"{arn}/*" for arn in arns]
    rules = [
        {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
        for actions, resources in (
            (["s3:ListBucket"], arns),
            (list(ACCESS[access]), objects),
            (list(MOUNT[access]), filesystems),
        )
        if resources
    ]
    return {"Version": "2012-10-17", "Statement": rules}


def _read(document: dict[str, Any]) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return buckets, access and file systems of a policy of ours; "custom" for one that somebody changed."""
    try:
        named = [str(arn) for rule in document["Statement"] for arn in rule["Resource"]]
        partition = named[0].split(":")[1]
    except (KeyError, IndexError, TypeError, AttributeError):
        return (), "custom", ()
    buckets = [arn.rpartition(":")[2] for arn in named if ":s3:::" in arn and not arn.endswith("/*")]
    disks = [arn for arn in named if ":file-system/" in arn]
    kinds = [kind for kind in ACCESS if policy(buckets, kind, partition=partition, filesystems=disks) == document]
    return tuple(buckets), kinds[0] if kinds else "custom", tuple(arn.rpartition("/")[2] for arn in disks)
