"""Codes are classed once, as AWS.md 1.6 has them."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from botocore import exceptions as botocore

from aspot import errors as public
from aspot.aws.codes import CAUSE_OF, LAUNCH_KINDS, Cause
from aspot.aws.errors import Trouble, cause_of, examine, fix_for, refusal, to_error, to_pause
from aspot.machine.pool import Pool, RefusalKind
from aspot.ports import CloudUnavailable, CredentialsExpired

POOL = Pool("c7i.large", "us-east-1a")


def refused(code, message="no", *, http=400, date=""):
    meta = {"RequestId": "req-9", "HTTPStatusCode": http, "HTTPHeaders": {"date": date} if date else {}}
    error = botocore.ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "CreateFleet")
    return examine(error, "ec2:CreateFleet")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InsufficientInstanceCapacity", RefusalKind.NO_CAPACITY),
        ("InsufficientFreeAddressesInSubnet", RefusalKind.NO_CAPACITY),
        ("UnfulfillableCapacity", RefusalKind.NOT_TRIED),
        ("IdempotentInstanceTerminated", RefusalKind.NOT_TRIED),
        ("SpotMaxPriceTooLow", RefusalKind.PRICE),
        ("Unsupported", RefusalKind.UNSUPPORTED),
        ("InvalidFleetConfiguration", RefusalKind.UNSUPPORTED),
        ("MaxSpotInstanceCountExceeded", RefusalKind.QUOTA),
        ("VcpuLimitExceeded", RefusalKind.QUOTA),
        ("RequestLimitExceeded", RefusalKind.THROTTLED),
        ("EC2ThrottledException", RefusalKind.THROTTLED),
        ("RequestExpired", RefusalKind.AUTH_EXPIRED),
        ("UnauthorizedOperation", RefusalKind.FATAL),
        ("OptInRequired", RefusalKind.FATAL),
        ("IdempotentParameterMismatch", RefusalKind.FATAL),
        ("InvalidAMIID.NotFound", RefusalKind.FATAL),
        ("InvalidParameterValue", RefusalKind.FATAL),
        ("SomethingQuiteNew", RefusalKind.NO_CAPACITY),
    ],
)
def test_refused_launch_asks_the_right_thing(code, kind):
    assert refusal(refused(code), POOL).kind is kind


def test_every_cause_says_what_a_launch_does():
    assert set(LAUNCH_KINDS) == set(Cause)


def test_no_code_is_classed_twice():
    from aspot.aws import codes

    listed = [code for text in codes._CODES.values() for code in text.split()]
    assert len(listed) == len(set(listed)) == len(CAUSE_OF)


def test_refusals_of_the_whole_request_name_no_pool():
    assert refusal(refused("UnauthorizedOperation"), POOL).pool is None
    assert refusal(refused("InsufficientInstanceCapacity"), POOL).pool == POOL


def test_unknown_code_of_a_failing_server_is_a_lost_answer():
    assert cause_of("Strange", 503) is Cause.LOST
    assert cause_of("Strange", 400) is Cause.UNKNOWN
    assert cause_of("InvalidParameterDependency") is Cause.REQUEST


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (botocore.EndpointConnectionError(endpoint_url="http://x"), Cause.UNREACHABLE),
        (botocore.ConnectTimeoutError(endpoint_url="http://x"), Cause.UNREACHABLE),
        (botocore.ReadTimeoutError(endpoint_url="http://x"), Cause.LOST),
        (botocore.ConnectionClosedError(endpoint_url="http://x"), Cause.LOST),
        (TimeoutError(), Cause.LOST),
        (botocore.NoCredentialsError(), Cause.EXPIRED),
        (botocore.TokenRetrievalError(provider="sso", error_msg="x"), Cause.EXPIRED),
    ],
)
def test_failures_without_an_answer(error, cause):
    assert examine(error, "ec2:RunInstances").cause is cause


@pytest.mark.parametrize("bug", [botocore.ParamValidationError(report="x"), ValueError("x")])
def test_our_own_bugs_are_not_aws_trouble(bug):
    assert examine(bug, "ec2:RunInstances") is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UnauthorizedOperation", public.AuthError),
        ("ExpiredToken", public.AuthError),
        ("VcpuLimitExceeded", public.QuotaError),
        ("InsufficientInstanceCapacity", public.CapacityError),
        ("Throttling", public.ThrottledError),
        ("InvalidParameterValue", public.CloudError),
    ],
)
def test_public_error_has_code_request_id_and_class(code, kind):
    error = to_error(refused(code))
    assert type(error) is kind
    assert (error.code, error.request_id) == (code, "req-9")
    assert pickle.loads(pickle.dumps(error)).code == code


def test_missing_permission_names_the_action_and_drops_the_blob():
    blob = "Encoded authorization failure message: " + "x" * 400
    error = to_error(refused("UnauthorizedOperation", f"You are not authorized to perform this operation. {blob}"))
    assert "ec2:CreateFleet" in error.fix
    assert "aspot doctor" in error.fix
    assert "xxxx" not in str(error)


def test_wrong_clock_is_said_in_seconds():
    date = format_datetime(datetime.now(UTC) - timedelta(seconds=900), usegmt=True)
    error = to_error(refused("SignatureDoesNotMatch", date=date))
    assert "your clock is 9" in str(error)
    assert "ahead of AWS's" in str(error)
    assert "timedatectl" in error.fix


def test_right_clock_is_not_blamed():
    date = format_datetime(datetime.now(UTC), usegmt=True)
    assert "clock" not in str(to_error(refused("RequestExpired", date=date)))
    assert "clock" not in str(to_error(refused("RequestExpired", date="not a date")))


def test_pauses():
    assert isinstance(to_pause(refused("ExpiredToken")), CredentialsExpired)
    assert isinstance(to_pause(refused("UnauthorizedOperation")), CredentialsExpired)
    assert isinstance(to_pause(refused("Unavailable", http=503)), CloudUnavailable)
    assert isinstance(to_pause(refused("SomethingQuiteNew")), CloudUnavailable)


@pytest.mark.parametrize(
    "code", ["OptInRequired", "PendingVerification", "MaxSpotInstanceCountExceeded", "InvalidAMIID.NotFound"]
)
def test_troubles_of_the_account_have_a_fix(code):
    assert fix_for(refused(code))


def test_unreachable_endpoint_has_a_fix():
    error = to_error(Trouble(Cause.UNREACHABLE, "EndpointConnectionError", "Could not connect", operation="ec2:X"))
    assert "cannot be reached" in str(error)
    assert "AWS_ENDPOINT_URL" in error.fix
    assert json.dumps(error.code) == '"EndpointConnectionError"'
