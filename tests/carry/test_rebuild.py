"""Which machines make a run that is rebuilt, and when that is refused."""

import sqlite3
from datetime import UTC, datetime, timedelta

import anyio
import attrs
import pytest

from aspot.archive.layout import Layout
from aspot.aws.account import Found
from aspot.carry.rebuild import refuse_foreign, remnant
from aspot.errors import AspotError, ConfigError
from aspot.intake.names import run_id
from aspot.journal import moving
from aspot.journal.folders import RunFolder
from aspot.journal.runs import info, load_spec
from aspot.journal.sqlite import SqliteJournal
from aspot.machine.events import SubmissionClosed
from aspot.machine.model import RunSpec
from aspot.ssh.keys import RunKeys

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
RUN, LATER = run_id(AT, bytes(10)), run_id(AT + timedelta(hours=1), bytes(10))
MACHINE = Found(
    instance="i-1",
    run=RUN,
    name="study",
    owner="me@home",
    request="r1",
    state="running",
    type="c7g.large",
    zone="us-east-1a",
    image="ami-1",
    key_pair="",
    address="203.0.113.7",
    port=22,
    lifecycle="spot",
    launched=AT + timedelta(minutes=1),
    expires=AT + timedelta(days=1),
)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "state"))


def with_keys(run=RUN):
    folder = RunFolder.of("study", run)
    folder.make()
    RunKeys.generate(folder.keys)
    folder.lock.touch()
    return folder


def left_of(*machines, brought=None):
    return remnant("study", {"us-east-1": machines}, brought)


def test_only_machines_that_a_launch_of_the_run_may_have_made_count():
    folder = with_keys()
    strangers = [
        attrs.evolve(MACHINE, instance="i-2", request=""),
        attrs.evolve(MACHINE, instance="i-3", launched=AT - timedelta(days=1)),
        attrs.evolve(MACHINE, instance="i-4", run="not-a-run"),
        attrs.evolve(MACHINE, instance="i-5", name="other"),
        attrs.evolve(MACHINE, instance="i-6", state="terminated"),
        attrs.evolve(MACHINE, instance="i-7", state="shutting-down"),
    ]
    second = attrs.evolve(MACHINE, instance="i-8", state="pending", launched=AT + timedelta(seconds=1))
    found = left_of(*strangers, MACHINE, second)
    assert [item.instance for item in found.machines] == ["i-8", "i-1"]
    assert (found.folder, found.keys) == (folder, folder.keys)
    with pytest.raises(ConfigError, match="no machine of a fleet"):
        left_of(*strangers)


def test_of_two_runs_of_a_name_the_newest_that_can_be_opened_counts():
    with_keys()
    later = attrs.evolve(MACHINE, instance="i-9", run=LATER, launched=AT + timedelta(hours=2))
    assert left_of(MACHINE, later).folder.run == RUN
    with_keys(LATER)
    assert left_of(MACHINE, later).folder.run == LATER


def test_keys_that_came_are_used_where_there_are_none_only(tmp_path):
    found = left_of(MACHINE, brought=(RUN, tmp_path / "keys"))
    assert found.keys == tmp_path / "keys"
    with pytest.raises(ConfigError, match="no machine of the run in that bundle"):
        left_of(MACHINE, brought=(LATER, tmp_path / "keys"))
    with_keys()
    with pytest.raises(ConfigError, match="are here already"):
        left_of(MACHINE, brought=(RUN, tmp_path / "keys"))


def begun(end=False):
    async def make():
        journal = SqliteJournal.create(RunSpec(id=RUN, name="study", region="us-east-1"), created=AT, options={})
        if end:
            await journal.finish(["i-1"])
        await journal.aclose()
        return journal.folder

    folder = anyio.run(make)
    RunKeys.generate(folder.keys)
    return folder


def test_a_journal_that_can_be_read_now_or_later_is_left_alone():
    folder = begun()
    with pytest.raises(ConfigError, match="is here, and whole"):
        left_of(MACHINE)
    connection = sqlite3.connect(folder.journal)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = folder.journal.read_bytes()
    with pytest.raises(AspotError, match=r"cannot be rebuilt while its journal is here: .* newer aspot"):
        left_of(MACHINE)
    assert folder.journal.read_bytes() == before


def test_a_run_that_has_ended_is_not_rebuilt():
    begun(end=True)
    with pytest.raises(ConfigError, match="has ended, and left machines"):
        left_of(MACHINE)


def test_a_run_that_is_driven_is_not_rebuilt():
    folder = with_keys()
    lock = folder.take()
    with pytest.raises(ConfigError, match="driven by another process"):
        left_of(MACHINE)
    with pytest.raises(AspotError, match="driven by another aspot"):
        moving.replace(folder, RunSpec(id=RUN, name="study", region="r"), created=AT, options={}, events=[])
    assert lock
    assert not folder.journal.exists()


def test_a_new_journal_is_whole_or_not_there(monkeypatch):
    folder, spec = with_keys(), RunSpec(id=RUN, name="study", region="r", is_rebuilt=True)
    folder.journal.write_bytes(b"damaged")
    folder.journal.with_name("journal.db-wal").write_bytes(b"wal")
    (folder.path / "journal.new").write_bytes(b"from one that was killed")

    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(moving.codec, "encode", fail)
        with pytest.raises(AspotError, match="No space left"):
            moving.replace(folder, spec, created=AT, options={}, events=[SubmissionClosed(at=AT)])
    assert folder.journal.read_bytes() == b"damaged"
    aside = moving.replace(folder, spec, created=AT, options={}, events=[SubmissionClosed(at=AT)])
    assert aside == folder.path / "journal.db.damaged-1"
    assert aside.read_bytes() == b"damaged"
    assert aside.with_name("journal.db.damaged-1-wal").read_bytes() == b"wal"
    assert load_spec(folder) == (spec, AT)
    assert info(folder).trouble == ""
    assert moving.set_aside(folder).name == "journal.db.damaged-2"


def test_another_runs_results_are_left_alone(tmp_path):
    layout = Layout(tmp_path / "study")
    refuse_foreign(layout, RUN)
    (layout.root / "job").mkdir(parents=True)
    refuse_foreign(layout, RUN)
    (layout.root / "job/result.json").write_text(f'{{"run": "{RUN}"}}')
    refuse_foreign(layout, RUN)
    (layout.root / "job/result.json").write_text(f'{{"run": "{LATER}"}}')
    with pytest.raises(ConfigError, match="results of another run"):
        refuse_foreign(layout, RUN)
    (layout.root / "job/result.json").unlink()
    (layout.root / "results.json").write_text("{}")
    with pytest.raises(ConfigError, match="results of another run"):
        refuse_foreign(layout, RUN)
