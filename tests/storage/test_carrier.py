"""The program that travels to machines: its signatures are AWS's, and old Pythons can read it."""

import ast
import io
import string
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from aspot.storage import carrier, program, wire
from aspot.storage.wire import Keys, Refused

KEYS = Keys("ASIAEXAMPLE", "secret/+", "token==", 0.0)


@given(key=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20), prefix=st.text(string.printable))
def test_signatures_are_those_of_botocore(key, prefix):
    path = quote(f"/bucket/{key}", safe="/~-._")
    query = f"list-type=2&prefix={quote(prefix, safe='~-._')}"
    headers = {"x-amz-checksum-sha256": "x"}
    request = AWSRequest(method="GET", url=f"http://host.test:1234{path}?{query}", headers=headers)
    request.context = {"payload_signing_enabled": True, "signing": {}}
    S3SigV4Auth(Credentials(KEYS.id, KEYS.secret, KEYS.token), "s3", "eu-west-1").add_auth(request)
    now = datetime.strptime(request.context["timestamp"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    made = wire.signed(
        "GET", "host.test:1234", path, query, {"x-amz-checksum-sha256": "x"},
        payload=request.headers["X-Amz-Content-SHA256"], keys=KEYS, region="eu-west-1", now=now,
    )  # fmt: skip
    assert made["authorization"] == request.headers["Authorization"]


def test_what_travels_is_python_3_8_of_the_standard_library():
    with zipfile.ZipFile(io.BytesIO(program.package())) as sent:
        for name in sent.namelist():
            tree = ast.parse(sent.read(name), feature_version=(3, 8))
            imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} - {"aspot.storage"}
            ours = [module for module in imported if module.startswith("aspot")]
            assert all(f"{module.replace('.', '/')}.py" in sent.namelist() for module in ours)
    assert {path.name for path in Path(carrier.__file__).parent.glob("*.py")} >= set(program.MODULES)


@pytest.mark.parametrize(
    ("refused", "message", "code"),
    [
        (Refused(404, "NoSuchBucket", "", "ListObjectsV2"), "there is no bucket 'b'", 2),
        (Refused(404, "", "", "HeadBucket"), "there is no bucket 'b'", 2),
        (Refused(403, "", "", "HeadBucket"), "the permission s3:ListBucket is missing", 3),
        (Refused(403, "AccessDenied", "", "UploadPart"), "the permission s3:PutObject is missing", 3),
        (Refused(500, "InternalError", "sorry", "GetObject"), "S3 refused GetObject (InternalError): sorry", 3),
        (Refused(0, "", "it cannot be reached", "GetObject"), "it cannot be reached", 3),
    ],
)
def test_refusals_in_words(refused, message, code):
    refused.bucket = "b"
    failure = carrier.explained(refused)
    assert message in failure.message
    assert failure.code == code
