"""Every command finds its region in one way: `--region`, else the profile's, else AWS's own configuration."""

import argparse

import pytest
from local_world import write

from aspot.cli.arguments import build

NEW = "nobodys"
"""A security group that is not there: what would launch something says so, and in which region."""

COMMANDS = {
    "run": f"run -q --security-group {NEW} -- true",
    "connect": f"connect -n dev -sg {NEW}",
    "launch": f"launch dev -sg {NEW}",
    "attach": "attach study --from-cloud",
    "ls": "ls",
    "down": "down --all",
    "clean": "clean",
    "sweep": "sweep",
    "prices": "prices t3.small",
    "types": "types --vcpu 2",
    "images": "images debian",
    "doctor": "doctor",
    "events setup": "events setup",
    "events status": "events status",
    "events teardown": "events teardown",
    "s3 ls": "s3 ls",
    "s3 rm": "s3 rm s3://nowhere-at-all/x",
    "s3 cp": "s3 cp here.txt s3://nowhere-at-all/x",
    "s3 sync": "s3 sync . s3://nowhere-at-all/x",
    "sync": "sync . s3://nowhere-at-all/x",
    "roles ls": "roles ls",
    "roles create": "roles create mine --bucket nowhere-at-all",
    "roles rm": "roles rm nothing",
    "fs ls": "fs ls",
    "fs create": "fs create data",
    "fs rm": "fs rm nothing --yes",
    "volume ls": "volume ls",
    "volume rm": "volume rm nothing --yes",
}
OF_A_RUN = {"status", "logs", "export", "fs mount"}
"""About a run or machine that is known here, and where."""
HAS_NONE = {"demo", "profiles reset", "local fault deny", "local fault throttle", "local fault lose-answer"}
"""They start or change a local cloud, or choose the region, and work whatever is configured."""
MAKES = ("CreateFileSystem", "CreateRole", "CreateInstanceProfile", "CreateQueue", "PutRule")
STRANGE = "mars-north-1"


def with_a_region(parser, path=()):
    """Yield every command that has `--region`."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below and any("--region" in action.option_strings for action in parser._actions):
        yield " ".join(path)
    for action in below:
        for name, sub in action.choices.items():
            yield from with_a_region(sub, (*path, name))


def test_no_command_is_forgotten_here():
    assert set(with_a_region(build())) == COMMANDS.keys() | OF_A_RUN | HAS_NONE


def profile(region, tmp_path):
    write(tmp_path / "config" / "profiles.toml", f'[default]\nregion = "{region}"\n')


@pytest.mark.parametrize("name", COMMANDS)
def test_the_option_then_the_profile_then_aws(cloud, aspot, tmp_path, monkeypatch, name):
    for action in MAKES:
        cloud.fault("deny", action=action)
    write("here.txt", "x")
    words = COMMANDS[name].split()
    given = [*words[:1], "--region", "us-east-2", *words[1:]] if " " not in name else [
        *words[:2], "--region", "us-east-2", *words[2:]
    ]  # fmt: skip
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(variable, STRANGE)
    told = aspot(*words)  # AWS's configuration comes last, and is used
    assert f"no AWS region '{STRANGE}'" in told[1] + told[2]

    profile("us-west-2", tmp_path)
    told = aspot(*words)
    assert STRANGE not in told[1] + told[2]
    if NEW in words:
        assert f"no security group called {NEW!r} in us-west-2" in told[2]

    profile(STRANGE, tmp_path)
    told = aspot(*given)
    assert STRANGE not in told[1] + told[2]
    if NEW in words:
        assert f"no security group called {NEW!r} in us-east-2" in told[2]
