"""Files that leave a machine against the clock, in each shell (what the client makes of them: tests/ssh)."""

from __future__ import annotations

import shutil
import subprocess

from tests.runner.conftest import RUN, SHELLS


def test_a_file_that_is_given_up_is_not_read_again_for_its_hash(machine):
    work = machine.attempt() / "work"
    work.mkdir(parents=True)
    with open(work / "huge", "wb") as file:
        file.truncate(1 << 26)
    (work / "small").write_text("few\n")
    hashed = machine.folder / "hashed"
    machine.shim("sha256sum", f'echo >>"{hashed}"; exec {shutil.which("sha256sum")} "$@"')
    words = [*SHELLS[machine.shell].split(), str(machine.runner), "evacuate", RUN, "job", "1"]
    with subprocess.Popen(words, env=machine.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as given:
        given.stdin.write(b"small\nhuge\n\n- small\n")
        given.stdin.flush()
        while given.stdout.readline() != b"few\n":
            pass
        assert given.stdout.readline().split()[1] == b"whole"
        given.stdin.write(b"- huge\n")
        given.stdin.flush()
        assert given.stdout.readline() == b"67108864\n"
        given.stdout.close()  # as the channel of a client that goes on with another file
        assert given.wait(20)
    assert hashed.read_text() == "\n"
