"""The example of docs/inside-a-job.md runs, is stopped, and goes on: as it stands there."""

import re
import signal
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "inside-a-job.md"
STOP = "    import os, signal\n    number == 500 and os.kill(os.getpid(), signal.SIGTERM)\n"


def test_the_example_runs_and_goes_on_where_it_was_stopped(tmp_path):
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    stopped = example.replace("print(total)", STOP + "print(total)")
    assert stopped != example
    first = run(tmp_path, stopped)
    assert (first.returncode, first.stdout) == (128 + signal.SIGTERM, "")
    assert (tmp_path / "ckpt/sum").read_text() == f"500 {sum(range(501))}"
    second = run(tmp_path, example)
    assert (second.returncode, second.stdout) == (0, f"{sum(range(1001))}\n"), second.stderr


def run(folder, text):
    path = f"{Path(__file__).parents[2]}"
    return subprocess.run(
        [sys.executable, "-c", text], cwd=folder, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
