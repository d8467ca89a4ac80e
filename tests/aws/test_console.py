"""The end of a machine's console, as EC2 tells it: late, only on Nitro at once, and written by who knows whom."""

import base64

import pytest

from aspot.aws import console
from aspot.ports import CloudUnavailable, CredentialsExpired

NITRO_ONLY = "This instance type does not support retrieving the latest console logs."


def said(text):
    return {"InstanceId": "i-1", "Output": base64.b64encode(text.encode()).decode()}


async def test_the_latest_output_is_asked_for(cloud, stub):
    stub.says("GetConsoleOutput", said("Booting\r\nKernel panic\r\n"))
    assert await cloud.console("i-1") == "Booting / Kernel panic"
    assert [asked.get("Latest") for asked in stub.asked("GetConsoleOutput")] == [True]


async def test_where_the_latest_cannot_be_had_what_was_posted_will_do(cloud, stub):
    stub.says("GetConsoleOutput", stub.refused("UnsupportedOperation", NITRO_ONLY), said("Linux\nno init found"))
    assert await cloud.console("i-1") == "Linux / no init found"
    assert [asked.get("Latest") for asked in stub.asked("GetConsoleOutput")] == [True, None]


async def test_nothing_posted_yet_is_nothing(cloud, stub):
    stub.says("GetConsoleOutput", {"InstanceId": "i-1"})
    assert await cloud.console("i-1") == ""


@pytest.mark.parametrize(
    ("code", "raised"),
    [("UnauthorizedOperation", CredentialsExpired), ("InternalError", CloudUnavailable)],
)
async def test_a_refusal_is_raised_as_of_other_reads(cloud, stub, code, raised):
    stub.says("GetConsoleOutput", stub.refused(code))
    with pytest.raises(raised):
        await cloud.console("i-1")


def test_escapes_bidi_and_control_characters_are_gone():
    found = console.end_of("\x1b]0;title\x07 ok \x9b31m\u202e\ue000\x00 \x1b[2J\x1b[31mred\x1b[0m tab\there ünï\u2028")
    assert found == "0;title ok 31m red tab here ünï"


def test_only_the_last_lines_are_shown_and_none_is_cut_in_the_middle_of_many():
    assert console.end_of("\n".join(f"line {number}" for number in range(100))) == " / ".join(
        f"line {number}" for number in range(94, 100)
    )
    many = console.end_of("\n".join(letter * 500 for letter in "abcdef"))
    assert many == "e" * console.WIDTH + " / " + "f" * console.WIDTH


def test_keys_are_not_repeated():
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----"
    text = f"up\n{key}\nlogin:\n-----BEGIN RSA PRIVATE KEY-----\ncut"
    assert console.end_of(text) == "up / login:"
