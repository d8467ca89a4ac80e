"""Failures of calls to AWS, classed once, by code and never by text; and what others see of them.

May import machine, errors and ports; botocore only inside functions, since importing it is slow.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aspot.aws.codes import CAUSE_OF, FIXES, LAUNCH_KINDS, LOGIN_FIX, PERMISSION, RULES_FULL, WHOLE_REQUEST, Cause
from aspot.errors import AuthError, CapacityError, CloudError, ConfigError, QuotaError, ThrottledError
from aspot.machine.pool import Pool, Refusal
from aspot.ports import CloudUnavailable, CredentialsExpired

log = logging.getLogger(__name__)

SKEW_S = 240.0
"""AWS refuses signatures that are 5 minutes off (EC2: 15); report a little before that."""


_BLOB = re.compile(r"\s*Encoded authorization failure message: (\S+)")


class Trouble(Exception):
    """One call to AWS that did not succeed.

    Args:
        cause: What it means.
        code: AWS's code, or the name of botocore's exception.
        message: AWS's message, without its encoded part.
        operation: As in a policy, such as `ec2:CreateFleet`.
        request_id: AWS's request id.
        skew_s: How far the local clock is ahead of AWS's, in seconds; 0 if unknown.
        blob: The encoded authorization message, for `sts:DecodeAuthorizationMessage`.
    """

    def __init__(
        self,
        cause: Cause,
        code: str,
        message: str,
        *,
        operation: str = "",
        request_id: str = "",
        skew_s: float = 0.0,
        blob: str = "",
    ) -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.cause, self.code, self.message, self.operation = cause, code, message, operation
        self.request_id, self.skew_s, self.blob = request_id, skew_s, blob


def cause_of(code: str, http: int = 0) -> Cause:
    """Return what a code means; an unknown one of a failing server counts as a lost answer."""
    known = CAUSE_OF.get(code)
    if known is not None:
        return known
    if code.startswith("InvalidParameter"):
        return Cause.REQUEST
    return Cause.LOST if http >= 500 else Cause.UNKNOWN


def examine(error: Exception, operation: str) -> Trouble | None:
    """Return what an exception of botocore, aiohttp or the network means; None if it is a bug of ours."""
    from botocore import exceptions as botocore

    if isinstance(error, botocore.ClientError):
        return _refused(dict(error.response), operation)
    if isinstance(error, botocore.ParamValidationError):
        return None
    name = type(error).__name__
    if isinstance(error, botocore.EndpointConnectionError | botocore.ConnectTimeoutError | botocore.SSLError):
        return Trouble(Cause.UNREACHABLE, name, str(error), operation=operation)
    if isinstance(error, _credential_errors()):
        return Trouble(Cause.EXPIRED, name, str(error), operation=operation)
    if isinstance(error, botocore.BotoCoreError | OSError):  # TimeoutError is an OSError
        return Trouble(Cause.LOST, name, str(error) or "no answer in time", operation=operation)
    return None


def _credential_errors() -> tuple[type[Exception], ...]:
    from botocore import exceptions as botocore

    return (
        botocore.NoCredentialsError,
        botocore.PartialCredentialsError,
        botocore.CredentialRetrievalError,
        botocore.TokenRetrievalError,
        botocore.UnauthorizedSSOTokenError,
        botocore.SSOError,
    )


def _refused(response: dict[str, Any], operation: str) -> Trouble:
    error, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, http = str(error.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
    text = str(error.get("Message", ""))
    blob = _BLOB.search(text)
    return Trouble(
        Cause.QUOTA if (operation, code) == RULES_FULL else cause_of(code, http),
        code,
        _BLOB.sub("", text).strip(),
        operation=operation,
        request_id=str(meta.get("RequestId", "")),
        skew_s=_skew(meta.get("HTTPHeaders", {}).get("date", "")),
        blob=blob[1] if blob else "",
    )


def _skew(date: str) -> float:
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def refusal(trouble: Trouble, pool: Pool | None = None) -> Refusal:
    """Return what a refused launch asks of us; refusals of the whole request name no pool."""
    kind = LAUNCH_KINDS[trouble.cause]
    if trouble.cause is Cause.UNKNOWN:
        log.warning("unknown error code of EC2", extra={"code": trouble.code, "aws_message": trouble.message})
    return Refusal(
        kind=kind,
        code=trouble.code,
        message=trouble.message[:300],
        pool=None if kind in WHOLE_REQUEST else pool,
        fix=fix_for(trouble),
    )


def fix_for(trouble: Trouble) -> str:
    """Return what the user can do about it; "" if nothing is known."""
    if is_skewed(trouble):
        return "set the clock (timedatectl set-ntp true), then repeat"
    if trouble.cause is Cause.EXPIRED:
        return LOGIN_FIX
    if trouble.code == "SSLError":
        return (
            "if a proxy of yours opens TLS, AWS_CA_BUNDLE=FILE names its authority; else somebody listens: do not go on"
        )
    if trouble.cause is Cause.UNREACHABLE:
        return "check the network, the region's name, proxies, and AWS_ENDPOINT_URL if it is set"
    if trouble.code in PERMISSION:
        return f"ask for the permission {trouble.operation}; {FIXES[trouble.code]}"
    if (trouble.operation, trouble.code) == RULES_FULL:
        return (
            "delete rules that nobody needs (aws events list-rules; those called aspot-...: aspot clean), or ask for"
            " more: https://console.aws.amazon.com/servicequotas/home/services/events/quotas"
        )
    if trouble.cause is Cause.QUOTA:
        return "end other instances, or ask for more: https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"
    if trouble.cause is Cause.THROTTLED:
        return "wait a minute, then repeat: the limit is the whole account's, whoever uses it"
    return FIXES.get(trouble.code, "")


def is_skewed(trouble: Trouble) -> bool:
    """Tell whether a refused signature is due to a wrong local clock."""
    return trouble.cause in (Cause.AUTH, Cause.EXPIRED) and abs(trouble.skew_s) > SKEW_S


def to_error(trouble: Trouble) -> CloudError | ConfigError:
    """Return the public error for a call that had to succeed."""
    kind = _KINDS.get(trouble.cause, CloudError)
    return kind(_sentence(trouble), code=trouble.code, request_id=trouble.request_id, fix=fix_for(trouble))


def _sentence(trouble: Trouble) -> str:
    if is_skewed(trouble):
        way = "ahead of" if trouble.skew_s > 0 else "behind"
        return f"your clock is {abs(trouble.skew_s):.0f} s {way} AWS's, so it refuses the signature"
    if trouble.cause is Cause.UNREACHABLE:
        return f"AWS cannot be reached: {trouble.message}"
    if trouble.cause is Cause.EXPIRED:
        return f"AWS takes these credentials no longer ({trouble.code}): {trouble.message}"
    if (trouble.operation, trouble.code) == RULES_FULL:
        return f"EventBridge has no room for another rule of this account in this region: {trouble.message}"
    return f"AWS refused {trouble.operation} ({trouble.code}): {trouble.message}"


_KINDS: dict[Cause, type[CloudError]] = {
    Cause.AUTH: AuthError,
    Cause.EXPIRED: AuthError,
    Cause.QUOTA: QuotaError,
    Cause.FLEET_QUOTA: QuotaError,
    Cause.CAPACITY: CapacityError,
    Cause.THROTTLED: ThrottledError,
}


def to_pause(trouble: Trouble) -> CloudUnavailable | CredentialsExpired:
    """Return the exception for a call that may be repeated later, while jobs go on."""
    if trouble.cause in (Cause.EXPIRED, Cause.AUTH):
        return CredentialsExpired(f"{_sentence(trouble)}; {fix_for(trouble)}")
    return CloudUnavailable(_sentence(trouble))
