"""Finding region and credentials, repeating calls, and saying what is wrong with the configuration."""

import asyncio
import ssl
import subprocess

import anyio
import pytest

from aspot.aws.clients import Aws
from aspot.aws.cloud import Ec2Cloud
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.aws.together import together
from aspot.errors import AuthError, CloudError, ConfigError


@pytest.fixture
async def aws(stub):
    found = await Aws.open(None)
    yield found
    await found.aclose()


async def test_region_of_the_configuration(stub, monkeypatch):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        monkeypatch.setenv(name, "eu-west-1")
        cloud = await Ec2Cloud.open(None)
        assert (cloud.region, cloud.is_loopback) == ("eu-west-1", True)
        await cloud.aclose()


async def test_region_given_wins(stub):
    cloud = await Ec2Cloud.open("cn-north-1")
    assert cloud.region == "cn-north-1"
    await cloud.aclose()


async def test_no_region(stub, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="no AWS region") as caught:
        await Ec2Cloud.open(None)
    assert "AWS_DEFAULT_REGION" in caught.value.fix


async def test_unknown_region_names_the_nearest(stub):
    with pytest.raises(ConfigError, match="us-esat-1") as caught:
        await Ec2Cloud.open("us-esat-1")
    assert "us-east-1" in caught.value.fix
    with pytest.raises(ConfigError):
        await Ec2Cloud.open("zzzz")


async def test_no_credentials(stub, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")  # and yet nobody is asked: the endpoint is on loopback
    with pytest.raises(AuthError, match="no AWS credentials") as caught:
        await Ec2Cloud.open(None)
    assert "aws configure" in caught.value.fix


async def test_half_credentials(stub, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AuthError) as caught:
        await Ec2Cloud.open(None)
    assert caught.value.fix


async def test_unknown_profile(stub, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody") as caught:
        await Ec2Cloud.open(None)
    assert "AWS_PROFILE" in caught.value.fix


async def test_endpoint_of_the_profile(stub, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (tmp_path / "no-config").write_text(f"[default]\nendpoint_url = {stub.url}\n")
    cloud = await Ec2Cloud.open(None)
    assert cloud.is_loopback
    await cloud.aclose()


@pytest.mark.parametrize(
    ("url", "is_loopback"),
    [
        ("http://localhost:9", True),
        ("http://[::1]:9", True),
        ("http://192.0.2.1", False),
        ("https://ec2.example.com", False),
    ],
)
async def test_which_endpoints_are_here(stub, monkeypatch, url, is_loopback):
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    cloud = await Ec2Cloud.open(None)
    assert cloud.is_loopback is is_loopback
    await cloud.aclose()


async def test_endpoint_that_is_no_url(stub, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(ConfigError) as caught:
        await Ec2Cloud.open(None)
    assert "AWS_ENDPOINT_URL" in caught.value.fix


async def test_unreachable_endpoint(stub, monkeypatch, unused_url, make_plan):
    monkeypatch.setenv("AWS_ENDPOINT_URL", unused_url)
    cloud = await Ec2Cloud.open(None)
    with pytest.raises(CloudError, match="cannot be reached") as caught:
        await cloud.prepare(make_plan())
    assert "AWS_ENDPOINT_URL" in caught.value.fix
    await cloud.aclose()


async def test_hanging_endpoint_is_a_lost_answer(aws, stub, monkeypatch):
    monkeypatch.setattr("aspot.aws.clients.CALL_S", 0.2)
    stub.delay_s = 0.6
    with pytest.raises(Trouble) as caught:
        await aws.once("ec2:DescribeInstances")
    assert caught.value.cause is Cause.LOST


@pytest.mark.parametrize(("code", "calls"), [("Unavailable", 3), ("UnauthorizedOperation", 1), ("SomethingNew", 1)])
async def test_only_what_may_pass_is_repeated(aws, stub, code, calls):
    stub.says("DescribeInstances", stub.refused(code))
    with pytest.raises(Trouble):
        await aws.call("ec2:DescribeInstances", tries=3)
    assert stub.counts() == {"DescribeInstances": calls}


async def test_awaited_thing_is_not_awaited_for_ever(aws, stub):
    stub.says("DescribeInstances", stub.refused("InvalidGroup.NotFound"))
    with pytest.raises(Trouble):
        await aws.call("ec2:DescribeInstances", awaited=("InvalidGroup.NotFound",), awaited_s=0.05)


async def test_wrong_parameters_are_our_bug(aws):
    from botocore.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        await aws.once("ec2:DescribeInstances", Nonsense=1)


async def test_encoded_refusal_that_may_not_be_read_stays_as_it_is(aws, stub):
    stub.says("DecodeAuthorizationMessage", stub.refused("AccessDenied", http=403))
    trouble = Trouble(Cause.AUTH, "UnauthorizedOperation", "no", operation="ec2:X", blob="abc")
    assert (await aws.explain(trouble)).operation == "ec2:X"


# --- side by side ---


async def test_together_keeps_the_order():
    async def give(value, after_s):
        await anyio.sleep(after_s)
        return value

    assert await together(lambda: give(1, 0.02), lambda: give(2, 0.0)) == [1, 2]


async def test_together_raises_the_failure_itself():
    async def fail():
        raise ConfigError("x")

    async def wait():
        await anyio.sleep_forever()

    with pytest.raises(ConfigError):
        await together(wait, lambda: together(fail, wait))


@pytest.fixture
async def intercepted(tmp_path):
    """A TLS endpoint whose certificate is signed by nobody that this computer trusts; returns its URL and that."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2 -subj /CN=localhost"
    words += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", str(cert)


async def test_an_intercepted_connection_is_refused_and_said(stub, intercepted, monkeypatch, make_plan):
    """A proxy that opens TLS shows a certificate of its own: no request, no credentials go there."""
    url, cert = intercepted
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    cloud = await Ec2Cloud.open(None)
    with pytest.raises(CloudError, match="cannot be reached") as caught:
        await cloud.prepare(make_plan())
    await cloud.aclose()
    assert "certificate" in caught.value.message.lower()
    assert "AWS_CA_BUNDLE" in caught.value.fix
    monkeypatch.setenv("AWS_CA_BUNDLE", cert)  # the fix: that authority is trusted, and the next trouble another
    aws = await Aws.open(None)
    with pytest.raises(Trouble) as further:
        await aws.once("ec2:DescribeInstances")
    await aws.aclose()
    assert further.value.cause is Cause.LOST
