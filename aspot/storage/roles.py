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
from aspot.storage.address import Address
from aspot.storage.store import Store

PREFIX = "aspot-"
"""Of the roles that we make: the policy that is enough for aspot lets such be passed to machines, and no others."""
POLICY = "aspot-s3"
"""Name of the policy in our roles, by which they are known."""
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
    """

    name: str
    role: str
    created: datetime
    buckets: tuple[str, ...] | None = None
    access: str = ""


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
        buckets, access = _read(document) if document is not None else (None, "")
        return Role(
            name=item["InstanceProfileName"], role=role, created=item["CreateDate"], buckets=buckets, access=access
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

    async def create(self, name: str, buckets: Sequence[str], access: str) -> str:
        """Make an instance profile and its role, or give one that we made earlier these rights and no others.

        Args:
            name: The profile's.
            buckets: Which it may use.
            access: `read`, `write` or `delete`.

        Returns:
            `made` or `changed`.

        Raises:
            ConfigError: If the name cannot be, or is taken by something that we did not make; if a bucket is not there.
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
            is_there = await self._is_ours(name, role)
            if is_there:
                await self._allow(role, buckets, access)
                return "changed"
            await self._make(name, role, buckets, access)
        except Trouble as trouble:
            raise to_error(trouble) from trouble
        return "made"

    async def _check(self, bucket: str) -> None:
        """Refuse a bucket that is not there; one that we may not look into may still be the machine's to use."""
        try:
            await Store(self._aws).check(Address.of(f"s3://{bucket}"))
        except AuthError:
            return

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

    async def _make(self, name: str, role: str, buckets: Sequence[str], access: str) -> None:
        trust = json.dumps({"Version": "2012-10-17", "Statement": [_TRUST]})
        call, undo = self._aws.call, list[Undo]()
        try:
            await self._make_role(role, trust)
            undo.append(lambda: call("iam:DeleteRole", RoleName=role))
            await self._allow(role, buckets, access)
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
        text = "S3 for machines of aspot; made by `aspot roles create`"
        try:
            await self._aws.call("iam:CreateRole", RoleName=role, AssumeRolePolicyDocument=trust, Description=text)
        except Trouble as trouble:
            if trouble.code != "EntityAlreadyExists":
                raise
            raise ConfigError(
                f"there is a role {role!r} without an instance profile of its name", fix="another name, or delete it"
            ) from trouble

    async def _allow(self, role: str, buckets: Sequence[str], access: str) -> None:
        document = json.dumps(policy(buckets, access, partition=self._aws.partition))
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


def policy(buckets: Sequence[str], access: str, *, partition: str = "aws") -> dict[str, Any]:
    """Return what a role may do: list these buckets, and that with their objects which the access says.

    >>> [rule["Action"] for rule in policy(["data"], "read")["Statement"]]
    [['s3:ListBucket'], ['s3:GetObject']]
    """
    arns = [f"arn:{partition}:s3:::{bucket}" for bucket in buckets]
    rules = [
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": arns},
        {"Effect": "Allow", "Action": list(ACCESS[access]), "Resource": [f"{arn}/*" for arn in arns]},
    ]
    return {"Version": "2012-10-17", "Statement": rules}


def _read(document: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return buckets and access of a policy of ours; "custom" for one that somebody changed."""
    try:
        buckets = [arn.rpartition(":")[2] for arn in document["Statement"][0]["Resource"]]
        partition = document["Statement"][0]["Resource"][0].split(":")[1]
    except (KeyError, IndexError, TypeError, AttributeError):
        return (), "custom"
    kinds = [kind for kind in ACCESS if policy(buckets, kind, partition=partition) == document]
    return tuple(buckets), kinds[0] if kinds else "custom"
