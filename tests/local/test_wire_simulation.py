"""IAM's policy simulator on the local cloud."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

TRUST = {"Version": "2012-10-17", "Statement": []}


def test_what_a_role_may(aws):
    iam, name = aws.client("iam", region_name="us-east-1"), f"role-{uuid.uuid4()}"
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    rules = [
        {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::data/*"},
        {"Effect": "Deny", "Action": "s3:GetObjectAcl", "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": rules})
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    asked = {
        "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:GetObjectAcl"],
        "ResourceArns": ["arn:aws:s3:::data/a"],
    }
    found = iam.simulate_principal_policy(PolicySourceArn=arn, **asked)["EvaluationResults"]
    assert {item["EvalActionName"]: item["EvalDecision"] for item in found} == {
        "s3:GetObject": "allowed",
        "s3:PutObject": "implicitDeny",
        "s3:GetObjectAcl": "explicitDeny",
    }
    with pytest.raises(ClientError) as caught:
        iam.simulate_principal_policy(PolicySourceArn="arn:aws:iam::123456789012:user/ada", **asked)
    assert caught.value.response["Error"]["Code"] == "InvalidInput"
