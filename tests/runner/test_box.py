"""A machine that stays: what counts as use of it, commands, and files."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import time

import pytest
from waiting import until

from aspot.ssh.box_order import Command
from tests.runner.conftest import processes_with
from tests.runner.test_lease import LONG, arm

ID = "0123abcd"


def exec_(machine, command, **options):
    order = Command(id=ID, words=("/bin/sh", "-c", command), **options)
    return machine.begin("exec", ID, stdin=order.text())


def said(answer):
    return answer.out.partition("@aspot\n")[2]


def test_a_prompt_keeps_the_machine_and_its_end_lets_it_go(machine):
    arm(machine, term=30, idle=20)
    machine.begin("session", "/bin/sleep", 2)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert not machine.off.exists()
    until(machine.off.exists)


def test_a_command_keeps_it_too(machine):
    arm(machine, term=30, idle=20)
    number = exec_(machine, "sleep 1.5; echo done")
    assert said(machine.wait(number)) == "done\n"
    assert not machine.off.exists()
    until(machine.off.exists)


def test_what_was_left_behind_keeps_a_box_while_it_computes_and_not_while_it_sleeps(machine):
    arm(machine, term=30, idle=60)
    machine.run("hello", "keep")
    busy = "setsid sh -c 'end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do :; done; exec sleep 600'"
    exec_(machine, f"{busy} >/dev/null 2>&1 &")
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert not machine.off.exists()
    until(machine.off.exists)
    assert processes_with("sleep 600")


def test_plain_ssh_keeps_a_box(machine):
    arm(machine, term=30, idle=60)
    machine.run("hello", "keep")
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    other = subprocess.Popen([f"sshd: {user}@pts/0", "60"], executable="/bin/sleep")
    try:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert not machine.off.exists()
    finally:
        other.kill()
        other.wait()
    until(machine.off.exists)


def test_use_says_how_long_nobody_was_there_and_how_long_it_will_be_there(machine):
    arm(machine, term=1000, idle=LONG)
    first = [int(word) for word in machine.run("use").said.split()]
    assert first[0] < 500
    assert first[1] <= LONG  # never more than its life
    machine.run("hello", 50000)
    _, left = (int(word) for word in machine.run("use").said.split())
    assert 50000 < left <= 51000
    machine.begin("session", "/bin/sleep", 3)
    until((machine.home / ".aspot/.machine/sessions").is_dir)
    until(lambda: machine.run("use").said.split()[0] == "0")


def test_a_look_changes_nothing(machine):
    arm(machine, term=LONG)
    machine.run("hello", "look")
    assert not (machine.home / ".aspot/.machine/box").exists()
    facts = machine.run("hello", "keep").said
    assert f"home={machine.home}\n" in facts
    assert "\ngpus=0\n" in facts
    assert (machine.home / ".aspot/.machine/box").exists()


def test_a_command_has_its_folder_environment_outputs_and_code(machine):
    (machine.home / "a b").mkdir()
    answer = machine.wait(exec_(machine, 'pwd; echo "$X"; echo bad >&2; exit 7', where="~/a b", env={"X": "it's"}))
    assert said(answer) == f"{machine.home}/a b\nit's\n"
    assert answer.err == "@aspot\nbad\n"
    assert answer.code == 7
    gone = machine.wait(exec_(machine, "true", where="nowhere"))
    assert (gone.code, gone.out) == (126, "")
    assert "there is no folder nowhere" in gone.err
    cut = machine.run("exec", ID, stdin=Command(id=ID, words=("true",)).text()[:-3])
    assert cut.code == 122


def test_a_script_and_a_secret_leave_nothing(machine):
    order = Command(
        id=ID, words=("/bin/sh",), script='IFS= read -r s <&3; echo "$0 $1 ${#s}"', args=["it's"], secret="hush-hush"
    )
    assert said(machine.run("exec", ID, stdin=order.text())).endswith(f"{ID}.d/script it's 9\n")
    assert machine.run("end", ID, "keep").said == "ended\n"
    found = subprocess.run(["grep", "-r", "hush-hush", machine.home], capture_output=True, check=False)
    assert found.returncode == 1
    assert not (machine.home / f".aspot/.machine/sessions/{ID}.d").exists()


def test_ending_a_command_ends_what_it_started(machine):
    number = exec_(machine, "setsid sleep 611 & sleep 612")
    until(lambda: processes_with("sleep 611") and processes_with("sleep 612"))
    assert machine.run("end", ID, 100).said == "ended\n"
    machine.wait(number)
    assert not processes_with("sleep 611")
    assert not processes_with("sleep 612")


def tar_of(**files) -> bytes:
    """Return the stream of files below t/ and their sums."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as stream:
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  t/{name}\n" for name, data in files.items()).encode()
        for name, data in {"sums": sums, **{f"t/{name}": data for name, data in files.items()}}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            stream.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def put(machine, where, stream):
    return machine.run("put", stdin=f"{where}\n0\n{len(stream)}\n".encode() + stream)


@pytest.mark.parametrize("where", ["~/in/side", "in/side"])
def test_files_are_placed_by_rename_and_what_is_there_stays(machine, where):
    folder = machine.home / "in" / "side"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "old").write_text("old")
    (folder / "sub" / "a").write_text("before")
    held = (folder / "sub" / "a").open()
    assert put(machine, where, tar_of(**{"sub/a": b"after", ".b": b"dot"})).said == "there\nend\nplaced\n"
    assert (folder / "sub" / "a").read_text() == "after"
    assert held.read() == "before"
    held.close()
    assert (folder / "sub" / "old").read_text() == "old"
    assert (folder / ".b").read_text() == "dot"
    assert not list((machine.home / ".aspot").glob(".put*"))


def test_damaged_files_are_not_placed(machine):
    stream = tar_of(a=b"good").replace(b"good", b"evil")
    answer = put(machine, "~", stream)
    assert answer.code == 122
    assert "damaged" in answer.err
    assert not (machine.home / "a").exists()
