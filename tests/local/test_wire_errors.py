"""What comes back when a request makes no sense: always AWS's form, never HTML. AWS.md 1.6, LOCAL.md."""

import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

import pytest


def post(control, body, *, headers=None):
    request = urllib.request.Request(control.endpoint + "/", data=body, headers=headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def signed(service="ec2", region="us-east-1"):
    scope = (
        f"AWS4-HMAC-SHA256 Credential=AKIA/20261123/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
    return {"Authorization": scope, "Content-Type": "application/x-www-form-urlencoded"}


def code(body):
    return ET.fromstring(body).find(".//Code").text


def test_an_unsigned_request(control):
    status, body = post(control, b"Action=DescribeVpcs")
    assert (status, code(body)) == (403, "MissingAuthenticationToken")


def test_an_unknown_action(control):
    status, body = post(control, b"Action=MakeCoffee&Version=2016-11-15", headers=signed())
    assert (status, code(body)) == (400, "InvalidAction")


def test_an_action_that_moto_lacks(control):
    status, body = post(control, b"Action=DescribeScheduledInstances&Version=2016-11-15", headers=signed())
    assert status >= 400
    assert code(body) in ("InternalError", "UnsupportedOperation", "NotImplemented")


def test_a_number_that_is_none(control):
    status, body = post(control, b"Action=DescribeInstances&MaxResults=many", headers=signed())
    assert (status, code(body)) == (400, "InvalidParameterValue")


def test_a_region_that_does_not_exist(control):
    status, body = post(control, b"Action=DescribeInstances", headers=signed(region="mars-north-1"))
    assert (status, code(body)) == (401, "AuthFailure")


def test_json_services_answer_errors_in_json(control):
    headers = {**signed("ssm"), "X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1"}
    status, body = post(control, b'{"Name": "/aws/service/nothing"}', headers=headers)
    assert status == 400
    assert b'"__type": "ParameterNotFound"' in body
    assert post(control, b"{", headers=headers)[0] == 400


@pytest.mark.parametrize("action", ["RequestSpotInstances", "RequestSpotFleet"])
def test_legacy_spot_actions_are_refused(control, action):
    status, body = post(control, f"Action={action}".encode(), headers=signed())
    assert (status, code(body)) == (400, "UnsupportedOperation")


def test_client_tokens_of_other_actions_count_too(aws, refused):
    asked = {"LaunchTemplateName": f"n-{aws.region}", "ClientToken": "lt"}
    create = aws.ec2.create_launch_template
    first = create(LaunchTemplateData={"ImageId": aws.ami}, **asked)["LaunchTemplate"]
    again = create(LaunchTemplateData={"ImageId": aws.ami}, **asked)["LaunchTemplate"]
    assert first["LaunchTemplateId"] == again["LaunchTemplateId"]
    changed = {"LaunchTemplateData": {"InstanceType": "m5.large"}, **asked}
    assert refused(create, **changed)[0] == "IdempotentParameterMismatch"
    aws.ec2.delete_launch_template(LaunchTemplateId=first["LaunchTemplateId"])
