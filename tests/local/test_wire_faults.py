"""Throttling and the faults that one asks for: AWS.md 1.6, 2; FAULTS.md A."""

import socket
from functools import partial

import botocore.exceptions
import pytest

from aspot.errors import ConfigError
from aspot.local.refusal import Refusal
from aspot.local.throttle import Throttle


def test_the_sixth_launch_at_once_is_throttled_and_two_a_second_come_back(aws, refused):
    def launch_until_throttled():
        for number in range(60):
            try:
                aws.run(InstanceType="m5.gigantic")
            except botocore.exceptions.ClientError as error:
                answer = error.response
                if answer["Error"]["Code"] == "RequestLimitExceeded":
                    return number, answer["ResponseMetadata"]["HTTPStatusCode"]
        return None

    number, status = launch_until_throttled()
    assert number >= 5
    assert status == 503


def test_buckets_are_those_of_the_table():
    throttle = Throttle()
    for action, burst, refill in (("RunInstances", 5, 2), ("CreateFleet", 50, 5), ("TerminateInstances", 100, 5)):
        assert taken(throttle, action, {}, now=100.0) == burst
        assert taken(throttle, action, {}, now=101.0) == refill
        assert taken(throttle, action, {}, now=10_000.0) == burst


def test_unbounded_reads_have_a_smaller_bucket():
    throttle = Throttle()
    assert taken(throttle, "DescribeInstances", {}, now=0.0) == 50
    assert taken(throttle, "DescribeInstances", {"MaxResults": 5}, now=0.0) == 100
    assert taken(throttle, "DescribeSubnets", {}, now=0.0) == 100


def test_regions_have_buckets_of_their_own():
    throttle = Throttle()
    assert taken(throttle, "RunInstances", {}, now=0.0) == 5
    throttle.request("eu-west-1", "RunInstances", {}, now=0.0)


def test_instances_are_counted_too():
    throttle = Throttle()
    throttle.resources("us-east-1", "RunInstances", 1000, now=0.0)
    with pytest.raises(Refusal, match="RequestLimitExceeded"):
        throttle.resources("us-east-1", "RunInstances", 3, now=1.0)
    throttle.resources("us-east-1", "RunInstances", 2, now=1.0)


def taken(throttle, action, parameters, *, now):
    for number in range(1000):
        try:
            throttle.request("us-east-1", action, parameters, now=now)
        except Refusal:
            return number
    return None


def test_throttle_strikes_one_action_until_cleared(aws, refused):
    aws.fault("throttle", action="DescribeVpcs")
    assert refused(aws.ec2.describe_vpcs)[:2] == ("RequestLimitExceeded", 503)
    aws.ec2.describe_subnets()
    aws.control.call("DELETE", "faults")
    aws.ec2.describe_vpcs()


def test_throttle_passes_with_time(aws, refused, until):
    aws.fault("throttle", action="DescribeVpcs", seconds=0.3)
    refused(aws.ec2.describe_vpcs)
    until(lambda: aws.control.call("GET", "faults") == [])
    aws.ec2.describe_vpcs()


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", lambda c: c.describe_vpcs, "RequestExpired"),
        ("sts", lambda c: c.get_caller_identity, "ExpiredToken"),
        ("ssm", lambda c: lambda: c.get_parameter(Name="x"), "ExpiredTokenException"),
    ],
)
def test_credentials_expire_and_are_renewed(aws, refused, service, call, code):
    client = aws.client(service)
    aws.fault("expire-credentials")
    assert refused(call(client))[0] == code
    aws.control.call("DELETE", "faults")
    aws.ec2.describe_vpcs()


def test_a_lost_answer_is_a_broken_connection_after_the_deed(aws):
    aws.fault("lose-answer", action="RunInstances")
    with pytest.raises(botocore.exceptions.HTTPClientError):
        aws.run(ClientToken="lost")
    adopted = aws.launch(ClientToken="lost")
    found = aws.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["lost"]}])["Reservations"]
    assert [item["InstanceId"] for group in found for item in group["Instances"]] == adopted


def test_a_machine_that_never_boots_runs_for_ec2_all_the_same(aws, until):
    aws.fault("never-boot")
    dead, alive = aws.launch()[0], aws.launch()[0]
    aws.reach(dead, "running")
    aws.booted(alive)
    machines = {item["id"]: item for item in aws.control.call("GET", "instances")}
    assert not machines[dead]["booted"]
    aws.ec2.terminate_instances(InstanceIds=[dead])
    aws.reach(dead, "terminated")


def test_a_machine_whose_user_data_fails_runs_none_and_lets_nobody_in(aws, key_pair, until):
    name, _ = key_pair
    aws.fault("user-data-fails")
    bad, good = (aws.launch(KeyName=name, UserData="#!/bin/sh\necho hello from user data\n")[0] for _ in range(2))
    machine = aws.booted(bad)
    with socket.create_connection((machine["address"], machine["port"]), timeout=30) as made:
        assert made.recv(4) == b"SSH-"
    aws.booted(good)
    read = partial(aws.ec2.get_console_output, Latest=True)
    until(lambda: "hello from user data" in read(InstanceId=good)["Output"])
    text = read(InstanceId=bad)["Output"]
    assert "No instance datasource found" in text
    assert "hello from user data" not in text


def test_a_login_shell_that_is_not_there_is_refused(aws):
    with pytest.raises(ConfigError, match="no shell /bin/none here"):
        aws.fault("login-shell", shell="/bin/none")


def test_walls_let_in_whom_a_rule_names(aws, key_pair):
    name, _ = key_pair
    group = aws.ec2.create_security_group(GroupName="walled", Description="walled")["GroupId"]
    machine = aws.booted(aws.launch(KeyName=name, SecurityGroupIds=[group])[0])

    def is_let_in():
        with socket.create_connection((machine["address"], machine["port"]), timeout=30) as made:
            try:
                return made.recv(8).startswith(b"SSH-2.0")
            except ConnectionError:
                return False

    def rule(cidr, port=22):
        aws.ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=cidr
        )

    assert is_let_in()
    aws.fault("walls")
    assert not is_let_in()
    rule("198.51.100.0/24")
    rule("127.0.0.1/32", port=8888)
    assert not is_let_in()
    rule("127.0.0.0/8")
    assert is_let_in()
    aws.ec2.revoke_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.0/8")
    assert not is_let_in()
    aws.control.call("DELETE", "faults")
    assert is_let_in()


def test_unknown_faults_are_refused(aws):
    with pytest.raises(ConfigError, match="there is no fault"):
        aws.fault("earthquake")


def test_faults_are_listed(aws):
    aws.fault("refuse-pool", type="m5.large", zone="*", code="Unsupported", count=3)
    fault = aws.control.call("GET", "faults")[0]
    assert (fault["kind"], fault["type"], fault["code"], fault["count_left"]) == (
        "refuse-pool",
        "m5.large",
        "Unsupported",
        3,
    )


def test_a_refusal_can_have_any_code(aws, refused):
    aws.fault("refuse-pool", type="m5.large", zone="*", code="PendingVerification")
    assert refused(aws.run)[0] == "PendingVerification"


def test_the_control_side_needs_its_token(control):
    import attrs

    stranger = attrs.evolve(control, token="guess")
    with pytest.raises(ConfigError, match="token"):
        stranger.call("GET", "instances")


def test_calls_are_counted(aws):
    aws.control.call("DELETE", "calls")
    for _ in range(3):
        aws.ec2.describe_vpcs()
    assert aws.control.call("GET", "calls") == {"DescribeVpcs": 3}
