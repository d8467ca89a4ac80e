"""Jobs as users give them: resolved exactly as API.md says, or refused with one message that names the fix."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.errors import ConfigError
from aspot.intake.jobs import resolve_jobs
from aspot.jobs import Job, grid
from aspot.machine.names import NAME


@pytest.fixture
def here(tmp_path):
    folder = tmp_path / "here"
    (folder / "src" / "deep").mkdir(parents=True)
    for name in ("train.sh", "eval.sh", "Train.sh", "ok one.sh", "results.json.sh"):
        (folder / name).write_text("echo\n")
    (folder / "src" / "deep" / "a.py").write_text("1")
    (folder / "src" / "b.py").write_text("2")
    return folder


def resolve(jobs, here, **options):
    return resolve_jobs(jobs, base=here, texts=here.parent / "texts", skip=here / "aspot-results", **options)


def names(jobs, here, **options):
    return [item.spec.name for item in resolve(jobs, here, **options)]


def refusal(jobs, here, **options):
    with pytest.raises(ConfigError) as caught:
        resolve(jobs, here, **options)
    assert caught.value.fix
    return str(caught.value)


def test_one_string_is_one_job_not_letters(here):
    assert names("train.sh", here) == ["train"]
    assert names(Path("train.sh"), here) == ["train"]
    assert names(Job("train.sh"), here) == ["train"]
    assert names("#!/bin/sh", here) == ["script"]


def test_lists_tuples_and_generators_are_jobs_in_order(here):
    assert names(["train.sh", Path("eval.sh"), Job(command="make all"), "echo\n"], here) == [
        "train",
        "eval",
        "make",
        "script",
    ]
    assert names((name for name in ("eval.sh", "train.sh")), here) == ["eval", "train"]
    assert names([], here) == []


@pytest.mark.parametrize("wrong", [3, None, [3], b"train.sh", [["train.sh"]], {"train.sh": 1}.items()])
def test_what_is_no_job_is_refused(here, wrong):
    assert "is not a job" in refusal(wrong, here)


def test_the_job_comes_back_as_given_with_its_name(here):
    given_job = Job("ok one.sh", args=["--x", 1], env={"A": 1}, params={"lr": 0.1})
    found = resolve(given_job, here)[0]
    assert found.job.name == found.spec.name == "ok-one-lr0.1"
    assert found.job.args == found.spec.args == ("--x", "1")
    assert (found.spec.script, found.spec.source) == ("ok one.sh", str(here / "ok one.sh"))
    assert found.spec.base == str(here)


def test_a_command_has_no_script(here):
    spec = resolve(Job(command="python3 train.py", checkpoint="ckpt/", on_notice="./save.sh"), here)[0].spec
    assert (spec.script, spec.source, spec.remote_path, spec.interpreter) == ("python3 train.py", "", "", ())
    assert (spec.command, spec.checkpoint, spec.on_notice) == ("python3 train.py", ("ckpt",), "./save.sh")


def test_a_text_is_shown_as_text(here):
    assert resolve("#!/bin/sh\nls", here)[0].spec.script == "<text>"


def test_names_are_unlike_each_other_even_where_case_makes_no_difference(here):
    assert names(["train.sh", "Train.sh", "train.sh"], here) == ["train", "Train-2", "train-3"]
    assert names("train.sh", here, taken=["TRAIN"]) == ["train-2"]


def test_a_chosen_name_wins_over_a_made_one(here):
    assert names(["train.sh", Job("eval.sh", name="train")], here) == ["train-2", "train"]


@pytest.mark.parametrize("other", ["x", "X"])
def test_a_name_chosen_twice_is_refused(here, other):
    assert "is taken" in refusal([Job("train.sh", name="x"), Job("eval.sh", name=other)], here)
    assert "is taken" in refusal(Job("train.sh", name="x"), here, taken=[other])


def test_no_job_takes_the_name_of_the_summary(here):
    assert names("results.json.sh", here) == ["results.json-2"]
    assert "is taken" in refusal(Job("train.sh", name="results.json"), here)


@given(
    stems=st.lists(
        st.text(min_size=1, max_size=80).filter(lambda text: "\0" not in text and "/" not in text), max_size=6
    ),
    values=st.lists(st.one_of(st.floats(), st.text(max_size=10), st.integers(), st.none()), max_size=3),
)
def test_any_scripts_and_params_give_safe_names_that_differ(stems, values):
    from aspot.intake.jobs import _Names

    made = _Names(())
    found = [made.make(stem, {"p": value}) for stem in stems for value in values]
    assert len({name.casefold() for name in found}) == len(found)
    assert all(NAME.fullmatch(name) for name in found)


def test_defaults_fill_what_a_job_leaves_out(here):
    defaults = {"timeout": "1m", "upload": ["src"], "env": {"A": "default"}, "attempts": 3}
    jobs = ["train.sh", Job("eval.sh", timeout=5, env={"B": "own"}), Job("train.sh", attempts=2)]
    plain, own, third = (item.spec for item in resolve(jobs, here, defaults=defaults))
    assert (plain.timeout_s, plain.upload, plain.env, plain.attempts) == (60, (("src", ""),), {"A": "default"}, 3)
    assert (own.timeout_s, own.env, own.upload) == (5, {"B": "own"}, (("src", ""),))
    assert (third.attempts, third.timeout_s) == (2, 60)


def test_a_default_that_cannot_work_is_refused(here):
    with pytest.raises(ConfigError):
        resolve("train.sh", here, defaults={"timeout": -1})
    with pytest.raises(ConfigError):
        resolve(Job("train.sh"), here, defaults={"attempts": 0})


@pytest.mark.parametrize("path", ["/out", "../out", "a/../../out", "~/out", "", " ", "a\nb"])
@pytest.mark.parametrize("option", ["download", "checkpoint", "evacuate"])
def test_what_comes_back_lies_inside(here, option, path):
    refusal(Job("train.sh", **{option: [path]}), here)


def test_slashes_mean_nothing(here):
    spec = resolve(Job("train.sh", download=["out/", "./logs/*.txt", "a/./b/"], checkpoint=["ckpt/"]), here)[0].spec
    assert (spec.download, spec.checkpoint) == (("out", "logs/*.txt", "a/b"), ("ckpt",))
    assert resolve(Job("train.sh", evacuate=["best.pt", "./logs/"]), here)[0].spec.evacuate == ("best.pt", "logs")


@pytest.mark.parametrize(
    "upload",
    [
        "gone",
        "*.zip",
        "src/gone",
        {"src": "../out"},
        {"src": "/abs"},
        {"src": "~/x"},
        " ",
        {"src": "x", "train.sh": "x"},
    ],
)
def test_uploads_that_cannot_be_sent_are_refused(here, upload):
    refusal(Job("train.sh", upload=upload), here)


def test_a_link_that_leads_nowhere_is_refused(here):
    (here / "src" / "link").symlink_to("nowhere")
    assert "link" in refusal(Job("train.sh", upload="src"), here)


@pytest.mark.parametrize(
    "upload", ["src", "src/", "./src", "*.sh", "src/**/*.py", ".", {"src": "."}, ("src", "train.sh")]
)
def test_uploads_that_are_there_are_taken(here, upload):
    assert resolve(Job("train.sh", upload=upload), here)[0].spec.upload


def test_secrets_must_be_set_and_are_never_written_down(here):
    message = refusal(Job("train.sh", secrets=["TOKEN"]), here, environ={})
    assert message == "job train: the secret TOKEN is not set here"
    found = resolve(Job("train.sh", secrets=["TOKEN"]), here, environ={"TOKEN": "hunter2"})[0]
    assert found.spec.secrets == ("TOKEN",)
    assert "hunter2" not in repr(found)


class Number:
    """A number of another library, such as NumPy's."""

    def item(self):
        return 0.5


def test_parameters_become_values_that_json_knows(here):
    params = {"a": Number(), "b": Path("x"), "c": None, "d": True, "e": (1, 2), 3: "key"}
    spec = resolve(Job("train.sh", params=params), here)[0].spec
    assert spec.params == {"a": 0.5, "b": "x", "c": None, "d": True, "e": "(1, 2)", "3": "key"}
    json.dumps(dict(spec.params))


def test_a_grid_gives_a_job_for_each_combination(here):
    found = resolve(Job.each("train.sh", grid(lr=[0.1, 0.01], seed=range(2))), here)
    assert [item.spec.name for item in found] == [
        "train-lr0.1-seed0",
        "train-lr0.1-seed1",
        "train-lr0.01-seed0",
        "train-lr0.01-seed1",
    ]
    assert found[3].spec.args == ("--lr", "0.01", "--seed", "1")


# --- digests ---


def digest(job, here, **options):
    return resolve(job, here, **options)[0].spec.inputs


def test_equal_inputs_have_equal_digests(here):
    job = Job("train.sh", args=["1"], env={"A": "1", "B": "2"}, upload=["src"])
    same = Job(
        "train.sh", args=["1"], env={"B": "2", "A": "1"}, upload=["src"], name="other", timeout=5, params={"x": 1}
    )
    assert digest(job, here) == digest(same, here)


@pytest.mark.parametrize(
    "other",
    [
        {"args": ["2"]},
        {"env": {"A": "2"}},
        {"upload": ["src/b.py"]},
        {"upload": {"src": "."}},
        {"download": ["out", "x"]},
        {"secrets": ["TOKEN"]},
    ],
)
def test_other_inputs_have_other_digests(here, other):
    base = {"args": ["1"], "env": {"A": "1"}, "upload": ["src"]}
    first, second = Job("train.sh", **base), Job("train.sh", **{**base, **other})
    assert digest(first, here) != digest(second, here, environ={"TOKEN": "x"})


@pytest.mark.parametrize("change", ["script", "content", "new", "mode", "same-size"])
def test_a_change_on_disk_changes_the_digest(here, change):
    job = Job("train.sh", upload=["src"])
    before = digest(job, here)
    match change:
        case "script":
            (here / "train.sh").write_text("echo 2\n")
        case "content":
            (here / "src" / "b.py").write_text("22")
        case "new":
            (here / "src" / "c.py").write_text("")
        case "mode":
            (here / "src" / "b.py").chmod(0o700)
        case "same-size":
            (here / "src" / "b.py").write_text("3")
            os.utime(here / "src" / "b.py", ns=(1, 1))
    assert digest(job, here) != before


def test_results_and_what_is_skipped_do_not_change_the_digest(here):
    job = Job("train.sh", upload=["."])
    before = digest(job, here)
    (here / "aspot-results" / "study").mkdir(parents=True)
    (here / "aspot-results" / "study" / "x").write_text("new")
    (here / "__pycache__").mkdir()
    (here / "__pycache__" / "x.pyc").write_text("new")
    assert digest(job, here) == before


def test_touching_a_file_does_not_change_the_digest(here):
    before = digest(Job("train.sh", upload=["src"]), here)
    os.utime(here / "src" / "b.py", ns=(1, 1))
    assert digest(Job("train.sh", upload=["src"]), here) == before


def test_a_script_that_an_upload_takes_the_place_of_is_refused(here):
    message = refusal(Job("train.sh", upload={"eval.sh": "train.sh"}), here)
    assert "would be work/train.sh" in message
    refusal(Job("echo\n", upload={"src": "script"}), here)
    resolve(Job("train.sh", upload=["train.sh"]), here)


def test_a_script_behind_a_link_is_sent_once(here):
    (here / "alias").symlink_to("src")
    (here / "src" / "run.sh").write_text("echo\n")
    resolve([Job("alias/run.sh", upload=["."]), Job("src/run.sh", upload=["."])], here)


@pytest.mark.parametrize("kind", ["circle", "itself", "socket", "unreadable"])
def test_uploads_that_cannot_travel_are_refused_before_anything_is_launched(here, kind):
    match kind:
        case "circle":
            (here / "src" / "deep" / "up").symlink_to(here)
            refusal(Job("train.sh", upload=["src"]), here)
        case "itself":
            (here / "src" / "link").symlink_to("link")
            refusal(Job("train.sh", upload=["src"]), here)
        case "socket":
            os.mkfifo(here / "pipe")
            refusal(Job("train.sh", upload=["pipe"]), here)
        case "unreadable":
            (here / "src" / "b.py").chmod(0)
            if not os.access(here / "src" / "b.py", os.R_OK):
                assert "cannot be read" in refusal(Job("train.sh", upload=["src"]), here)
