"""The caller's own address, asked of AWS where the cloud is not local."""

import pytest
from aiohttp import web

from aspot.aws import network
from aspot.aws.clients import Aws
from aspot.errors import CloudError


@pytest.fixture
async def outside(stub, monkeypatch):
    """A gateway to an endpoint that is not on this machine; nothing is sent to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")
    aws = await Aws.open(None)
    yield aws
    await aws.aclose()


@pytest.fixture
async def check_ip(monkeypatch):
    """AWS's check-ip service, on loopback; returns a list whose only item is what it answers."""
    says = ["203.0.113.7\n"]

    async def answer(_):
        return web.Response(text=says[0])

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setattr(network, "CHECK_IP", f"http://127.0.0.1:{runner.addresses[0][1]}/")
    yield says
    await runner.cleanup()


async def test_own_address(outside, check_ip):
    assert await network.own_address(outside) == "203.0.113.7/32"
    assert await network.rules(outside, None) == (("tcp", 22, "203.0.113.7/32"),)


async def test_own_address_is_added_to_rules_that_do_not_say_who_may_use_ssh(outside, check_ip):
    rules = await network.rules(outside, (("tcp", 8888, "198.51.100.0/24"),))
    assert rules == (("tcp", 22, "203.0.113.7/32"), ("tcp", 8888, "198.51.100.0/24"))


async def test_nobody_is_asked_where_the_caller_says_who(outside):
    given = (("tcp", 22, "198.51.100.0/24"),)
    assert await network.rules(outside, given) == given


@pytest.mark.parametrize("nonsense", ["<html>", "", "0.0.0.0/0 "])
async def test_address_that_is_none(outside, check_ip, nonsense):
    check_ip[0] = nonsense
    with pytest.raises(CloudError) as caught:
        await network.own_address(outside)
    assert "firewall=" in caught.value.fix


async def test_check_that_cannot_be_reached(outside, monkeypatch, unused_url):
    monkeypatch.setattr(network, "CHECK_IP", unused_url)
    with pytest.raises(CloudError) as caught:
        await network.own_address(outside)
    assert "firewall=" in caught.value.fix


def test_check_is_encrypted_and_aws_own():
    assert network.CHECK_IP == "https://checkip.amazonaws.com"
