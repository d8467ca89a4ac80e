"""`aspot.job`, as a script sees it: copied as one file, run by an old Python too, with real signals."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from waiting import until

from aspot import job

WHEN = datetime(2026, 11, 25, 22, 30, 5, tzinfo=UTC)


def works(python: str) -> bool:
    found = shutil.which(python)
    return found is not None and not subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode


OLDEST = next(filter(works, ("python3.8", "python3.9", "python3.10")), None)
PYTHONS = [sys.executable, *([OLDEST] if OLDEST else [])]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No variable of aspot's, a folder of its own, and a job that nobody told to stop."""
    for name in [name for name in os.environ if name.startswith("ASPOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "_stop", job._Stop())


@pytest.fixture
def notice(monkeypatch, tmp_path):
    """Where the machine writes the notice."""
    monkeypatch.setenv("ASPOT_NOTICE_FILE", str(tmp_path / "notice"))
    return tmp_path / "notice"


def give(notice: Path, when: datetime = WHEN) -> None:
    notice.write_text(when.strftime("%Y-%m-%dT%H:%M:%SZ\n"))


# --- what is known ---


def test_outside_aspot_nothing_is_interrupted():
    assert (job.interrupted(), job.deadline(), job.seconds_left(), job.attempt()) == (False, None, None, 1)
    assert job.checkpoint_dir() == Path("ckpt")
    assert job.checkpoint_dir("mine/deep").is_dir()
    assert list(job.steps(range(3), lambda: pytest.fail("saved"))) == [0, 1, 2]


def test_a_notice_is_read_when_it_is_there(notice):
    assert (job.interrupted(), job.deadline()) == (False, None)
    give(notice)
    assert (job.interrupted(), job.deadline()) == (True, WHEN)


def test_seconds_left_end_at_nothing(notice):
    give(notice, datetime.now(UTC) + timedelta(seconds=60))
    assert 50 < job.seconds_left() <= 60
    give(notice, datetime.now(UTC) - timedelta(seconds=60))
    assert job.seconds_left() == 0


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-25T22:30:05+00:00", WHEN),
        ("2026-11-25T22:30:05", WHEN),
        ("soon", None),
        ("2026-99-99T00:00:00Z", None),
    ],
)
def test_a_notice_may_be_written_in_other_ways_or_name_no_time(notice, text, when):
    notice.write_text(text)
    assert (job.interrupted(), job.deadline()) == (True, when)


def test_an_empty_notice_is_none(notice):
    notice.write_text("")
    assert not job.interrupted()


@pytest.mark.parametrize(
    ("name", "folder"), [("ckpt", "ckpt"), ("a/b", "a/b"), ("models/best.pt", "models"), (".hidden", ".hidden")]
)
def test_the_checkpoint_folder_is_what_the_job_named(monkeypatch, tmp_path, name, folder):
    monkeypatch.setenv("ASPOT_CHECKPOINT_DIR", str(tmp_path / "work" / name))
    assert job.checkpoint_dir("other") == tmp_path / "work" / folder
    assert (tmp_path / "work" / folder).is_dir()


def test_a_folder_with_a_dot_that_is_there_is_a_folder(monkeypatch, tmp_path):
    (tmp_path / "v1.0").mkdir()
    monkeypatch.setenv("ASPOT_CHECKPOINT_DIR", str(tmp_path / "v1.0"))
    assert job.checkpoint_dir() == tmp_path / "v1.0"


def test_the_attempt_is_a_number(monkeypatch):
    monkeypatch.setenv("ASPOT_ATTEMPT", "3")
    assert job.attempt() == 3
    monkeypatch.setenv("ASPOT_ATTEMPT", "x")
    assert job.attempt() == 1


# --- saving in time ---


def test_at_the_notice_it_saves_once_and_works_on(notice):
    done, saved = [], []
    for step in job.steps(range(6), lambda: saved.append(list(done))):
        done.append(step)
        if step == 2:
            give(notice)
    assert (done, saved) == ([0, 1, 2, 3, 4, 5], [[0, 1, 2]])


def test_told_to_stop_it_saves_and_ends_the_script():
    done, saved = [], []

    def work():
        for step in job.steps(range(6), lambda: saved.append(list(done))):
            done.append(step)
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        work()
    assert (done, saved, ended.value.code) == ([0, 1, 2, 3], [[0, 1, 2, 3]], 143)
    assert job.interrupted()


def test_a_stop_during_the_last_step_saves_too():
    saved = []
    with pytest.raises(SystemExit):
        [os.kill(os.getpid(), signal.SIGTERM) for _ in job.steps([1], lambda: saved.append(1))]
    assert saved == [1]


def test_a_loop_without_items_checks_by_itself():
    saved = []
    with job.saving(lambda: saved.append(1), every_s=0) as check:
        check()
        check()
    assert saved == [1, 1]


def test_it_saves_now_and_then_when_asked():
    saved = []
    with job.saving(lambda: saved.append(1), every_s=3600) as check:
        check()
    assert saved == []


def test_the_usual_effect_of_the_signal_is_back_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), job.saving(list):
        _inside_another(before)
    assert signal.getsignal(signal.SIGTERM) == before


def _inside_another(before):
    with job.saving(list):
        pass
    assert signal.getsignal(signal.SIGTERM) != before
    return 1 / 0


def test_beside_the_main_thread_the_notice_is_still_seen(notice):
    give(notice)
    saved: list[int] = []
    thread = threading.Thread(target=lambda: list(job.steps([1, 2], lambda: saved.append(1))))
    thread.start()
    thread.join()
    assert saved == [1]


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "model.pt"
    with job.whole(path) as draft:
        draft.write_text("old")
    with pytest.raises(ZeroDivisionError), job.whole(path) as draft:
        draft.write_text(f"half{1 / draft.write_text('')}")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["model.pt"]


def test_a_name_that_nothing_was_written_under_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), job.whole(tmp_path / "model.pt"):
        pass


# --- being told ---


def test_a_signal_is_asked_for_in_a_file(monkeypatch, tmp_path, notice):
    monkeypatch.setenv("ASPOT_SIGNAL_FILE", str(tmp_path / "signals"))
    heard = []
    before = signal.getsignal(signal.SIGUSR2)
    try:
        assert job.signal_on_notice(lambda number, _: heard.append(number), signal.SIGUSR2)
        assert (tmp_path / "signals").read_text() == f"USR2 {os.getpid()}\n"
        assert heard == []
        give(notice)
        assert job.signal_on_notice(lambda number, _: heard.append(number), signal.SIGUSR2)
        assert heard == [signal.SIGUSR2], "a notice that is there already is told at once"
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_outside_aspot_nobody_sends_a_signal():
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert not job.signal_on_notice(lambda *_: None)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_the_machine_does_not_send_is_refused():
    with pytest.raises(ValueError, match="SIGWINCH cannot be asked for"):
        job.signal_on_notice(lambda *_: None, signal.SIGWINCH)


# --- on its way there ---


@pytest.mark.parametrize(
    ("script", "name"),
    [("", "aspot/job.py"), ("train.py", "aspot/job.py"), ("tools/train.py", "tools/aspot/job.py"),
     ("/elsewhere/train.py", "aspot/job.py"), ("../train.py", "aspot/job.py"), (Path("a/b/c.py"), "a/b/aspot/job.py")],
)  # fmt: skip
def test_it_goes_beside_the_script(script, name):
    assert job.upload(script) == {job.__file__: name}


def test_it_needs_the_standard_library_only_and_reads_as_python_3_8():
    tree = ast.parse(Path(job.__file__).read_text(encoding="utf-8"), feature_version=(3, 8))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in found if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in found if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


SCRIPT = """
import multiprocessing, pathlib, time
from aspot import job

folder = job.checkpoint_dir()
at = folder / "at"
first = int(at.read_text()) if at.exists() else 0

def save():
    with job.whole(at) as draft:
        draft.write_text(str(done))

def wait():
    runs.write_text("")  # a signal before this may be lost: CPython forgets those of a fork
    time.sleep(60)

runs = pathlib.Path("worker-runs")
runs.unlink(missing_ok=True)
worker = multiprocessing.get_context("fork").Process(target=wait)
for step in job.steps(range(first, 10), save):
    if not worker.pid:
        worker.start()
        while not runs.exists():
            time.sleep(0.01)
    print("step", step, flush=True)
    if step == 3 and not first:
        pathlib.Path("ready").write_text("")
        while not job.interrupted():
            time.sleep(0.01)
    done = step + 1
worker.terminate()
worker.join()
print("end", worker.exitcode)
"""


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_a_script_with_the_copied_file_is_stopped_and_goes_on(tmp_path, python):
    """By a Python that has no aspot; its forked worker dies of the signal as it always did."""
    (tmp_path / "aspot").mkdir()
    shutil.copy(job.__file__, tmp_path / "aspot" / "job.py")
    (tmp_path / "train.py").write_text(SCRIPT)
    run = [python, "-S", "train.py"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(
        run, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as first:
        try:
            until((tmp_path / "ready").exists)
            os.killpg(first.pid, signal.SIGTERM)
            said, _ = first.communicate(timeout=20)
        finally:
            first.kill()
    assert said.splitlines() == [f"step {n}" for n in range(4)]
    assert first.returncode == 143
    assert (tmp_path / "ckpt/at").read_text() == "4"
    again = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=True)
    assert again.stdout.splitlines() == [*(f"step {n}" for n in range(4, 10)), "end -15"]


def test_it_says_where_it_is():
    said = subprocess.run([sys.executable, job.__file__], capture_output=True, text=True, check=True).stdout
    assert said == job.__file__ + "\n"
