"""What AWS's error codes mean, classed once: by code, never by text.

The table follows the errors overview of the EC2 API reference and measurements on real accounts (gathered 2026-11-23).
May import machine and errors; botocore only inside functions, since importing it is slow.
"""

from __future__ import annotations

import enum
import logging
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aspot.errors import AuthError, CapacityError, CloudError, ConfigError, QuotaError, ThrottledError
from aspot.machine.pool import Pool, Refusal, RefusalKind
from aspot.ports import CloudUnavailable, CredentialsExpired

log = logging.getLogger(__name__)

SKEW_S = 240.0
"""AWS refuses signatures that are 5 minutes off (EC2: 15); report a little before that."""


class Cause(enum.Enum):
    """What an error of AWS means for us."""

    CAPACITY = "no capacity"
    NOT_TRIED = "pool not tried"
    PRICE = "max price too low"
    UNSUPPORTED = "not offered there"
    QUOTA = "a limit of the account"
    FLEET_QUOTA = "a limit of CreateFleet alone"
    THROTTLED = "too many requests"
    LOST = "no usable answer: it may have happened"
    UNREACHABLE = "not sent: it did not happen"
    TOO_MANY = "too many in one request"
    NOT_FOUND = "does not exist, or not yet"
    DUPLICATE = "exists already"
    BUSY = "not in its present state"
    EXPIRED = "credentials expired"
    AUTH = "credentials or permissions"
    REQUEST = "the request is at fault"
    GRANTED = "a dry run would have succeeded"
    UNKNOWN = "unknown code"


_CODES: dict[Cause, str] = {
    Cause.CAPACITY: (
        "InsufficientInstanceCapacity InsufficientHostCapacity InsufficientCapacity InsufficientVolumeCapacity"
        " InsufficientFreeAddressesInSubnet ReservationCapacityExceeded"
    ),
    Cause.NOT_TRIED: "UnfulfillableCapacity IdempotentInstanceTerminated",
    Cause.PRICE: "SpotMaxPriceTooLow",
    Cause.UNSUPPORTED: "Unsupported InvalidFleetConfiguration VolumeTypeNotAvailableInZone InvalidZone.NotFound",
    Cause.QUOTA: (
        "MaxSpotInstanceCountExceeded VcpuLimitExceeded InstanceLimitExceeded VolumeLimitExceeded MaxIOPSLimitExceeded"
        " NetworkInterfaceLimitExceeded AddressLimitExceeded ResourceLimitExceeded SecurityGroupLimitExceeded"
        " LaunchTemplateLimitExceeded RulesPerSecurityGroupLimitExceeded"
    ),
    Cause.FLEET_QUOTA: "MaxSpotFleetRequestCountExceeded MaxFleetCountExceeded FleetLimitExceeded",
    Cause.THROTTLED: (
        "RequestLimitExceeded Throttling ThrottlingException ThrottledException RequestThrottled"
        " RequestThrottledException EC2ThrottledException"
        " TooManyRequestsException SlowDown BandwidthLimitExceeded PriorRequestNotComplete"
        " ProvisionedThroughputExceededException LimitExceededException TransactionInProgressException"
    ),
    Cause.LOST: "InternalError InternalFailure InternalServerError ServiceUnavailable Unavailable RequestTimeout",
    Cause.TOO_MANY: "ResourceCountExceeded RequestResourceCountExceeded",
    Cause.NOT_FOUND: (
        "InvalidInstanceID.NotFound InvalidGroup.NotFound InvalidSecurityGroupID.NotFound"
        " InvalidSecurityGroupId.NotFound InvalidLaunchTemplateId.NotFound"
        " InvalidLaunchTemplateId.VersionNotFound InvalidKeyPair.NotFound"
        " InvalidLaunchTemplateName.NotFoundException InvalidSubnetID.NotFound InvalidVpcID.NotFound"
        " InvalidSpotInstanceRequestID.NotFound ParameterNotFound NoSuchResourceException"
    ),
    Cause.DUPLICATE: (
        "InvalidGroup.Duplicate InvalidPermission.Duplicate InvalidKeyPair.Duplicate"
        " InvalidLaunchTemplateName.AlreadyExistsException"
    ),
    Cause.BUSY: "IncorrectInstanceState IncorrectState VolumeInUse DependencyViolation ConcurrentTagAccess",
    Cause.EXPIRED: "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    Cause.AUTH: (
        "UnauthorizedOperation AuthFailure InvalidClientTokenId SignatureDoesNotMatch Blocked OptInRequired"
        " PendingVerification OperationNotPermitted AuthFailure.ServiceLinkedRoleCreationNotPermitted AccessDenied"
        " AccessDeniedException UnrecognizedClientException InvalidSignatureException RequestTimeTooSkewed"
        " MissingAuthenticationToken IncompleteSignature SsmAccessDenied NotAuthorized"
    ),
    Cause.REQUEST: (
        "InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable InvalidParameter"
        " InvalidParameterCombination InvalidParameterValue MissingParameter UnknownParameter ValidationError"
        " ValidationException UnsupportedOperation InvalidInstanceType InvalidBlockDeviceMapping"
        " IdempotentParameterMismatch InvalidKey.Format VPCIdNotSpecified DefaultVpcDoesNotExist"
        " InvalidUserData.Malformed InvalidInstanceID.Malformed InvalidGroupId.Malformed FilterLimitExceeded"
    ),
    Cause.GRANTED: "DryRunOperation",
}
CAUSE_OF: dict[str, Cause] = {code: cause for cause, codes in _CODES.items() for code in codes.split()}

LAUNCH_KINDS: dict[Cause, RefusalKind] = {
    Cause.CAPACITY: RefusalKind.NO_CAPACITY,
    Cause.NOT_TRIED: RefusalKind.NOT_TRIED,
    Cause.PRICE: RefusalKind.PRICE,
    Cause.UNSUPPORTED: RefusalKind.UNSUPPORTED,
    Cause.QUOTA: RefusalKind.QUOTA,
    Cause.FLEET_QUOTA: RefusalKind.QUOTA,
    Cause.THROTTLED: RefusalKind.THROTTLED,
    Cause.UNREACHABLE: RefusalKind.THROTTLED,
    Cause.LOST: RefusalKind.THROTTLED,  # only inside a fleet's answer: there it says that nothing came of it
    Cause.TOO_MANY: RefusalKind.NO_CAPACITY,
    Cause.BUSY: RefusalKind.THROTTLED,
    Cause.EXPIRED: RefusalKind.AUTH_EXPIRED,
    Cause.AUTH: RefusalKind.FATAL,
    Cause.REQUEST: RefusalKind.FATAL,
    Cause.NOT_FOUND: RefusalKind.FATAL,
    Cause.DUPLICATE: RefusalKind.FATAL,
    Cause.GRANTED: RefusalKind.FATAL,
    Cause.UNKNOWN: RefusalKind.NO_CAPACITY,  # other pool, said loudly; the capacity time-out keeps it finite
}
WHOLE_REQUEST = frozenset({RefusalKind.THROTTLED, RefusalKind.AUTH_EXPIRED, RefusalKind.FATAL})
TRANSIENT = frozenset({Cause.THROTTLED, Cause.LOST, Cause.UNREACHABLE})

_BLOB = re.compile(r"\s*Encoded authorization failure message: (\S+)")
LOGIN_FIX = "log in again (`aws sso login`, or new keys), then repeat"
CREDENTIALS_FIX = (
    "run `aws configure` or `aws sso login`, or set AWS_PROFILE; to try aspot without an account:"
    ' eval "$(aspot local up)"'
)
_FIXES: dict[str, str] = {
    "UnauthorizedOperation": "`aspot doctor` lists every permission that is missing",
    "AccessDenied": "`aspot doctor` lists every permission that is missing",
    "AccessDeniedException": "`aspot doctor` lists every permission that is missing",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (
        "an administrator runs, once per account:"
        " aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
    ),
    "OptInRequired": "enable the region or service for this account in the console, or use another region",
    "PendingVerification": "AWS is verifying the account: try again in some hours",
    "Blocked": "AWS has blocked the account: contact AWS support",
    "OperationNotPermitted": "switch termination protection off, or use credentials that may do this",
    "InvalidAMIID.NotFound": "an image belongs to one region: give the id it has there, or a name such as al2023",
    "InvalidKeyPair.NotFound": "name a key pair of this region (`aws ec2 describe-key-pairs`), or leave key_pair out",
    "InvalidBlockDeviceMapping": "give a larger disk: it must hold the image",
    "SpotMaxPriceTooLow": "leave max_price out, as AWS advises, or raise it",
    "InvalidClientTokenId": CREDENTIALS_FIX,
    "UnrecognizedClientException": CREDENTIALS_FIX,
    "AuthFailure": CREDENTIALS_FIX,
}


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
        cause_of(code, http),
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
    if trouble.cause is Cause.UNREACHABLE:
        return "check the network, the region's name, proxies, and AWS_ENDPOINT_URL if it is set"
    if trouble.cause is Cause.AUTH and trouble.code in (
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
    ):
        return f"ask for the permission {trouble.operation}; {_FIXES[trouble.code]}"
    if trouble.cause is Cause.QUOTA:
        return "end other instances, or ask for more: https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"
    return _FIXES.get(trouble.code, "")


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
