"""Describing machines and requests: AWS.md 2, 3 and 12."""

import os

import pytest


def found(aws, *filters, **more):
    wanted = [{"Name": name, "Values": list(values)} for name, *values in filters]
    pages = aws.ec2.get_paginator("describe_instances").paginate(Filters=wanted, **more)
    return {item["InstanceId"] for page in pages for group in page["Reservations"] for item in group["Instances"]}


def test_filters_find_what_they_name(aws):
    mark = os.urandom(4).hex()  # other tests were in this region
    tags = [{"ResourceType": "instance", "Tags": [{"Key": f"run-{mark}", "Value": "r 1*"}]}]
    spot = set(aws.launch(2, ClientToken=mark, TagSpecifications=tags))
    plain = set(aws.launch(spot=False, InstanceType="c5.large"))
    assert found(aws, (f"tag:run-{mark}", "r 1\\*")) == spot
    assert found(aws, (f"tag:run-{mark}", "r?1*")) == spot
    assert found(aws, ("tag-key", f"run-{mark}")) == spot
    assert found(aws, ("client-token", mark)) == spot
    assert found(aws, ("instance-lifecycle", "spot")) >= spot
    assert not found(aws, ("instance-lifecycle", "spot")) & plain
    assert found(aws, ("instance-type", "c5.*"), ("instance-id", *plain, *spot)) == plain
    assert found(aws, ("instance-id", *spot, "i-0123456789abcdef0")) == spot
    assert found(aws, (f"tag:run-{mark}", "nothing")) == set()
    live = ("instance-state-name", "pending", "running")
    assert found(aws, live) >= spot | plain


def test_tags_change_what_is_found(aws):
    instance = aws.launch()[0]
    aws.ec2.create_tags(Resources=[instance], Tags=[{"Key": "later", "Value": "yes"}])
    assert found(aws, ("tag:later", "yes")) == {instance}
    assert {"Key": "later", "Value": "yes"} in aws.one(instance)["Tags"]
    aws.ec2.delete_tags(Resources=[instance], Tags=[{"Key": "later"}])
    assert found(aws, ("tag:later", "yes")) == set()
    assert aws.tags(aws.one(instance)) == []


def test_a_hundred_and_fifty_ids_all_come_back(aws):
    ids = aws.launch(150)
    answer = aws.ec2.describe_instances(InstanceIds=ids)
    assert "NextToken" not in answer
    assert {item["InstanceId"] for group in answer["Reservations"] for item in group["Instances"]} == set(ids)
    assert found(aws, ("instance-id", *ids[:150]), PaginationConfig={"PageSize": 20}) == set(ids)
    pages = aws.ec2.get_paginator("describe_spot_instance_requests").paginate(PaginationConfig={"PageSize": 40})
    assert {r["InstanceId"] for page in pages for r in page["SpotInstanceRequests"]} >= set(ids)


def test_pages_end_and_bad_ones_are_refused(aws, refused):
    aws.launch(7)
    first = aws.ec2.describe_instances(MaxResults=5)
    assert sum(len(group["Instances"]) for group in first["Reservations"]) == 5
    rest = aws.ec2.describe_instances(MaxResults=1000, NextToken=first["NextToken"])
    assert "NextToken" not in rest
    describe = aws.ec2.describe_instances
    assert refused(describe, MaxResults=4)[0] == "InvalidParameterValue"
    assert refused(describe, MaxResults=1001)[0] == "InvalidParameterValue"
    assert refused(describe, NextToken="x", MaxResults=5)[0] == "InvalidNextToken"


def test_ids_and_pages_do_not_mix(aws, refused):
    ids = aws.launch()
    describe = aws.ec2.describe_instances
    assert refused(describe, InstanceIds=ids, MaxResults=5)[0] == "InvalidParameterCombination"


def test_one_unknown_id_fails_the_whole_call(aws, refused):
    ids = [*aws.launch(), "i-0123456789abcdef0"]
    assert refused(aws.ec2.describe_instances, InstanceIds=ids)[:2] == ("InvalidInstanceID.NotFound", 400)


def test_unknown_filters_are_refused(aws, refused):
    wanted = [{"Name": "colour", "Values": ["red"]}]
    for describe in (aws.ec2.describe_instances, aws.ec2.describe_spot_instance_requests):
        assert refused(describe, Filters=wanted)[0] == "InvalidParameterValue"


def test_too_many_filter_values_are_refused(aws, refused):
    wanted = [{"Name": "instance-id", "Values": [f"i-{number:017x}" for number in range(201)]}]
    assert refused(aws.ec2.describe_instances, Filters=wanted)[0] == "FilterLimitExceeded"


def test_status_shows_running_machines_only_unless_told_otherwise(aws, refused):
    instance = aws.launch()[0]
    describe = aws.ec2.describe_instance_status
    mine = [{"Name": "instance-type", "Values": ["m5.large"]}]
    everything = describe(IncludeAllInstances=True, Filters=mine)["InstanceStatuses"]
    assert instance in [status["InstanceId"] for status in everything]
    aws.booted(instance)
    status = describe(InstanceIds=[instance])["InstanceStatuses"][0]
    assert (status["InstanceState"]["Name"], status["InstanceStatus"]["Status"]) == ("running", "ok")
    aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")
    assert describe(InstanceIds=[instance])["InstanceStatuses"] == []
    many = [f"i-{number:017x}" for number in range(101)]
    assert refused(describe, InstanceIds=many)[0] == "InvalidParameterValue"


def test_requests_can_be_found_by_status_and_tag(aws):
    tags = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "run", "Value": "s1"}]}]
    ids = aws.launch(2, TagSpecifications=tags)
    describe = aws.ec2.describe_spot_instance_requests
    wanted = [{"Name": "tag:run", "Values": ["s1"]}, {"Name": "status-code", "Values": ["fulfilled"]}]
    assert {request["InstanceId"] for request in describe(Filters=wanted)["SpotInstanceRequests"]} == set(ids)
    one = describe(Filters=wanted)["SpotInstanceRequests"][0]["SpotInstanceRequestId"]
    assert len(describe(SpotInstanceRequestIds=[one])["SpotInstanceRequests"]) == 1


def test_an_unknown_request_is_not_found(aws, refused):
    describe = aws.ec2.describe_spot_instance_requests
    assert refused(describe, SpotInstanceRequestIds=["sir-12345678"])[0] == "InvalidSpotInstanceRequestID.NotFound"


def test_the_console_carries_the_host_key(aws):
    instance = aws.launch()[0]
    aws.booted(instance)
    text = aws.ec2.get_console_output(InstanceId=instance, Latest=True)["Output"]
    assert "-----BEGIN SSH HOST KEY KEYS-----" in text
    assert "ssh-ed25519 " in text


def test_the_console_is_posted_late_and_stays_after_the_end(aws, until):
    instance = aws.launch()[0]
    aws.booted(instance)
    assert "Output" not in aws.ec2.get_console_output(InstanceId=instance)
    posted = until(lambda: aws.ec2.get_console_output(InstanceId=instance).get("Output"))
    assert "Booting" in posted
    aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")
    for latest in (False, True):
        assert posted in aws.ec2.get_console_output(InstanceId=instance, Latest=latest)["Output"]


def test_only_on_nitro_the_latest_console_output_can_be_had(aws, refused):
    older = ((name, zone) for name in ("m4.large", "c4.large", "r4.large", "t2.micro") for zone in aws.offered(name))
    name, zone = next(older)
    instance = aws.launch(InstanceType=name, Placement={"AvailabilityZone": zone})[0]
    assert refused(aws.ec2.get_console_output, InstanceId=instance, Latest=True)[0] == "UnsupportedOperation"
    assert "Output" not in aws.ec2.get_console_output(InstanceId=instance)


def test_waiters_of_the_sdk_work(aws):
    ids = aws.launch(2)
    quick = {"Delay": 1, "MaxAttempts": 30}
    aws.ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=quick)
    requests = [aws.request_of(name)["SpotInstanceRequestId"] for name in ids]
    aws.ec2.get_waiter("spot_instance_request_fulfilled").wait(SpotInstanceRequestIds=requests, WaiterConfig=quick)
    aws.ec2.terminate_instances(InstanceIds=ids)
    aws.ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=quick)


def test_a_new_machine_may_not_be_seen_at_once(aws, refused, until):
    aws.fault("lag", delay_s=1.0, count=1)
    instance = aws.launch()[0]
    assert refused(aws.ec2.describe_instances, InstanceIds=[instance])[0] == "InvalidInstanceID.NotFound"
    assert instance not in found(aws, ("instance-id", instance))
    until(lambda: found(aws, ("instance-id", instance)) == {instance})


@pytest.mark.parametrize("service", ["sts", "iam"])
def test_other_services_answer(aws, service):
    client = aws.client(service)
    if service == "sts":
        assert client.get_caller_identity()["Account"] == "123456789012"
    else:
        assert client.list_roles()["Roles"] is not None
