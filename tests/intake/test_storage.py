"""The words for storage, as users write them."""

import pytest

from aspot.errors import ConfigError
from aspot.intake.options import FleetOptions
from aspot.intake.storage import file_system, volumes
from aspot.ports import FileSystemWish


@pytest.mark.parametrize(
    ("words", "name", "path"),
    [
        ("data", "data", "~/efs"),
        ("fs-0123456789abcdef0", "fs-0123456789abcdef0", "~/efs"),
        ("data:/mnt/data", "data", "/mnt/data"),
        ("data:/mnt/data/", "data", "/mnt/data"),
        ("data://srv//x", "data", "/srv/x"),
        ("data:~/my data", "data", "~/my data"),
    ],
)
def test_words_that_work(words, name, path):
    assert file_system(words) == FileSystemWish(name=name, path=path)
    assert FleetOptions.check(None, "default", {"filesystem": words}).filesystem == file_system(words)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "name of a file system"),
        (7, "name of a file system"),
        ("data:", "has no path"),
        ("my data", "cannot be used"),
        ("../x", "cannot be used"),
        ("data:rel", "nothing can be mounted"),
        ("data:~", "nothing can be mounted"),
        ("data:/mnt/../etc", "nothing can be mounted"),
        ("data:/mnt/a\nb", "nothing can be mounted"),
        ("data:/mnt/a:b", "nothing can be mounted"),
        ("data:/", "belongs to the system"),
        ("data:/usr/", "belongs to the system"),
        ("data:/proc/1", "belongs to the system"),
    ],
)
def test_words_that_do_not(words, why):
    with pytest.raises(ConfigError, match=why) as told:
        FleetOptions.check(None, "default", {"filesystem": words})
    assert told.value.fix


def test_none_is_for_nothing():
    assert FleetOptions.check(None, "default", {"filesystem": None}).filesystem is None


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("data:20GB:/mnt/data", ("data", 20, "/mnt/data")),
        ("data:500MB", ("data", 1, "~/data")),
        ("data", ("data", 0, "~/data")),
        ("data:~/x", ("data", 0, "~/x")),
        ("vol-0123456789abcdef0:/mnt/x", ("vol-0123456789abcdef0", 0, "/mnt/x")),
    ],
)
def test_volumes_that_work(words, wish):
    (found,) = volumes(words)
    assert (found.name, found.size_gb, found.path) == wish
    checked = FleetOptions.check(None, "default", {"volumes": [words]})
    assert (checked.volumes, checked.instances, checked.deletes_volumes) == ((found,), 1, False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"volumes": 7}, "must be a list"),
        ({"volumes": [7]}, "is not a volume"),
        ({"volumes": [""]}, "is not a volume"),
        ({"volumes": ["data:1GB:2GB:/x"]}, "is not a volume"),
        ({"volumes": ["da ta:1GB"]}, "cannot be used"),
        ({"volumes": ["data:lots"]}, "is not a size"),
        ({"volumes": ["data:0GB"]}, "must be above 0"),
        ({"volumes": ["data:1GB:/mnt/../etc"]}, "nothing can be mounted"),
        ({"volumes": ["a:1GB:/mnt/x", "a:1GB:/mnt/y"]}, "a is given twice"),
        ({"volumes": ["a:1GB:/mnt/x", "b:1GB:/mnt/x/"]}, "/mnt/x is given twice"),
        ({"volumes": [f"v{n}:1GB" for n in range(12)]}, "12 are too many"),
        ({"volumes": ["a:1GB"], "instances": 2}, "one machine at a time, not to 2"),
        ({"volumes": ["a:1GB:~/efs"], "filesystem": "data"}, "two things cannot be mounted at ~/efs"),
        ({"volumes": ["a:1GB"], "volume_policy": "burn"}, "must be keep or delete"),
        ({"volume_policy": "delete"}, "there is none"),
    ],
)
def test_volumes_that_do_not(options, why):
    with pytest.raises(ConfigError, match=why) as told:
        FleetOptions.check(None, "default", options)
    assert told.value.fix


def test_the_policy_says_whether_they_go():
    assert FleetOptions.check(None, "default", {"volumes": ["a:1GB"], "volume_policy": "delete"}).deletes_volumes
    assert not FleetOptions.check(None, "default", {"volume_policy": "keep"}).deletes_volumes
