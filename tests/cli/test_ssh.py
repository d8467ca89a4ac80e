"""`aspot ssh`: a real terminal on a machine, exit codes, and a shell that outlives its connection."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from local_world import until
from processes import ASPOT
from screen import Screen

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux plays the terminal")


@pytest.fixture
def screen(tmp_path):
    made = Screen(tmp_path / "screen")
    yield made
    (tmp_path / "session.txt").write_text("\n\n".join(made.record))
    made.close()


def arrive(screen):
    """Wait for the machine's prompt, and set one that is known."""
    screen.shows(lambda text: re.search(r"^(bash-[\d.]+|ec2-user@.*)[$#]$", text, re.MULTILINE), within_s=40)
    screen.enter("PS1='there> '; clear")
    screen.shows(lambda text: text.strip() == "there>")


def ended(screen, code):
    """Wait for the prompt here, and see the exit code of what ended."""
    screen.shows(lambda text: text.endswith("here$"))
    screen.enter("echo was $?")
    screen.shows(f"was {code}\n")


def ssh(*words, **options):
    return subprocess.run(
        [*ASPOT, "ssh", *words],
        capture_output=True,
        timeout=60,
        check=False,
        **{"stdin": subprocess.DEVNULL, **options},
    )


def test_a_command_with_its_output_input_and_exit_code(machine):
    done = ssh("box", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    everything = bytes(range(256)) * 4000
    done = ssh("box_1", "cat", stdin=None, input=everything)
    assert (done.returncode, done.stdout, done.stderr) == (0, everything, b"")
    done = ssh("box/one", "sh", "-c", "'kill -TERM $$'")
    assert done.returncode == 128 + 15
    done = ssh(machine.ids[0], "printf '%s\\n'", "--", "-x", "--", "y")
    assert done.stdout == b"--\n-x\n--\ny\n"
    assert ssh("box", stdin=None, input=b"echo from a pipe; exit 4\n").returncode == 4, "a login shell reads its input"


def test_a_reader_that_goes_away_ends_it(machine):
    line = f"{' '.join(ASPOT)} ssh box yes | head -n 2"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("y\ny\n", "")


def test_ctrl_c_reaches_a_command_without_a_terminal(machine, start):
    from processes import Piped

    started = start(
        Piped, "ssh", "box", "trap 'echo caught > caught; exit' INT; touch waits; while :; do sleep 0.1; done"
    )
    until((machine.home() / "waits").exists)
    started.signal(2)
    assert started.end() == 130
    until((machine.home() / "caught").exists)


@needs_tmux
def test_a_session_on_a_terminal(machine, screen):
    """Size, colours, Ctrl-C, full-screen programs, Ctrl-D: as on a terminal here."""
    screen.run(*ASPOT, "ssh", "box")
    arrive(screen)
    screen.enter("stty size; tput colors")
    screen.shows("30 100\n256\n")
    screen.resize(70, 20)
    screen.enter("clear; stty size; printf '\\033[31mred\\033[0m\\n'")
    assert "20 70\n" in screen.shows("\x1b[31mred\n\x1b[39m", colours=True)
    screen.enter("clear; sleep 1000")
    until(lambda: "sleep" in _programs(machine))
    screen.key("C-c")
    screen.enter("echo code $?")
    screen.shows("code 130")
    screen.enter(f"{_editor()} notes.txt")
    screen.shows(lambda text: text.count("~") > 10)
    screen.type("ifrom a full screen")
    screen.key("Escape")
    screen.enter(":wq")
    until((machine.home() / "notes.txt").exists)
    assert (machine.home() / "notes.txt").read_text() == "from a full screen\n"
    screen.enter("clear; top")
    screen.shows(lambda text: "PID USER" in text and "load average" in text)
    screen.type("q")
    screen.shows(lambda text: text.endswith("there>"))  # top drops what is typed while it ends
    screen.enter("clear; (exit 5)")
    screen.shows(lambda text: text.strip() == "there>")
    screen.key("C-d")
    ended(screen, 5)


def _editor():
    """A full-screen editor that machines have: they see this computer's programs."""
    return "vim -u NONE -N" if shutil.which("vim") else "busybox vi"


def _programs(machine):
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in machine.cloud.guests()]


@needs_tmux
def test_a_shell_without_tmux_and_a_command_on_a_terminal(machine, screen):
    screen.run(*ASPOT, "ssh", "box", "stty size; exit 3")
    screen.shows("30 100")
    ended(screen, 3)
    screen.run(*ASPOT, "ssh", "--no-tmux", "box")
    arrive(screen)
    screen.enter("clear; tmux -L aspot ls; exit 6")
    ended(screen, 6)
    assert not (machine.home() / ".aspot/shells").exists()


@needs_tmux
def test_leaving_and_coming_back_to_the_shell(machine, screen):
    screen.run(*ASPOT, "ssh", "box")
    arrive(screen)
    screen.enter("mine=kept; clear; echo ready")
    screen.shows("ready\nthere>")
    screen.key("Enter")
    screen.type("~.")
    screen.shows("left; the shell goes on there, and aspot ssh box_1 returns to it")
    screen.enter("clear")
    screen.run(*ASPOT, "ssh", "box_1")
    screen.shows("back in the shell that an earlier connection left")
    screen.enter("clear; echo mine is $mine")
    screen.shows("mine is kept")
    screen.enter("(exit 0); exit")
    ended(screen, 0)


@needs_tmux
def test_a_dropped_connection_comes_back_to_the_same_shell(wire, screen):
    screen.run(*wire.aspot, "ssh", "box")
    arrive(screen)
    screen.enter("mine=kept; clear; echo ready")
    screen.shows("ready\nthere>")
    wire.reset()
    screen.shows("connected again, to the same shell")
    screen.enter("clear; echo mine is $mine")
    screen.shows("mine is kept")
    wire.proxy.hang_ups = 3
    wire.reset()
    screen.shows("connected again, to the same shell")
    assert wire.proxy.made >= 6
    screen.enter("clear; exit 9")
    ended(screen, 9)


@needs_tmux
def test_a_shell_that_ended_while_the_connection_was_broken(machine, wire, screen):
    screen.run(*wire.aspot, "ssh", "box")
    arrive(screen)
    screen.enter("clear; (touch waits; until [ -e go ]; do sleep 0.1; done; kill -9 $$) &")
    until((machine.home() / "waits").exists)
    wire.proxy.hang_ups = 10**6
    wire.reset()
    screen.shows("connecting again")
    (machine.home() / "go").touch()
    until((machine.home() / ".aspot/shells/shell-1.exit").exists)
    wire.proxy.hang_ups = 0
    screen.shows("here$")
    ended(screen, 137)


@needs_tmux
def test_ctrl_c_while_connecting_again_gives_up(wire, screen):
    screen.run(*wire.aspot, "ssh", "box")
    arrive(screen)
    wire.proxy.hang_ups = 10**6
    wire.reset()
    screen.shows("connecting again (Ctrl-C gives up)")
    screen.key("C-c")
    ended(screen, 130)
    wire.proxy.hang_ups = 0
    screen.run(*ASPOT, "ssh", "box")
    screen.shows("back in the shell that an earlier connection left")


@needs_tmux
def test_two_terminals_have_two_shells(machine, screen, tmp_path):
    screen.run(*ASPOT, "ssh", "box")
    arrive(screen)
    screen.enter("mine=first; clear; echo ready")
    screen.shows("ready\nthere>")
    other = Screen(tmp_path / "other")
    other.run(*ASPOT, "ssh", "box")
    arrive(other)
    other.enter('clear; echo "<$mine>"; exit 2')
    ended(other, 2)
    other.close()
    screen.enter("clear; echo mine is $mine")
    screen.shows("mine is first")
    screen.enter("exit 3")
    ended(screen, 3)


@needs_tmux
def test_a_drop_without_tmux_says_how_to_come_back(wire, screen):
    screen.run(*wire.aspot, "ssh", "--no-tmux", "box")
    arrive(screen)
    wire.reset()
    shown = screen.shows("error: the connection to box_1 broke, and its shell with it")
    assert "fix:   aspot ssh box_1 opens a new one" in shown
    ended(screen, 3)


def test_a_drop_under_a_command(machine, wire):
    line = [*wire.aspot, "ssh", "box", "touch waits; sleep 600"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as started:
        until((machine.home() / "waits").exists)
        wire.reset()
        said = started.communicate(timeout=30)[1]
    assert started.returncode == 3
    assert said.startswith("error: the connection to box_1 broke before the command ended\nfix:   ")


@needs_tmux
def test_a_machine_that_is_gone_ends_the_session(machine, screen, cloud):
    screen.run(*ASPOT, "ssh", "box")
    arrive(screen)
    cloud.client("ec2", tries=5).terminate_instances(InstanceIds=machine.ids)
    screen.shows(lambda text: re.search(r"error: box_1 \(i-[0-9a-f]+\) is gone: (terminated|shutting-down)", text))
    ended(screen, 3)


def test_names_that_lead_nowhere(aspot, fleet_of):
    """One line each, and what there is."""
    code, out, err = aspot("ssh", "nope", "true")
    assert (code, out) == (2, "")
    assert err == (
        "error: nothing called 'nope' is running\n"
        "fix:   no machine of yours that is known here is running; aspot ls --all shows what was\n"
    )
    fleet_of(2)
    code, _, err = aspot("ssh", "nope", "true")
    assert (code, err.splitlines()[1]) == (2, "fix:   these are running: box_1, box_2")
    code, _, err = aspot("ssh", "box", "true")
    assert (code, err) == (2, "error: box has 2 machines\nfix:   say which: box_1, box_2, or box/JOB\n")
    code, _, err = aspot("ssh", "box/nope", "true")
    assert (code, err) == (2, "error: box has no job 'nope'\nfix:   one of: one, two\n")
    code, _, err = aspot("ssh")
    assert code == 2
    assert err.startswith("error: the following arguments are required: NAME")


def test_a_fleet_that_has_ended(aspot, cloud, tmp_path):
    Path("ok.sh").write_text("true\n")
    assert aspot("run", "ok.sh", "-n", "past", "-q")[0] == 0
    code, _, err = aspot("ssh", "past", "true")
    assert (code, err.splitlines()[0]) == (2, "error: fleet past has ended")


def test_another_host_key_is_refused(aspot, machine, tmp_path):
    """Somebody else at its address: nothing is sent, exit code 3."""
    keys = next((tmp_path / "state/runs").glob("box-*/keys"))
    pinned = next((keys / "host-keys").glob("*.pub"))
    key = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True, timeout=20
    )
    assert key.returncode == 0
    kept = pinned.read_bytes()
    pinned.write_bytes((tmp_path / "other.pub").read_bytes())
    code, _, err = aspot("ssh", "box", "touch never")
    pinned.write_bytes(kept)
    assert code == 3
    assert "showed a host key that is not its own" in err
    assert not (machine.home() / "never").exists()


def test_a_machine_that_does_not_let_anybody_in_yet(aspot, cloud, start):
    from processes import Piped

    cloud.fault("never-boot")
    Path("one.sh").write_text("sleep 600\n")
    run = start(Piped, "run", "one.sh", "-n", "slow", "--json")
    run.says("instance_launched")
    found = until(lambda: [item for item in cloud.alive() if item["state"] == "running"])
    assert found
    code, _, err = aspot("ssh", "slow", "true")
    assert code == 3
    assert err.startswith("error: slow_1 at 127.")
    assert "try again" in err
    run.signal(2)
    run.end()
