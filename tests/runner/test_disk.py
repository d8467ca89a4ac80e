"""A disk without room: nothing starts on it, and a job that fills it still ends with a status."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.runner.conftest import RUN, order

LIMIT = "1m"


def inside(machine, script: str) -> str:
    """Run a script where the machine's attempts lie on a small disk of their own; skip where that cannot be had."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    folder = machine.home / ".aspot" / RUN
    folder.mkdir()
    identity = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    text = f'mount -t tmpfs -o size={LIMIT} tmpfs "{folder}" || exit 77\n{script}'
    words = ["unshare", *identity, "--mount", "sh", "-c", text]
    done = subprocess.run(words, env=machine.env, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode in (1, 77) and not done.stdout:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture
def shell(machine):
    return {"dash": "dash", "bash": "bash --posix", "busybox": "busybox ash"}[machine.shell]


def prepare(machine, shell, command: str) -> str:
    (machine.folder / "order").write_bytes(order(command))
    attempt = f"{machine.home}/.aspot/{RUN}/job/a1"
    return f"""
    mkdir -p "{attempt}/work/out"; echo set >"{attempt}/ready"
    run() {{ {shell} "{machine.runner}" "$@"; }}
    start() {{ run start {RUN} job 1 <"{machine.folder}/order"; echo "code $?"; }}
    """


def test_a_job_that_fills_the_disk_ends_with_a_status_that_says_so(machine, shell):
    text = prepare(machine, shell, "head -c 9000000 /dev/zero >fill; exit 3")
    said = inside(machine, text + f"start; run status {RUN} job 1; i=0; "
                  f"until run status {RUN} job 1 | grep -q '^v1' || [ $i = 100 ]; do sleep 0.1; i=$((i + 1)); done; "
                  f"run status {RUN} job 1")  # fmt: skip
    last = said.strip().splitlines()[-1]
    assert last.startswith("v1 rc=3 why=disk_full "), said
    assert last.endswith(" ok")


def test_on_a_full_disk_nothing_starts_and_nothing_ran(machine, shell):
    text = prepare(machine, shell, "echo run >>../count")
    fill = f'head -c 9000000 /dev/zero >"{machine.home}/.aspot/{RUN}/fill" 2>/dev/null; '
    said = inside(machine, text + fill + f'start; rm "{machine.home}/.aspot/{RUN}/fill"; '
                  f"run status {RUN} job 1; start")  # fmt: skip
    codes = [line for line in said.splitlines() if line.startswith("code ")]
    assert codes[0] in ("code 125", "code 122"), said
    assert "gone it was never started" in said
    assert codes[1] == "code 0"
