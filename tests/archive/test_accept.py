"""Results appear whole, by one rename, exactly once, whatever dies in between."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aspot.archive import accept, disk
from aspot.archive.local import LocalArchive, log_folders
from aspot.errors import AspotError
from tests.archive.conftest import RUN, tree

pytestmark = pytest.mark.anyio


def bring_home(archive, job="train", attempt=1, files=None):
    sink = archive.sink(job, attempt)
    sink.write("stdout", f"out {attempt}\n".encode())
    sink.write("stderr", f"err {attempt}\n".encode())
    into = archive.staging(job, attempt)
    for name, content in (files or {"out/m.json": "{}"}).items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(content)


def result(status="succeeded", **more):
    return {"job": "train", "status": status, "exit_code": 0, "files": ["out/m.json"], **more}


async def test_the_folder_is_as_documented(archive):
    bring_home(archive)
    folder = await archive.accept("train", 1, result())
    found = tree(folder)
    assert folder == archive.layout.root / "train"
    assert set(found) == {"stdout", "stderr", "result.json", "out/m.json"}
    assert found["stdout"] == b"out 1\n"
    assert json.loads(found["result.json"]) == result() | {"inputs": "", "run": RUN, "attempt": 1}


async def test_outputs_of_earlier_attempts_are_kept_beside(archive):
    for number in (1, 2, 3):
        bring_home(archive, attempt=number)
    found = tree(await archive.accept("train", 3, result()))
    assert found["stdout"] == b"out 3\n"
    assert {name for name in found if name.startswith("attempts/")} == {
        f"attempts/a{number}/{stream}" for number in (1, 2) for stream in ("stdout", "stderr")
    }


async def test_what_was_evacuated_of_each_attempt_is_kept_beside(archive):
    for number in (1, 2, 3):
        bring_home(archive, attempt=number)
    for number in (1, 3):
        folder = archive.evacuation("train", number)
        (folder / "logs").mkdir()
        (folder / "logs" / "x").write_text(f"x {number}")
    assert archive.evacuation("train", 1) == archive.evacuation("train", 1)
    archive.evacuation("train", 2)  # nothing came
    found = tree(await archive.accept("train", 3, result()))
    assert {name: content for name, content in found.items() if "evacuated" in name} == {
        "attempts/a1/evacuated/logs/x": b"x 1",
        "attempts/a3/evacuated/logs/x": b"x 3",
    }
    assert json.loads(found["result.json"])["files"] == ["out/m.json"]


async def test_a_job_without_any_attempt_has_a_folder_too(archive):
    found = tree(await archive.accept("train", 0, result("cancelled", files=[])))
    assert (found["stdout"], found["stderr"]) == (b"", b"")
    assert json.loads(found["result.json"])["status"] == "cancelled"


async def test_a_lost_job_shows_the_output_of_its_newest_attempt(archive):
    bring_home(archive, attempt=1)
    bring_home(archive, attempt=2)
    found = tree(await archive.accept("train", 0, result("lost", files=[])))
    assert found["stdout"] == b"out 2\n"
    assert found["attempts/a1/stdout"] == b"out 1\n"
    assert "out/m.json" not in found


async def test_the_newest_checkpoint_of_a_job_that_did_not_succeed_is_kept(archive):
    for serial in (1, 2):
        (archive.checkpoint_staging("train", serial) / "ckpt").write_text(str(serial))
        await archive.keep_checkpoint("train", serial)
    found = tree(await archive.accept("train", 0, result("budget", files=[])))
    assert found["attempts/checkpoint/ckpt"] == b"2"


async def test_the_checkpoint_of_a_job_that_succeeded_goes(archive):
    (archive.checkpoint_staging("train", 1) / "ckpt").write_text("1")
    await archive.keep_checkpoint("train", 1)
    bring_home(archive)
    assert "attempts/checkpoint/ckpt" not in tree(await archive.accept("train", 1, result()))


async def test_names_of_ours_and_names_equal_but_for_case_are_escaped(archive):
    files = {"stdout": "mine", "Result.json": "mine", "attempts/x": "mine", "Out/a": "1", "out/a": "2"}
    bring_home(archive, files=files)
    folder = await archive.accept("train", 1, result(files=sorted(files)))
    found = tree(folder)
    assert found["stdout"] == b"out 1\n"
    assert found["stdout.job"] == found["Result.json.job"] == found["attempts.job/x"] == b"mine"
    assert (found["Out/a"], found["out.job/a"]) == (b"1", b"2")
    listed = json.loads(found["result.json"])["files"]
    assert listed == sorted(set(found) - {"stdout", "stderr", "result.json"})


async def test_accepting_again_changes_nothing(archive):
    bring_home(archive)
    folder = await archive.accept("train", 1, result())
    before = tree(folder)
    bring_home(archive, attempt=1, files={"out/m.json": "other"})
    assert await archive.accept("train", 1, result("failed")) == folder
    assert tree(folder) == before


async def test_what_an_earlier_run_left_under_the_name_makes_way(archive):
    old = archive.layout.root / "train"
    old.mkdir()
    (old / "result.json").write_text(json.dumps(result("failed", run="older")))
    (old / "leftover").write_text("")
    bring_home(archive)
    assert set(tree(await archive.accept("train", 1, result()))) == {"stdout", "stderr", "result.json", "out/m.json"}


class Died(BaseException):
    """The process was killed here."""


STEPS = ("rename", "replace", "mkdir", "touch", "unlink")


def dying(monkeypatch, countdown):
    """Let the process die at the n-th step that changes the disk."""
    left = [countdown]

    def counted(step):
        def call(self, *args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                raise Died
            return step(self, *args, **kwargs)

        return call

    for name in STEPS:
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    for name in ("write_durably", "remove"):
        real = getattr(disk, name)
        monkeypatch.setattr(disk, name, lambda *args, real=real: counted(lambda _, *rest: real(*rest))(None, *args))
    return left


@pytest.mark.parametrize("with_older", [False, True])
async def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path, with_older):
    expected: dict[str, bytes] = {}
    for death in range(1, 100):
        archive = LocalArchive(tmp_path / f"r{death}", "study", run=RUN)
        archive.prepare()
        if with_older:
            (archive.layout.root / "train").mkdir()
            (archive.layout.root / "train" / "result.json").write_text('{"run": "older"}')
        bring_home(archive, attempt=1)
        bring_home(archive, attempt=2, files={"out/m.json": "{}", "stdout": "mine", "Out/x": "y"})
        for serial in (1, 2):
            (archive.checkpoint_staging("train", serial) / "ckpt").write_text(str(serial))
            await archive.keep_checkpoint("train", serial)
        acceptance = accept.Acceptance(archive.layout, RUN, "train", 2, result("failed"))
        with pytest.MonkeyPatch.context() as patch:
            left = dying(patch, death)
            with contextlib.suppress(Died):
                acceptance.carry_out()
        folder = archive.layout.root / "train"
        if folder.exists():
            seen = tree(folder)
            assert seen == {"result.json": b'{"run": "older"}'} or seen == (expected or seen)  # whole or not at all
        assert tree(acceptance.carry_out()) == (expected or tree(folder))
        assert not archive.layout.staged("train").exists()
        expected = expected or tree(folder)
        if left[0] > 0:
            break
    assert 10 < death < 99
    assert expected["attempts/checkpoint/ckpt"] == b"2"


async def test_output_can_be_found_while_the_job_runs_and_after(archive):
    results = archive.layout.root.parent
    assert log_folders(results, "study", "train") == []
    bring_home(archive, attempt=2)
    assert [(number, path.name) for number, path in log_folders(results, "study", "train")] == [(2, "a2")]
    bring_home(archive, attempt=4)
    folder = await archive.accept("train", 4, result())
    found = log_folders(results, "study", "train")
    assert found == [(2, folder / "attempts" / "a2"), (4, folder)]
    assert [(path / "stdout").read_text() for _, path in found] == ["out 2\n", "out 4\n"]


async def test_checkpoints_are_kept_by_rename_and_only_the_newest_two(archive):
    from datetime import UTC, datetime

    from aspot.machine.model import Checkpoint

    for serial in range(1, 5):
        staged = archive.checkpoint_staging("train", serial)
        (staged / "ckpt").mkdir()
        (staged / "ckpt" / "w").write_text(str(serial))
        await archive.keep_checkpoint("train", serial)
        await archive.keep_checkpoint("train", serial)
    saved = Checkpoint(job="train", attempt=1, serial=4, files=1, size=1, taken=datetime.now(UTC))
    assert tree(archive.checkpoint(saved)) == {"ckpt/w": b"4"}
    assert sorted(path.name for path in archive.layout.checkpoints("train").iterdir()) == ["3", "4"]


async def test_staging_is_fresh_each_time(archive):
    (archive.staging("train", 1) / "half").write_text("")
    (archive.checkpoint_staging("train", 1) / "half").write_text("")
    assert list(archive.staging("train", 1).iterdir()) == []
    assert list(archive.checkpoint_staging("train", 1).iterdir()) == []


async def test_a_folder_that_cannot_be_published_is_said(archive):
    bring_home(archive)
    archive.layout.staged("other").write_text("a file where a folder must be")
    with pytest.raises(AspotError, match="cannot write to"):
        await archive.accept("other", 1, result())


async def test_ten_thousand_small_files_are_published(archive):
    into = archive.staging("train", 1)
    for number in range(10_000):
        (into / f"{number}").write_bytes(b"")
    folder = await archive.accept("train", 1, result())
    assert len(json.loads((folder / "result.json").read_text())["files"]) == 10_000


async def test_a_read_only_folder_is_said(archive):
    bring_home(archive)
    archive.layout.root.chmod(0o500)
    if os.access(archive.layout.root, os.W_OK):
        pytest.skip("nothing is read-only to root")
    try:
        with pytest.raises(AspotError, match="Permission denied") as caught:
            await archive.accept("train", 1, result())
    finally:
        archive.layout.root.chmod(0o700)
    assert "writable" in caught.value.fix


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.text(st.sampled_from("aAbBoOsS.jJ"), min_size=1, max_size=4).filter(lambda name: name.strip(".")))
)
async def test_no_file_is_lost_to_another(tmp_path_factory, names):
    archive = LocalArchive(tmp_path_factory.mktemp("r"), "study", run=RUN)
    archive.prepare()
    bring_home(archive, files={name: name for name in names | {"stdout"}})
    found = tree(await archive.accept("train", 1, result()))
    own = {name: text for name, text in found.items() if name not in ("stdout", "stderr", "result.json")}
    assert sorted(text.decode() for text in own.values()) == sorted(names | {"stdout"})
    assert len({name.casefold() for name in found}) == len(found)


async def test_what_another_client_published_meanwhile_is_not_moved(archive, monkeypatch):
    """This process fell asleep after it had seen no result yet, and another one has taken the run over since."""
    bring_home(archive)
    build = accept.Acceptance._built

    def build_after_the_other(self):
        monkeypatch.undo()
        self.carry_out()
        return build(self)

    monkeypatch.setattr(accept.Acceptance, "_built", build_after_the_other)
    with pytest.raises(AspotError):
        await archive.accept("train", 1, result())
    assert (archive.layout.root / "train/out/m.json").read_text() == "{}"
    assert await archive.accept("train", 1, result()) == archive.layout.root / "train"
