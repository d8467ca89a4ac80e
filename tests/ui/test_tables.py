from textwrap import dedent

import attrs
import pytest

from aspot.errors import ConfigError, QuotaError
from aspot.machine.model import InstanceState, JobStatus, Outcome
from aspot.ui.closing import kept_lines
from aspot.ui.tables import (
    Check,
    LsRow,
    closing_lines,
    doctor_text,
    error_text,
    ls_row,
    ls_text,
    results_html,
    results_text,
    status_text,
)


def is_clean(text):
    return all(character == "\n" or character.isprintable() for character in text)


# --- results ---


def test_results(scenes, tmp_path):
    found = scenes.results(
        scenes.result("train", tmp_path),
        scenes.result("train-2", tmp_path, attempts=(scenes.tried(1, "interrupted"), scenes.tried(2, "succeeded"))),
        scenes.result(
            "eval", tmp_path, status="failed", exit_code=3, reason="exit 3", stderr="a\nb\nc\nd\ne\nValueError: x\n"
        ),
        scenes.result(
            "gone", tmp_path, status="lost", exit_code=None, reason="no capacity for 1 h", attempts=(), cost=0.0
        ),
        cost=0.011,
        summary="2 succeeded, 1 failed, 1 lost\nNothing left (checked).",
    )
    assert results_text(found) == dedent("""\
        JOB      STATUS     EXIT  ATTEMPTS  TIME    COST
        train    succeeded     0         1  1:02  $0.001
        train-2  succeeded     0         2  1:02  $0.001
        eval     failed        3         1  1:02  $0.001
        gone     lost                    0         $0.00

        eval: exit 3
          b
          c
          d
          e
          ValueError: x

        gone: no capacity for 1 h

        2 succeeded, 1 failed, 1 lost
        Nothing left (checked).""")
    assert str(found) == results_text(found)


def test_many_failures_are_not_all_told(scenes, tmp_path):
    found = scenes.results(
        *(scenes.result(f"j{number}", tmp_path, status="failed", exit_code=1) for number in range(8))
    )
    assert results_text(found).endswith("j4: failed\n\n… and 3 more that did not succeed")


def test_no_results(scenes):
    assert results_text(scenes.results()) == "no jobs"
    assert results_html(scenes.results()) == "<div>no jobs</div>"


def test_long_lines_of_stderr_are_shortened(scenes, tmp_path):
    found = scenes.results(scenes.result("a", tmp_path, status="failed", exit_code=1, stderr="x" * 5000))
    assert max(map(len, results_text(found).splitlines())) == 102


def test_hostile_stderr_and_reason_are_shown_safely(scenes, tmp_path):
    for raw in scenes.hostile:
        found = scenes.results(scenes.result("a", tmp_path, status="failed", exit_code=1, stderr=raw, reason=raw))
        assert is_clean(results_text(found))
        html = results_html(found)
        assert is_clean(html)
        assert "<script" not in html


def test_results_in_a_notebook_are_escaped(scenes, tmp_path):
    stderr = "<script>alert('1')</script>\n<img src=x onerror=alert(1)>"
    found = scenes.results(
        scenes.result("a", tmp_path, status="failed", exit_code=1, stderr=stderr, reason="<b>&"),
        summary="<i>done</i>\nNothing left",
    )
    html = found._repr_html_()
    assert "<pre>&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;\n&lt;img src=x onerror=alert(1)&gt;</pre>" in html
    assert "<b>a: &lt;b&gt;&amp;</b>" in html
    assert html.endswith("<div>&lt;i&gt;done&lt;/i&gt;</div><div>Nothing left</div>")


# --- closing lines ---


def test_closing_lines(scenes, tmp_path):
    moved = (scenes.tried(1, "interrupted"), scenes.tried(2, "succeeded"))
    found = scenes.results(
        scenes.result("train", tmp_path), scenes.result("train-2", tmp_path, attempts=moved, redone=4.2), cost=0.0021
    )
    machine = scenes.instance(1, state=InstanceState.TERMINATED, ending=scenes.at(300))
    run = scenes.run(instances=[machine], at=312)
    assert closing_lines(run, found, ()) == (
        "2 succeeded, 1 interruption, 4 s redone, 5 min 12 s, $0.002 (on-demand $0.007)",
        f"Results: {tmp_path}/lr-study/",
        "Nothing left (checked).",
    )


def test_the_recovery_gap_is_told(scenes, tmp_path):
    one = attrs.evolve(scenes.tried(1, "interrupted"), gap=3.4)
    other = attrs.evolve(scenes.tried(1, "lost"), gap=72.0)
    found = scenes.results(scenes.result("train", tmp_path, attempts=(one, scenes.tried(2, "succeeded"))))
    assert "1 interruption, recovery gap 3 s, " in closing_lines(scenes.run(), found, ())[0]
    short = scenes.results(scenes.result("train", tmp_path, attempts=(attrs.evolve(one, gap=0.4),)))
    assert "recovery gap under 1 s, " in closing_lines(scenes.run(), short, ())[0]
    found.append(scenes.result("train-2", tmp_path, attempts=(other, scenes.tried(2, "succeeded"))))
    assert "1 interruption, longest recovery gap 1 min 12 s, " in closing_lines(scenes.run(), found, ())[0]


def test_the_folder_is_shown_as_seen_from_here(scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = scenes.results(scenes.result("train", tmp_path / "aspot-results"))
    assert closing_lines(scenes.run(), found, ())[1] == "Results: aspot-results/lr-study/"


def test_closing_lines_of_a_mixed_run_with_something_left(scenes, tmp_path):
    kinds = ("failed", "timed_out", "cancelled", "lost", "budget")
    found = scenes.results(*(scenes.result(kind, tmp_path, status=kind) for kind in kinds), cost=0.5)
    run = scenes.run(instances=[scenes.instance(1)], at=30, on_demand_usd_per_hour={})
    assert closing_lines(run, found, ("lr-study_1 (i-0a, c7g.large us-east-1a)", "security group sg-1")) == (
        "1 failed, 1 timed out, 1 cancelled, 1 lost, 1 not finished: budget spent, 30 s, $0.50",
        f"Results: {tmp_path}/lr-study/",
        "Left behind, $0.036/h:",
        "  lr-study_1 (i-0a, c7g.large us-east-1a)",
        "  security group sg-1",
        "End it: aspot down lr-study",
    )


def test_closing_lines_of_a_run_that_keeps_machines(scenes, tmp_path):
    found = scenes.results(scenes.result("train", tmp_path, status="failed"))
    machine = scenes.instance(1, state=InstanceState.KEPT)
    ends = f"{scenes.at(1800).astimezone():%Y-%m-%d %H:%M:%S}"
    lines = closing_lines(scenes.run(instances=[machine]), found, (), [scenes.kept()])
    assert lines[2:] == (
        "Nothing left (checked), but for what is kept on purpose.",
        f"Kept for a look at train: lr-study_1, $0.036/h, at most $0.018 more; it ends itself at {ends}",
        "  ssh -i key ec2-user@198.51.100.7",
        "End it sooner: aspot down lr-study",
    )
    both = [scenes.kept(), scenes.kept(2, ssh="")]
    lines = closing_lines(scenes.run(instances=[machine]), found, ("security group sg-1",), both)
    assert lines[2:5] == ("Left behind:", "  security group sg-1", "End it: aspot down lr-study")
    assert lines[-1] == "End them sooner: aspot down lr-study"
    assert len(lines) == 9


def test_a_long_command_is_shown_whole(scenes):
    long = "ssh -i " + "k" * 1000 + " user@host"
    assert f"  {long}" in kept_lines("f", [scenes.kept(ssh=long)])


def test_closing_lines_without_jobs(scenes):
    assert closing_lines(scenes.run(at=2), scenes.results(), ()) == ("no jobs, 2 s, $0.00", "Nothing left (checked).")


# --- ls and status ---


def test_ls(scenes):
    box = LsRow(
        name="dev",
        kind="box",
        state="idle 12 min",
        machines={"g5.xlarge": 1},
        usd_per_hour=0.42,
        spent_usd=0.63,
        ends="in 1 h 48 min",
    )
    old = LsRow(name="old", kind="fleet", state="ended", machines={}, usd_per_hour=0.0, spent_usd=None, ends="")
    machines = [scenes.instance(number) for number in (1, 2)]
    jobs = [scenes.job(f"j{item.id[-1]}", scenes.attempt("j", item)) for item in machines]
    row = ls_row(scenes.run(jobs, machines), scenes.at(60))
    assert ls_text([row, box, old]) == dedent("""\
        NAME      KIND   STATE           MACHINES          $/h   SPENT  ENDS
        lr-study  fleet  2 of 2 running  2 × c7g.large  $0.072  $0.001  when done
        dev       box    idle 12 min     1 × g5.xlarge   $0.42   $0.63  in 1 h 48 min
        old       fleet  ended                           $0.00""")


def test_ls_of_nothing():
    assert ls_text([]) == "Nothing is running."


def test_ls_of_a_fleet_without_open_jobs(scenes):
    assert ls_row(scenes.run(), scenes.at(1)).state == "closed"


def test_status(scenes):
    gone = scenes.instance(1, scenes.c6g, state=InstanceState.TERMINATED, ending=scenes.at(60), ended=scenes.at(65))
    saved = scenes.checkpoint("train", at=55)
    first = scenes.ended("train", gone, Outcome.INTERRUPTED, at=60, saved=saved)
    here = scenes.instance(2, scenes.m7g, since=50)
    second = scenes.attempt("train", here, number=2, started=63)
    run = scenes.run(
        [scenes.job("train", first, second), scenes.job("eval", status=JobStatus.QUEUED)], [gone, here], at=63
    )
    assert status_text(run, scenes.at(73), width=100) == dedent("""\
        lr-study  0/2 done, 1 running, 1 waiting, $0.001 now, $0.039/h

        JOB    STATE    WHERE                 TIME     COST
        train  running  m7g.large us-east-1c  1:03  $0.0010
        eval   queued

        JOB    ATTEMPT  OUTCOME      MACHINE                          TIME     COST  SAVED  LOST
        train        1  interrupted  lr-study_1 c6g.large us-east-1b  0:50  $0.0004  4 MB   5 s
        train        2  running      lr-study_2 m7g.large us-east-1c  0:10""")
    wide = [line.rsplit(maxsplit=4) for line in status_text(run, scenes.at(73)).splitlines()[-3:]]
    assert [line[1:] for line in wide[:2]] == [["BOOT", "IDLE", "USEFUL", "GAP"], ["0:00", "0:01", "0:45", "0:08"]]
    assert wide[2][2:] == ["0:00", "0:01", "0:10"]


def test_status_of_an_empty_run(scenes):
    assert status_text(scenes.run(), scenes.at(1)) == "lr-study  no jobs yet, $0.00 now, $0.00/h"


# --- errors and doctor ---


def test_an_error_block():
    error = QuotaError("20 × g5.xlarge need 80 vCPUs;\nyour quota is 32", fix="--instances 8")
    assert error_text(error, launched=False) == dedent("""\
        error: 20 × g5.xlarge need 80 vCPUs;
               your quota is 32
        fix:   --instances 8
        Nothing was launched.""")


def test_an_error_with_a_story_and_no_fix():
    error = ConfigError("no such file", story=("launched i-1", "lost i-1"))
    assert error_text(error) == "error: no such file\nbefore that:\n  launched i-1\n  lost i-1"


def test_hostile_errors(scenes):
    for raw in scenes.hostile:
        assert is_clean(error_text(QuotaError(raw, fix=raw, story=(raw,))))
        assert is_clean(doctor_text([Check(name=raw, verdict="ok", detail=raw, fix=raw)]))
        row = LsRow(name=raw, kind="box", state=raw, machines={raw: 1}, usd_per_hour=0, spent_usd=0, ends=raw)
        assert is_clean(ls_text([row]))


def test_notes_on_an_error_are_its_last_lines_and_said_once():
    error = ConfigError("no such file")
    error.add_note("Nothing was launched.")
    assert error_text(error, launched=False) == error_text(error) == "error: no such file\nNothing was launched."


def test_an_empty_error_message():
    assert error_text(ConfigError("")) == "error: "


def test_doctor():
    checks = [
        Check(name="credentials", verdict="ok", detail="arn:aws:iam::1:user/me"),
        Check(name="default VPC", verdict="failed", detail="none in us-east-1", fix="aws ec2 create-default-vpc"),
        Check(name="clock", verdict="warning", detail="off by 4 s"),
    ]
    assert doctor_text(checks) == dedent("""\
        ok       credentials  arn:aws:iam::1:user/me
        failed   default VPC  none in us-east-1
                 fix: aws ec2 create-default-vpc
        warning  clock        off by 4 s""")
    assert doctor_text([]) == ""


@pytest.mark.parametrize("verdict", ["ok", "skipped"])
def test_doctor_fixes_are_only_shown_where_there_is_one(verdict):
    assert "fix" not in doctor_text([Check(name="a", verdict=verdict)])
