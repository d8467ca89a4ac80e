import io
import json

import attrs
import pytest

from aspot.errors import AuthError
from aspot.machine import news as nw
from aspot.ui.ndjson import NdjsonView, error_object, finished_object, news_object, to_line

KINDS = [
    kind for kind in vars(nw).values() if isinstance(kind, type) and issubclass(kind, nw.News) and kind is not nw.News
]


async def written(news, run):
    async def all_of_them():
        for item in news:
            yield item

    stream = io.StringIO()
    await NdjsonView(stream=stream).watch(all_of_them(), lambda: run)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_news_is_one_object(scenes, kind):
    line = to_line(news_object(scenes.told(kind, message="hello")))
    found = json.loads(line)
    assert found["event"] == kind(**attrs.asdict(scenes.told(kind), recurse=False)).name
    assert found["time"] == "2026-11-23T16:07:01+00:00"
    assert set(found) == {"event"} | {field.name for field in attrs.fields(kind)}
    assert "\n" not in line


async def test_the_last_object_is_the_contracts(scenes, tmp_path):
    one, two = scenes.result("b", tmp_path), scenes.result("a", tmp_path, status="failed", exit_code=3, reason="exit 3")
    machine = scenes.instance(1)
    run = scenes.run([scenes.job(name, scenes.attempt(name, machine)) for name in ("a", "b")], [machine])
    lines = await written(
        [
            scenes.told(nw.JobEnded, job="b", result=one),
            scenes.told(nw.FleetFinished, left=("security group sg-1",), kept=(scenes.kept(),)),
            scenes.told(nw.JobEnded, job="a", status="failed", result=two),
        ],
        run,
    )
    found = [json.loads(line) for line in lines]
    assert [item["event"] for item in found] == ["job_ended", "job_ended", "finished"]
    assert found[0]["result"]["job"] == "b"
    last = found[-1]
    assert set(last) == {"event", "run", "results", "left", "kept"}
    assert (last["run"], last["left"]) == ("lr-study", ["security group sg-1"])
    assert last["kept"] == [scenes.kept().to_json()]
    assert [result["job"] for result in last["results"]] == ["a", "b"]
    assert set(last["results"][0]) == {
        "job",
        "script",
        "status",
        "exit_code",
        "reason",
        "stdout",
        "stderr",
        "dir",
        "files",
        "missing",
        "attempts",
        "cost_usd",
        "redone_s",
        "recovery_gap_s",
    }
    assert set(last["results"][0]["attempts"][0]) == {
        "number",
        "instance_id",
        "type",
        "zone",
        "outcome",
        "started",
        "ended",
        "cost_usd",
        "boot_s",
        "idle_s",
        "useful_s",
        "redone_s",
        "gap_s",
        "saved",
        "lost",
    }
    assert last == finished_object("lr-study", [two, one], ["security group sg-1"], [scenes.kept()])


async def test_a_run_that_could_not_be_has_no_last_object(scenes):
    assert await written([scenes.told(nw.Warned)], scenes.run()) == [to_line(news_object(scenes.told(nw.Warned)))]


async def test_hostile_text_arrives_whole_and_steers_nothing(scenes):
    lines = await written([scenes.told(nw.LogLine, line=raw) for raw in scenes.hostile], scenes.run())
    assert [json.loads(line)["line"] for line in lines] == scenes.hostile
    assert all(character in map(chr, range(32, 127)) for line in lines for character in line)


def test_errors():
    error = AuthError("no credentials", code="X", fix="aws sso login")
    assert json.loads(to_line(error_object(error))) == {
        "event": "error",
        "error": "AuthError",
        "message": "no credentials",
        "fix": "aws sso login",
    }


def test_paths_are_text(tmp_path):
    assert json.loads(to_line({"path": tmp_path})) == {"path": str(tmp_path)}
