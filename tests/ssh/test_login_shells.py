"""Every command line that aspot sends is run by the user's login shell, whichever that is."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspot.cli.ssh import counted
from aspot.errors import ConfigError
from aspot.ssh import copy, lasting, notebook
from aspot.ssh.lines import line_of
from aspot.storage import errand, program
from aspot.storage.copying import How
from tests.ssh.guest import LEASE, remote_of

pytestmark = pytest.mark.anyio

SHELLS = ("sh", "dash", "bash", "zsh", "busybox", "csh", "tcsh", "fish")
WORD = st.binary(max_size=8).map(lambda raw: raw.replace(b"\0", b"!").decode("utf-8", "surrogateescape"))
"""Any bytes, as Python names them."""

TRICKY = (
    "",
    "a b",
    "oh!",
    "!!",
    "new\nline\n",
    r"\ \\ \' \" \!",
    "it's",
    '"',
    "$HOME `x` ${SHELL:-1}",
    "*?[a]~",
    "ü\udcff",
)


def words_there(shell: str, *words: str) -> list[str]:
    """Return the words that a script gets that a login shell is to start."""
    command = [shell, *(["ash"] if shell == "busybox" else []), "-c", line_of('printf "%s\\0" "$@"', *words)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    return [word.decode("utf-8", "surrogateescape") for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("shell", SHELLS)
def test_words_arrive_as_they_are(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert words_there(shell, *TRICKY) == list(TRICKY)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=8, deadline=None)
@given(words=st.lists(WORD, min_size=1, max_size=5))
def test_any_words_arrive_as_they_are(shell, words):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert words_there(shell, *words) == words


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_its_input_and_its_exit_code(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    line = line_of('# it\'s a comment!\nread -r word\n[ "$word" = in ] || exit 1\nexit 7', "x")
    command = [shell, *(["ash"] if shell == "busybox" else []), "-c", line]
    assert subprocess.run(command, input=b"in\n", check=False).returncode == 7


async def test_a_machine_is_asked_for_its_lease_whatever_the_login_shell(odd_guest):
    async with remote_of(odd_guest) as remote:
        link = await remote.connect(odd_guest.target())
        assert await link.lease() is None
        await link.arm(LEASE)
        assert await link.lease() == LEASE
        assert await link.attempts() == []


async def test_copies_go_both_ways_whatever_the_login_shell(odd_guest, base, into):
    name = "it's! a name"
    (base / name).write_text("x\n")
    async with remote_of(odd_guest) as remote:
        connection = (await remote.connect(odd_guest.target()))._connection
        upload = copy.Upload(items=[(base / name, name)], dest="new place!/", how="into")
        assert await upload.send(connection, progress=lambda _done, _total: None) == (1, 2)
        assert (odd_guest.home / "new place!" / name).read_text() == "x\n"
        found = await copy.take(connection, copy.Source.of("new place!/it*"), into, progress=lambda _done, _total: None)
    assert (found.files, found.missing) == ((name,), ())
    assert (into / name).read_text() == "x\n"


async def test_a_notebook_server_and_lasting_shells_are_asked_for_whatever_the_login_shell(odd_guest):
    async with remote_of(odd_guest) as remote:
        connection = (await remote.connect(odd_guest.target()))._connection
        server = await notebook.look(connection)
        assert (server.port, server.token) == (0, "")
        await notebook.start(connection, "sleep 600", port=8888, token="abc")
        assert (await notebook.look(connection)).port == 8888
        assert await notebook.stop(connection)
        shells = await lasting.look(connection)
        assert shells.can_last is (shutil.which("tmux") is not None)
        assert shells.held == ()


async def test_a_command_is_run_by_the_login_shell_itself(odd_guest):
    """As OpenSSH does it: who logs in to fish writes fish."""
    async with remote_of(odd_guest) as remote:
        link = await remote.connect(odd_guest.target())
        await link.arm(LEASE)
        mine = "$version" if "csh" in odd_guest.login else "$FISH_VERSION"
        done = await link._connection.run(counted(f'echo "it\'s {mine}"; exit 5'), encoding="utf-8")
    assert done.exit_status == 5
    said = done.stdout.splitlines()
    assert said[-1].startswith("it's ")
    assert len(said[-1]) > len("it's ")


async def test_an_errand_starts_its_program_whatever_the_login_shell(odd_guest, monkeypatch):
    monkeypatch.setattr(program, "package", _reporting)
    asked = errand.Errand(source="s3://b/p", dest="data", how=How())
    async with remote_of(odd_guest) as remote:
        connection = (await remote.connect(odd_guest.target()))._connection
        with pytest.raises(ConfigError, match=r"^t_1: it's s3://b/p!$"):
            await asked.run(connection, label="t_1", watch=None)


def _reporting() -> bytes:
    """Return a program, as an errand sends one, that reports what it was asked for as an error."""
    text = (
        "import json, sys\nasked = json.loads(sys.stdin.readline())\n"
        "print('@aspot')\nprint(json.dumps({'error': f\"it's {asked['source']}!\", 'code': 2, 'fix': ''}))\n"
    )
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        made.writestr("__main__.py", text)
    return held.getvalue()
