"""What docs/profiles.md shows: files that are read, command lines that are understood, every built-in profile."""

import re
import shlex
from pathlib import Path

import pytest

from aspot.cli.arguments import parse
from aspot.profiles.builtin import BUILT_IN
from aspot.profiles.edit import values_of
from aspot.profiles.read import EXAMPLES
from aspot.profiles.read import parse as read
from aspot.profiles.shelf import Shelf

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "profiles.md").read_text(encoding="utf-8")
FILES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_the_files_work_and_use_every_key(tmp_path):
    (tmp_path / "train-setup.sh").write_text("true\n")
    user = read(FILES[0], path=tmp_path / "profiles.toml", source="user")
    project = read(FILES[1], path=tmp_path / "aspot.toml", source="project")
    shelf = Shelf([*project, *user])
    shelf.check()
    assert shelf.resolve("train").types == ("g6.xlarge",)
    used = {key for entry in user for key in entry.options} | {"extends"}
    assert used == set(EXAMPLES)


@pytest.mark.parametrize("line", LINES)
def test_the_command_lines_are_understood(line):
    args = parse(shlex.split(line)[1:])
    if args.command == "profiles" and args.profiles_command == "set":
        assert values_of(args.options, folder=DOCS)


def test_every_profile_by_purpose_is_named():
    assert [name for name in BUILT_IN if f"`{name}`" not in PAGE] == []


def test_the_ancestor_s_table_names_tests_that_are_there():
    root = DOCS.parent
    file = None
    for path, name in re.findall(r"`(tests/[\w/.]*)?(?:::(\w+))?`", (DOCS / "ancestor.md").read_text(encoding="utf-8")):
        file = root / path if path else file
        assert file is not None
        assert file.exists(), path
        assert not name or f"def {name}(" in file.read_text(encoding="utf-8"), name
