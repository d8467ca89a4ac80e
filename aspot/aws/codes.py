"""AWS's error codes: what each means, what a launch does about it, and what a user can do. Data only.

After the errors overview of the EC2 API reference, botocore's list of throttling codes, and measurements on real
accounts (gathered 2026-11-23). May import machine only.
"""

from __future__ import annotations

import enum

from aspot.machine.pool import RefusalKind


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
        " FileSystemLimitExceeded ThroughputLimitExceeded AttachmentLimitExceeded"
    ),
    Cause.FLEET_QUOTA: "MaxSpotFleetRequestCountExceeded MaxFleetCountExceeded FleetLimitExceeded",
    Cause.THROTTLED: (
        "RequestLimitExceeded Throttling ThrottlingException ThrottledException RequestThrottled"
        " RequestThrottledException EC2ThrottledException"
        " TooManyRequestsException SlowDown BandwidthLimitExceeded PriorRequestNotComplete"
        " ProvisionedThroughputExceededException LimitExceededException TransactionInProgressException OverLimit"
    ),
    Cause.LOST: (
        "InternalError InternalFailure InternalServerError ServiceUnavailable Unavailable RequestTimeout"
        " BadDigest IncompleteBody"  # damaged or cut off on the way to S3
    ),
    Cause.TOO_MANY: "ResourceCountExceeded RequestResourceCountExceeded",
    Cause.NOT_FOUND: (
        "InvalidInstanceID.NotFound InvalidGroup.NotFound InvalidSecurityGroupID.NotFound"
        " InvalidSecurityGroupId.NotFound InvalidLaunchTemplateId.NotFound"
        " InvalidLaunchTemplateId.VersionNotFound InvalidKeyPair.NotFound"
        " InvalidLaunchTemplateName.NotFoundException InvalidSubnetID.NotFound InvalidVpcID.NotFound"
        " InvalidSpotInstanceRequestID.NotFound InvalidVolume.NotFound InvalidNetworkInterfaceID.NotFound"
        " ParameterNotFound NoSuchResourceException ResourceNotFoundException"
        " AWS.SimpleQueueService.NonExistentQueue QueueDoesNotExist FileSystemNotFound MountTargetNotFound"
        " NoSuchBucket NoSuchKey NoSuchUpload NoSuchEntity 404"
    ),
    Cause.DUPLICATE: (
        "QueueAlreadyExists QueueNameExists InvalidGroup.Duplicate InvalidPermission.Duplicate InvalidKeyPair.Duplicate"
        " InvalidLaunchTemplateName.AlreadyExistsException EntityAlreadyExists"
        " FileSystemAlreadyExists MountTargetConflict"
    ),
    Cause.BUSY: (
        "IncorrectInstanceState IncorrectState VolumeInUse DependencyViolation ConcurrentTagAccess"
        " ConcurrentModificationException AWS.SimpleQueueService.QueueDeletedRecently QueueDeletedRecently"
        " DeleteConflict"
        " FileSystemInUse IncorrectFileSystemLifeCycleState IncorrectMountTargetState IncorrectAttachmentState"
    ),
    Cause.EXPIRED: "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    Cause.AUTH: (
        "UnauthorizedOperation AuthFailure InvalidClientTokenId SignatureDoesNotMatch Blocked OptInRequired"
        " PendingVerification OperationNotPermitted AuthFailure.ServiceLinkedRoleCreationNotPermitted AccessDenied"
        " AccessDeniedException UnrecognizedClientException InvalidSignatureException RequestTimeTooSkewed"
        " MissingAuthenticationToken IncompleteSignature SsmAccessDenied NotAuthorized"
        " InvalidAccessKeyId AllAccessDisabled 403"
    ),
    Cause.REQUEST: (
        "InvalidAMIID.NotFound InvalidAMIID.Malformed InvalidAMIID.Unavailable InvalidParameter"
        " InvalidParameterCombination InvalidParameterValue MissingParameter UnknownParameter ValidationError"
        " ValidationException UnsupportedOperation InvalidInstanceType InvalidBlockDeviceMapping"
        " IdempotentParameterMismatch InvalidKey.Format VPCIdNotSpecified DefaultVpcDoesNotExist"
        " InvalidUserData.Malformed InvalidInstanceID.Malformed InvalidGroupId.Malformed FilterLimitExceeded"
        " PermanentRedirect AuthorizationHeaderMalformed InvalidBucketName PreconditionFailed InvalidPart"
        " InvalidPartOrder EntityTooSmall EntityTooLarge KeyTooLongError 301 412"
        " BadRequest SubnetNotFound SecurityGroupNotFound AvailabilityZonesMismatch UnsupportedAvailabilityZone"
        " InvalidVolume.ZoneMismatch"
    ),
    Cause.GRANTED: "DryRunOperation",
}
RULES_FULL = ("events:PutRule", "LimitExceededException")
"""The call and the code that say that an account has no room for another rule: elsewhere that code means throttled."""

CAUSE_OF: dict[str, Cause] = {code: cause for cause, codes in _CODES.items() for code in codes.split()}

LAUNCH_KINDS: dict[Cause, RefusalKind] = {
    Cause.CAPACITY: RefusalKind.NO_CAPACITY,
    Cause.NOT_TRIED: RefusalKind.NOT_TRIED,
    Cause.PRICE: RefusalKind.PRICE,
    Cause.UNSUPPORTED: RefusalKind.UNSUPPORTED,
    Cause.QUOTA: RefusalKind.QUOTA,
    Cause.FLEET_QUOTA: RefusalKind.QUOTA,
    Cause.THROTTLED: RefusalKind.THROTTLED,
    Cause.UNREACHABLE: RefusalKind.UNREACHABLE,
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
PERMISSION = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
"""The credentials are good, and do not allow this."""
WHOLE_REQUEST = frozenset({RefusalKind.THROTTLED, RefusalKind.UNREACHABLE, RefusalKind.AUTH_EXPIRED, RefusalKind.FATAL})
TRANSIENT = frozenset({Cause.THROTTLED, Cause.LOST, Cause.UNREACHABLE})

LOGIN_FIX = "log in again (`aws sso login`, or new keys), then repeat"
CREDENTIALS_FIX = (
    "run `aws configure` or `aws sso login`, or set AWS_PROFILE; to try aspot without an account:"
    ' eval "$(aspot local up)"'
)
FIXES: dict[str, str] = {
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
    "InvalidAccessKeyId": CREDENTIALS_FIX,
    "UnrecognizedClientException": CREDENTIALS_FIX,
    "AuthFailure": CREDENTIALS_FIX,
}
