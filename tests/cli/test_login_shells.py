"""Machines whose user logs in to csh or fish: everything works there, and `aspot ssh` speaks that shell."""

import shutil
import subprocess
from pathlib import Path

import pytest
from local_world import write
from processes import ASPOT

SHELLS = {"tcsh": "$shell", "fish": "$FISH_VERSION"}


@pytest.fixture(params=SHELLS)
def shell(request, cloud):
    """A shell of that name, which the next machine's user logs in to."""
    path = shutil.which(request.param, path="/usr/bin:/bin")
    if path is None:
        pytest.skip(f"{request.param} is not installed")
    cloud.fault("login-shell", shell=path)
    return request.param


def test_a_run_with_files_in_and_out(aspot, shell):
    write("in/it's!.txt", "content\n")
    write("go.sh", 'echo "$SHELL"; cat "in/it\'s!.txt" >out/b; exit 3\n')
    write("aspot.toml", "[profiles.made]\nsetup = '''\n# it's a comment!\necho ready > made\n'''\n")
    code, out, err = aspot("run", "go.sh", "-p", "made", "-n", "odd", "--upload", "in", "--env", "A=it's! \\n")
    assert code == 1, err
    assert Path("aspot-results/odd/go/stdout").read_text().strip().endswith(shell)
    assert Path("aspot-results/odd/go/out/b").read_text() == "content\n"
    assert "exit code 3" in out + err


def test_commands_and_copies(aspot, shell, fleet_of):
    home = fleet_of().home()
    done = subprocess.run(
        [*ASPOT, "ssh", "box", f"echo it\\'s {SHELLS[shell]}; exit 7"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 7
    assert done.stdout.startswith(b"it's ")
    assert len(done.stdout.strip()) > len("it's")
    write("a b!.txt", "a\n")
    assert aspot("cp", "a b!.txt", "box:new place/")[0] == 0
    assert (home / "new place/a b!.txt").read_text() == "a\n"
    assert aspot("cp", "box:new place/*", "back/")[0] == 0
    assert Path("back/a b!.txt").read_text() == "a\n"


def test_a_box(aspot, shell):
    assert aspot("connect", "-n", "odd")[0] == 0
    done = subprocess.run(
        [*ASPOT, "ssh", "odd", f"echo it\\'s {SHELLS[shell]}!; exit 7"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 7
    assert done.stdout.startswith(b"it's ")
    assert done.stdout.endswith(b"!\n")
    assert aspot("down", "odd")[0] == 0
