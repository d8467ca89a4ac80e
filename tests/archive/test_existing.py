"""What is done with results that are there: refused, resumed or replaced; and places that cannot be written to."""

from __future__ import annotations

import json
import os

import pytest

from aspot.archive.local import LocalArchive
from aspot.errors import ConfigError
from aspot.jobs import Job
from tests.archive.conftest import RUN, tree
from tests.archive.test_accept import bring_home, result

pytestmark = pytest.mark.anyio

ATTEMPT = {
    "number": 1,
    "instance_id": "i-1",
    "type": "c7g.large",
    "zone": "us-east-1a",
    "outcome": "succeeded",
    "started": "2026-11-23T16:07:00+00:00",
    "ended": "2026-11-23T16:08:30+00:00",
    "cost_usd": 0.01,
    "boot_s": 25.0,
    "idle_s": 1.5,
    "useful_s": 88.5,
    "redone_s": 0.0,
    "gap_s": None,
    "saved": "evacuated: 1 files, 3 bytes",
    "lost": "logs (no time left for it)",
}
NEWER = ("boot_s", "idle_s", "useful_s", "redone_s", "gap_s", "saved", "lost")
OF_AN_OLDER_ASPOT = {key: value for key, value in ATTEMPT.items() if key not in NEWER}


@pytest.fixture
async def finished(tmp_path):
    """Results of an earlier run: one job that succeeded, one that failed."""
    archive = LocalArchive(tmp_path / "results", "study", run="00" + "k" * 24)
    archive.prepare()
    archive.expect({"good": "d1", "bad": "d2"})
    for job, status in (("good", "succeeded"), ("bad", "failed")):
        bring_home(archive, job)
        data = result(status) | {"job": job, "missing": ["x"], "attempts": [ATTEMPT], "cost_usd": 0.02}
        await archive.accept(job, 1, data)
    await archive.finish({"run": "00" + "k" * 24, "results": [], "left": []})
    return archive


def again(finished):
    return LocalArchive(finished.layout.root.parent, "study", run=RUN)


async def test_earlier_results_are_refused_with_every_way_out(finished):
    before = tree(finished.layout.root)
    with pytest.raises(ConfigError, match="results of an earlier study are in") as caught:
        again(finished).prepare("refuse")
    for way in ("-n NAME", "--replace", 'existing="resume"'):
        assert way in caught.value.fix
    assert tree(finished.layout.root) == before


async def test_replace_moves_the_old_folder_aside_never_over_another(finished):
    root = finished.layout.root
    before = tree(root)
    again(finished).prepare("replace")
    assert tree(root.with_name("study.1")) == before
    assert tree(root) == {}
    (root / "train").mkdir()
    again(finished).prepare("replace")
    assert (root.with_name("study.2") / "train").is_dir()


async def test_resume_reuses_what_succeeded_with_the_same_inputs(finished):
    archive = again(finished)
    archive.prepare("resume")
    archive.expect({"good": "d1", "bad": "d2", "new": "d3"})
    jobs = {name: Job("train.sh", name=name) for name in ("good", "bad", "new")}
    found = archive.earlier(jobs)
    assert set(found) == {"good"}
    good = found["good"]
    assert (good.status, good.exit_code, good.cost, good.duration) == ("succeeded", 0, 0.02, 90.0)
    assert (good.files, good.missing) == (("out/m.json",), ("x",))
    assert good.attempts[0].to_json() == ATTEMPT
    assert good.stdout == "out 1\n"
    assert good.job is jobs["good"]


async def test_a_result_of_an_older_aspot_knows_less(finished):
    path = finished.layout.root / "good" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attempts": [OF_AN_OLDER_ASPOT]}))
    archive = again(finished)
    archive.expect({"good": "d1"})
    good = archive.earlier({"good": Job("train.sh", name="good")})["good"]
    assert (good.redone, good.recovery_gap) == (0.0, None)
    assert (good.attempts[0].boot, good.attempts[0].useful, good.attempts[0].gap) == (0.0, 0.0, None)


@pytest.mark.parametrize("digest", ["other", ""])
async def test_other_or_unknown_inputs_mean_to_run_again(finished, digest):
    archive = again(finished)
    archive.expect({"good": digest})
    assert archive.earlier({"good": Job("train.sh", name="good")}) == {}


async def test_a_result_that_cannot_be_read_means_to_run_again(finished):
    (finished.layout.root / "good" / "result.json").write_text("[1]")
    archive = again(finished)
    archive.expect({"good": "d1"})
    assert archive.earlier({"good": Job("train.sh", name="good")}) == {}


async def test_the_summary_lists_reused_results_in_order(finished):
    archive = again(finished)
    archive.prepare("resume")
    archive.expect({"first": "x", "good": "d1", "last": "y"})
    archive.earlier({"good": Job("train.sh", name="good")})
    new = [{"job": name, "status": "succeeded"} for name in ("last", "first")]
    await archive.finish({"run": RUN, "results": new, "left": []})
    summary = json.loads(archive.layout.summary.read_text())
    assert [item["job"] for item in summary["results"]] == ["first", "good", "last"]
    assert summary["results"][1]["dir"] == str(finished.layout.root / "good")


async def test_the_end_leaves_nothing_staged(archive):
    bring_home(archive)
    await archive.accept("train", 1, result())
    bring_home(archive, "never")
    await archive.finish({"run": RUN, "results": [], "left": []})
    assert sorted(path.name for path in archive.layout.root.iterdir()) == ["results.json", "train"]


async def test_what_a_run_staged_that_died_is_kept_apart(archive):
    bring_home(archive)
    with pytest.raises(ConfigError):
        LocalArchive(archive.layout.root.parent, "study", run="other").prepare()
    LocalArchive(archive.layout.root.parent, "study", run="other").prepare("resume")
    assert archive.layout.staged_logs("train") == []
    assert (archive.layout.root / ".staging.1" / "train" / "a1" / "stdout").read_text() == "out 1\n"


def test_a_run_that_was_refused_before_it_began_leaves_no_trace(archive):
    archive.abandon()
    assert not archive.layout.root.exists()
    archive.prepare()
    LocalArchive(archive.layout.root.parent, "study", run="other").prepare()


async def test_replaced_results_come_back_when_the_run_is_refused_after_all(finished):
    before = tree(finished.layout.root)
    archive = again(finished)
    archive.prepare("replace")
    archive.abandon()
    archive.abandon()
    assert tree(finished.layout.root) == before
    assert not finished.layout.root.with_name("study.1").exists()


def test_abandoning_never_removes_results(archive):
    bring_home(archive)
    archive.abandon()
    assert archive.layout.staged_logs("train")


def test_a_run_that_was_refused_early_touches_no_folder_of_another(archive):
    LocalArchive(archive.layout.root.parent, "study", run="other").abandon()
    assert archive.layout.root.exists()


def test_the_first_name_without_results_is_taken(tmp_path):
    names = ["train", "train-2", "train-3"]
    first, second = (LocalArchive.claim(tmp_path / "results", names, run=run) for run in ("a", "b"))
    assert (first.name, second.name) == ("train", "train-2")
    first.prepare()
    second.abandon()
    assert [item.name for item in (tmp_path / "results").iterdir()] == ["train"]


def test_a_claim_that_is_given_up_leaves_nothing(tmp_path):
    LocalArchive.claim(tmp_path / "results", ["train"], run="a").abandon()
    assert not (tmp_path / "results").exists()


def test_a_claim_where_nothing_can_be_made_is_refused(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        LocalArchive.claim(tmp_path / "results", ["train"], run="a")


def test_a_wrong_word_is_refused(archive):
    with pytest.raises(ConfigError, match="existing must be refuse, resume or replace, not 'append'"):
        archive.prepare("append")


@pytest.mark.parametrize("existing", ["refuse", "resume", "replace"])
def test_a_results_folder_that_is_a_file_is_refused(tmp_path, existing):
    (tmp_path / "results").write_text("")
    with pytest.raises(ConfigError, match=r"Not a directory|File exists") as caught:
        LocalArchive(tmp_path / "results", "study", run=RUN).prepare(existing)
    assert "--results" in caught.value.fix


def test_a_fleets_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "study").write_text("")
    with pytest.raises(ConfigError):
        LocalArchive(tmp_path, "study", run=RUN).prepare()


def test_a_read_only_place_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("nothing is read-only to root")
    try:
        with pytest.raises(ConfigError, match="Permission denied") as caught:
            LocalArchive(tmp_path, "study", run=RUN).prepare()
    finally:
        tmp_path.chmod(0o700)
    assert "writable" in caught.value.fix
