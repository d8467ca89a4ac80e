"""The command that plays many seeds says what it played, and how to play a failure again."""

import subprocess
import sys
from pathlib import Path

from simulated.campaign import main
from simulated.oracle import Oracle

ROOT = Path(__file__).parents[2]


def test_the_command_plays_seeds_and_sums_up():
    words = [sys.executable, "-m", "tests.simulate", "--seeds", "3", "--first", "40", "--kills"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3 seeds, ")
    assert ", 0 failures, " in done.stdout
    assert "faults and deeds: " in done.stdout


def test_a_failure_is_shown_with_how_to_play_it_again(monkeypatch, capsys):
    monkeypatch.setattr(Oracle, "ends", lambda oracle: oracle.check(False, "V0: made up"))
    assert main(["--seeds", "9", "--first", "7", "--kills", "--most-failures", "1"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("1 seeds, ")
    assert "V0: made up" in said.err
    assert "job_ended: j" in said.err
    assert "play it again: python -m tests.simulate --first 7 --seeds 1 --kills" in said.err
