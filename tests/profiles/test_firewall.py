"""Firewall rules: every way to write one, and each thing that can be wrong with it."""

import pytest

from aspot import ConfigError, Profile
from aspot.aws import network
from aspot.profiles.edit import values_of
from aspot.profiles.firewall import open_to_all, rule, rules, span
from aspot.ui.profiles import option_text

RANGE = ("tcp", "8000-8010", "203.0.113.0/24")


@pytest.mark.parametrize(
    ("written", "rule_meant"),
    [
        ("203.0.113.7/32", ("tcp", 22, "203.0.113.7/32")),
        (" 203.0.113.7 ", ("tcp", 22, "203.0.113.7/32")),
        ("2001:db8::1", ("tcp", 22, "2001:db8::1/128")),
        ("203.0.113.77/24", ("tcp", 22, "203.0.113.0/24")),
        ("tcp 8000-8010 203.0.113.0/24", RANGE),
        ("TCP:8000-8010:203.0.113.0/24", RANGE),
        (("tcp", "8000-8010", "203.0.113.0/24"), RANGE),
        (["tcp", 8000, 8010, "203.0.113.0/24"], RANGE),
        ("('tcp', 8000, 8010, '203.0.113.0/24')", RANGE),
        ("['tcp', '8000-8010', '203.0.113.0/24']", RANGE),
        ("('tcp', 22, 22, '203.0.113.7/32')", ("tcp", 22, "203.0.113.7/32")),
        (("udp", "53", "::/0"), ("udp", 53, "::/0")),
        ("udp 1-65535 ::/0", ("udp", "1-65535", "::/0")),
        ("tcp 80-80 203.0.113.7/32", ("tcp", 80, "203.0.113.7/32")),
    ],
    ids=repr,
)
def test_each_way_to_write_one(written, rule_meant):
    assert rule(written) == rule_meant
    assert rule(rule_meant) == rule_meant
    assert Profile(firewall=[written]).firewall == (rule_meant,)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("tcp 8010-8000 203.0.113.0/24", "the wrong way round: 8000-8010?"),
        (("tcp", 8010, 8000, "203.0.113.0/24"), "the wrong way round"),
        ("tcp 0 203.0.113.0/24", "there is no port 0: they are 1 to 65535"),
        ("tcp 0-10 203.0.113.0/24", "there is no port 0"),
        ("tcp 8000-65536 203.0.113.0/24", "there is no port 65536"),
        ("tcp 8000- 203.0.113.0/24", "'8000-' is neither a port nor a range"),
        ("tcp http 203.0.113.0/24", "'http' is neither a port nor a range"),
        (("tcp", -1, "203.0.113.0/24"), "-1 is no port"),
        (("tcp", True, "203.0.113.0/24"), "True is no port"),
        (("tcp", None, "203.0.113.0/24"), "None is no port"),
        ("tcp 8000-8010 203.0.113.0/33", "does not appear to be an IPv4 or IPv6 network"),
        ("tcp 8000-8010 everyone", "does not appear to be"),
        ("icmp 1 203.0.113.0/24", "does not appear to be"),
        (("icmp", 1, "203.0.113.0/24"), "there is no protocol 'icmp'"),
        ("203.0.113.7/32 203.0.113.8/32", "does not appear to be"),
        ("('tcp',)", "is no rule"),
        ("(tcp", "is no rule"),
        (("tcp",), "does not appear to be"),
    ],
    ids=repr,
)
def test_what_cannot_be_a_rule_is_said(written, why):
    with pytest.raises(ConfigError) as caught:
        rule(written)
    assert why in str(caught.value)
    assert "tcp 8000-8010 203.0.113.0/24" in caught.value.fix


def test_one_rule_or_several():
    assert rules(None) is None
    assert rules([]) == ()
    assert rules("203.0.113.7/32") == (("tcp", 22, "203.0.113.7/32"),)
    assert rules(("tcp", "8000-8010", "203.0.113.0/24")) == (RANGE,)
    assert rules([RANGE, "203.0.113.7"]) == (RANGE, ("tcp", 22, "203.0.113.7/32"))
    with pytest.raises(ConfigError, match="firewall must be a CIDR or a list of rules, not 3"):
        rules(3)


def test_what_rules_mean():
    assert [span(port) for port in (22, "8000-8010")] == [(22, 22), (8000, 8010)]
    assert open_to_all((RANGE, ("tcp", 80, "0.0.0.0/0"), ("tcp", 22, "::/0"))) == (
        ("tcp", 80, "0.0.0.0/0"),
        ("tcp", 22, "::/0"),
    )
    assert network.asks_address((RANGE,))
    assert not network.asks_address((("tcp", "20-30", "203.0.113.0/24"),))  # it says who may use SSH
    assert network.asks_address((("udp", "20-30", "203.0.113.0/24"),))


def test_in_a_file_and_shown(tmp_path):
    assert values_of(["firewall=10.0.0.0/8,tcp:8000-8010:203.0.113.0/24"], folder=tmp_path) == {
        "firewall": ["10.0.0.0/8", list(RANGE)]
    }
    assert option_text("firewall", (RANGE, ("tcp", 22, "10.0.0.0/8"))) == (
        "tcp:8000-8010:203.0.113.0/24, tcp:22:10.0.0.0/8"
    )
