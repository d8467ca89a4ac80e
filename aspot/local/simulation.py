"""IAM's policy simulator, as far as the local cloud needs it: which of some actions a role's own policies allow.

moto has none. May import: cloud, moto_seams, permissions, refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from aspot.local.cloud import Cloud
from aspot.local.moto_seams import role_policies
from aspot.local.permissions import decision
from aspot.local.refusal import Refusal

__all__ = ["simulate"]

_SPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


async def simulate(cloud: Cloud, form: Mapping[str, str], *, request_id: str) -> str:
    """Return the answer to SimulatePrincipalPolicy for a role (IAM API reference, 2026).

    Raises:
        Refusal: If it is about something else.
    """
    _, is_role, role = form.get("PolicySourceArn", "").rpartition(":role/")
    if not is_role:
        raise Refusal("InvalidInput", "The local cloud simulates the policies of roles only.")
    documents = await cloud.moto.call(role_policies, role)
    rows = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalDecision>{decision(documents, action, resource)}</EvalDecision></member>"
        for action in _members(form, "ActionNames")
        for resource in _members(form, "ResourceArns") or ["*"]
    )
    return (
        f'<SimulatePrincipalPolicyResponse xmlns="{_SPACE}"><SimulatePrincipalPolicyResult><IsTruncated>false'
        f"</IsTruncated><EvaluationResults>{rows}</EvaluationResults></SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )


def _members(form: Mapping[str, str], name: str) -> list[str]:
    found: list[str] = []
    while (value := form.get(f"{name}.member.{len(found) + 1}")) is not None:
        found.append(value)
    return found
