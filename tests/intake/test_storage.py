"""The words for storage, as users write them."""

import pytest

from aspot.errors import ConfigError
from aspot.intake.options import FleetOptions
from aspot.intake.storage import file_system
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
