"""Files of profiles: every wrong key and value is told with its line."""

import os
import sys

import pytest

from aspot.aws.cache import Cache
from aspot.errors import ConfigError
from aspot.profiles.places import project_file, user_file
from aspot.profiles.read import EXAMPLES, KEYS, parse, read
from aspot.profiles.shelf import Shelf

WRONG = [
    ("max_prise = 1", "max_prise", "'max_price'"),
    ("prices = 1", "prices", "max_price"),
    ("regoins = ['us-east-1']", "regoins", "'regions'"),
    ("regions = ['here']", "here", "us-east-1"),
    ("regions = []", "regions", "us-east-1"),
    ("regions = 3", "3", "us-east-1"),
    ("regions = ['us-east-1']\nregion = 'us-east-1'", "both given", "one of them"),
    ("zones = ['eu-west-1a']\nregions = ['us-east-1', 'us-west-2']", "in any of us-east-1, us-west-2", "these regions"),
    ("zones = ['us-west-2a']\nregions = ['us-east-1', 'us-west-2']", "nothing of us-east-1", "each region"),
    ("image = 'ami-0abc'\nregions = ['us-east-1', 'us-west-2']", "ami-0abc is in one region", "al2023"),
    ("security_group = 'sg-1'\nregions = ['us-east-1', 'us-west-2']", "sg-1 is in one region", "leave security_group"),
    ("quite_else = 1", "quite_else", "one of: extends, types"),
    ("max_price = -1", "max_price", "leave max_price out"),
    ("max_price = 0.001", "above $0.001", "leave max_price out"),
    ("max_price = 'cheap'", "max_price", "leave max_price out"),
    ("max_price = nan", "max_price", "leave max_price out"),
    ("max_price = true", "max_price", "max_price = 0.5"),
    ("max_price = [1]", "max_price", "max_price = 0.5"),
    ("types = []", "types", "c7i.large"),
    ("types = [3]", "3", "c7i.large"),
    ("types = [['a']]", "a", "c7i.large"),
    ("types = 'c7i'", "c7i", "c7i.large"),
    ("types = { a = 1 }", "types", "c7i.large"),
    ("zones = 'us-east-1'", "us-east-1", "us-east-1a"),
    ("zones = 3", "3", "us-east-1a"),
    ("region = 'here'", "here", "us-east-1"),
    ("region = 2020-01-01", "region", "us-east-1"),
    ("image = 'ubunto-24.04'", "ubunto-24.04", "'ubuntu-24.04'"),
    ("image = 3", "3", "al2023"),
    ("user = 'a b'", "user", "ec2-user"),
    ("user = 3", "user", "ec2-user"),
    ("market = 'spott'", "market", "'spot'"),
    ("allocation = 'capacity'", "allocation", "'capacity-optimized'"),
    ("market = 1", "market", "leave market out"),
    ("disk = 'big'", "big", "20 GB"),
    ("disk = 0", "disk", "20 GB"),
    ("setup = ''", "setup", "setup.sh"),
    ("setup = 1", "setup", "setup.sh"),
    ("key_pair = ''", "key_pair", "my-key"),
    ("instance_profile = 7", "instance_profile", "my-role"),
    ("security_group = 'sg-a b'", "security_group", "sg-"),
    ("firewall = 'everyone'", "everyone", "203.0.113.7/32"),
    ("firewall = ['tcp', 0, '10.0.0.0/8']", "firewall", "8888"),
    ("firewall = [['tcp', 'x', '10.0.0.0/8']]", "firewall", "8888"),
    ("firewall = 1", "firewall", "203.0.113.7/32"),
    ("extends = 3", "extends", 'extends = "gpu"'),
    ("extends = ['a']", "extends", 'extends = "gpu"'),
]


@pytest.mark.parametrize(("line", "names", "fix"), WRONG, ids=[line for line, _, _ in WRONG])
def test_what_cannot_work_is_told_with_its_line(line, names, fix, user):
    path = user(f"# mine\n[train]\n\n{line}  # why\n")
    with pytest.raises(ConfigError) as caught:
        read(path, "user")
    assert str(caught.value).startswith(f"{path}:4: [train] ")
    assert names in str(caught.value)
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("text", "line", "words", "fix"),
    [
        ("[a]\nx = \n", 2, "invalid value", "toml.io"),
        ("[a]\ntypes = [", 2, "", "toml.io"),
        ("[a]\n[a]\n", 2, "", "toml.io"),
        ("\nregion = 'us-east-1'\n", 2, "stands outside of a profile", "[default]"),
        ("train = 3\n", 1, "stands outside of a profile", "[train]"),
        ("[a]\n['a b']\n", 2, "cannot name a profile", "letters"),
        ("\n[c7g.large]\nmax_price = 1\n", 2, "no option 'large'", '["c7g.large"]'),
    ],
)
def test_what_is_no_list_of_profiles_is_told_with_its_line(text, line, words, fix, user):
    path = user(text)
    with pytest.raises(ConfigError) as caught:
        read(path, "user")
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert words in str(caught.value)
    assert fix in caught.value.fix


def test_all_problems_are_told_at_once_in_order(user):
    path = user("[a]\ndisk = 'x'\n[b]\nmarket = 'y'\nuser = 3\n")
    with pytest.raises(ConfigError) as caught:
        read(path, "user")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [f"{path}:{n}" for n in (2, 4, 5)]
    assert "20 GB" in caught.value.fix


def test_a_file_that_is_not_there_holds_nothing_and_one_that_cannot_be_read_is_named(tmp_path, user):
    assert read(tmp_path / "none.toml", "user") == []
    path = user("")
    path.write_bytes(b"# ok\n# \xff\n")
    with pytest.raises(ConfigError, match=f"{path}:2: this is not UTF-8"):
        read(path, "user")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path, "user")


def test_a_byte_order_mark_and_windows_lines_are_fine(user):
    path = user("")
    path.write_bytes(b"\xef\xbb\xbf[a]\r\nuser = 'me'\r\ndisk = 20\r\n")
    (entry,) = read(path, "user")
    assert (entry.options, entry.lines) == ({"user": "me", "disk": 20}, {"": 1, "user": 2, "disk": 3})


def test_every_key_is_explained_by_an_example_that_works(tmp_path):
    assert tuple(EXAMPLES) == KEYS
    alike = {key: text for key, text in EXAMPLES.items() if key != "regions"}  # instead of region
    text = "[a]\n" + "\n".join(alike.values()) + "\n[b]\n" + EXAMPLES["regions"]
    entry, other = parse(text, path=tmp_path / "p.toml", source="user")
    assert {*entry.options, *other.options, "extends"} == set(KEYS)
    assert other.options == {"regions": ("us-east-1", "eu-west-1")}
    assert entry.options["setup"] == tmp_path / "setup.sh"
    assert entry.options["firewall"] == (("tcp", 22, "203.0.113.7/32"),)


def test_a_project_has_its_profiles_below_profiles(project):
    path = project("[profiles.train]\ntypes = 'c7g.large'\n")
    (entry,) = read(path, "project")
    assert (entry.name, entry.source, entry.place("types")) == ("train", "project", f"{path}:2")
    project("[profiles.train]\nuser = 'me'\n[train]\nuser = 'me'\n")
    with pytest.raises(ConfigError, match=":3: 'train' means nothing here") as caught:
        read(path, "project")
    assert "[profiles.NAME]" in caught.value.fix
    project("profiles = 3\n")
    with pytest.raises(ConfigError, match="profiles must be tables"):
        read(path, "project")


def test_the_nearest_project_counts_and_a_stranger_s_does_not(project, tmp_path, monkeypatch):
    path = project("")
    assert project_file() == path
    nearer = tmp_path / "project" / "a" / "aspot.toml"
    nearer.write_text("")
    assert project_file() == nearer
    assert project_file(tmp_path) is None
    if os.geteuid() == 0:
        os.chown(nearer, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ConfigError, match="belongs to someone else") as caught:
        Shelf.open()
    assert str(nearer.parent) in caught.value.fix
    assert project_file(nearer.parent) == nearer, "in one's own folder, one knows the file"


def test_a_working_directory_that_is_gone_has_no_project(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert project_file() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")
def test_files_are_where_the_platform_has_such_files(tmp_path, monkeypatch):
    for name in ("ASPOT_CONFIG_DIR", "ASPOT_CACHE_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_file() == tmp_path / "config" / "aspot" / "profiles.toml"
    assert Cache.open().folder == tmp_path / "cache" / "aspot"
