"""Orders: what users put into arguments and variables reaches the job to the letter, and no shell acts on it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aspot.machine.model import JobSpec
from aspot.ports import AttemptOrder, Undeliverable
from aspot.ssh.order import fact_of, order_text, setup_text, status_in, status_of

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
KEY = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,12}\Z").filter(
    lambda key: not key.startswith(("ASPOT_", "PYTHON", "LD_", "BASH", "SHELLOPTS", "PS4", "ENV", "POSIX"))
    and key not in ("_", "PATH", "PWD", "OLDPWD", "IFS", "PPID", "UID", "EUID", "GROUPS", "LC_ALL", "LC_CTYPE", "LANG")
)  # fmt: skip
TELL = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


def run(order: bytes, shell: str, folder) -> tuple[list[str], dict[str, str]]:
    """Do what the supervisor does with an order: read it in a function, take its environment, become its words."""
    (folder / "order").write_bytes(order)
    text = f'go() {{ D="{folder}"; . "{folder}/order"; job_env; exec "$@"; }}; go'
    done = subprocess.run([*shell.split(), "-c", text], capture_output=True, check=True, cwd=folder)
    words, environment = json.loads(done.stdout)
    return words, environment


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox ash"])
@settings(max_examples=25, deadline=None)
@given(args=st.lists(TEXT, max_size=4), env=st.dictionaries(KEY, TEXT, max_size=4))
def test_any_text_arrives_as_it_is(tmp_path_factory, shell, args, env):
    spec = JobSpec(
        name="job", script="x", interpreter=(sys.executable, "-X", "utf8", "-c", TELL), remote_path="a b.py",
        args=tuple(args), env=env,
    )  # fmt: skip
    words, environment = run(order_text(AttemptOrder(spec=spec, attempt=1), "R"), shell, tmp_path_factory.mktemp("o"))
    assert words == ["a b.py", *args]
    assert {key: environment[key] for key in env} == env


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox ash"])
def test_arguments_of_a_command_are_words_after_it(tmp_path, shell):
    spec = JobSpec(name="job", script="x", command=f"{sys.executable} -c '{TELL}' one", args=("t w o", "$(id)", "'"))
    words, _ = run(order_text(AttemptOrder(spec=spec, attempt=1), "R"), shell, tmp_path)
    assert words == ["one", "t w o", "$(id)", "'"]


def test_a_script_that_looks_like_an_option_is_still_a_script():
    spec = JobSpec(name="job", script="x", interpreter=("/bin/sh",), remote_path="-c")
    assert b"set -- /bin/sh ./-c\n" in order_text(AttemptOrder(spec=spec, attempt=1), "R")


@pytest.mark.parametrize(
    ("path", "made"),
    [("ckpt/", "work/ckpt"), ("state.json", "work"), ("a/model.bin", "work/a"), (".hidden", "work/.hidden")],
)
def test_the_checkpoint_folder_is_made_unless_the_path_looks_like_a_files(path, made):
    spec = JobSpec(name="job", script="x", command="x", checkpoint=(path,))
    text = order_text(AttemptOrder(spec=spec, attempt=1), "R").decode()
    assert f"checkpoint={made}\n" in text
    assert f'export ASPOT_CHECKPOINT_DIR="$D"/work/{path.strip("/")}\n' in text


@pytest.mark.parametrize(
    "options", [{"args": ("a\0b",)}, {"env": {"A": "\0"}}, {"env": {"A B": "x"}}, {"on_notice": "\0"}]
)
def test_what_no_program_can_be_given_is_refused(options):
    spec = JobSpec(name="job", script="x", command="x", **options)
    with pytest.raises(Undeliverable) as caught:
        order_text(AttemptOrder(spec=spec, attempt=1), "R")
    assert caught.value.is_local


def test_a_set_up_script_may_say_anything():
    assert setup_text("echo 'hi'\n#whole\n").endswith(b"whole=yes\n#whole\n")


GOOD = "v1 rc=7 why=exit end=1700000000 boot=aaaaaaaa-1111 out=3 err=4 ok"


def test_a_whole_status_is_read():
    found = status_of(GOOD)
    assert (found.code, found.why, found.out, found.err, found.boot_id) == (7, "exit", 3, 4, "aaaaaaaa-1111")
    assert status_in(f"exited job 1 {GOOD}") == found


@given(st.integers(0, len(GOOD) - 1))
def test_no_part_of_a_status_is_one(end):
    assert status_of(GOOD[:end]) is None


@pytest.mark.parametrize(
    "line",
    [
        *("", "running", GOOD + " ", GOOD + "\n", GOOD.replace("rc=7", "rc=-7"), GOOD.replace("v1", "v2")),
        *(GOOD.replace("exit", "EXIT"), GOOD.replace("out=3", "out=9999999999999999999")),
    ],
)
def test_nothing_else_is_a_status(line):
    assert status_of(line) is None
    assert status_in(line) is None


@given(st.text(max_size=60))
def test_any_line_is_a_fact_or_nothing(line):
    fact_of(line)
    status_in(line)
