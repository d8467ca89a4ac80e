"""What a bundle may put where: a run's own folder and its own jobs' files, or nothing at all."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from aspot.carry.bundle import Cover, listed, write
from aspot.carry.pack import export
from aspot.carry.unpack import INCOMING, unpack
from aspot.errors import AspotError, ConfigError
from aspot.files import carried
from aspot.files.carried import Carried
from aspot.journal import moving
from aspot.journal.folders import RunFolder
from aspot.journal.runs import replay, runs
from aspot.journal.sqlite import SqliteJournal
from aspot.machine.events import AttemptStarted, JobsSubmitted
from aspot.machine.model import JobSpec, RunSpec
from aspot.ports import Undeliverable
from aspot.ssh.keys import RunKeys

AT = datetime(2026, 11, 23, tzinfo=UTC)
RUN = "01" + "k" * 24
SPEC = RunSpec(id=RUN, name="study", region="us-east-1")


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Go to one computer or another."""

    def go(name):
        monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / name))
        return tmp_path / name

    go("first")
    return go


@pytest.fixture
def folder(state, tmp_path):
    """A run of one job, in the first computer's state folder."""
    (tmp_path / "job.sh").write_text("echo hello\n")

    async def make(events):
        journal = SqliteJournal.create(SPEC, created=AT, options={"results": str(tmp_path / "results"), "setup": ""})
        await journal.append(events)
        await journal.aclose()
        return journal.folder

    job = JobSpec(name="job", script="job.sh", source=str(tmp_path / "job.sh"), remote_path="job.sh")
    made = anyio.run(make, [JobsSubmitted(at=AT, jobs=(job,))])
    RunKeys.generate(made.keys)
    return made


def test_what_is_unpacked_is_nothing_here_before_it_is_accepted(folder, state, tmp_path):
    path = export("study", tmp_path / "b").path
    there = state("second")
    incoming = unpack(path, "study", tmp_path / "out")
    assert runs() == []
    assert list(incoming.run.jobs) == ["job"]
    known = incoming.accept()
    assert known.options == {"results": str(tmp_path / "out"), "setup": ""}
    assert replay(known.folder).jobs["job"].spec == replay(folder).jobs["job"].spec
    assert (known.folder.keys / "client_key").read_bytes() == (folder.keys / "client_key").read_bytes()
    modes = {item.stat().st_mode & 0o077 for item in there.rglob("*") if "lock" not in item.name}
    assert modes == {0}
    assert list((there / INCOMING).iterdir()) == []
    entry = Carried.load(known.folder.carried).scan("job").entries["job.sh"]
    assert Path(entry.source).read_text() == "echo hello\n"


def test_what_is_refused_leaves_nothing(folder, state, tmp_path):
    path = export("study", tmp_path / "b").path
    there = state("second")
    incoming = unpack(path, "study", tmp_path / "out")
    incoming.discard()
    assert list((there / INCOMING).iterdir()) == []
    unpack(path, "study", tmp_path / "out").accept()
    with pytest.raises(ConfigError, match="known here already"):
        unpack(path, "study", tmp_path / "out")
    assert [item.id for item in runs()] == [RUN]


def test_what_a_killed_import_left_goes_with_the_next(folder, state, tmp_path):
    path = export("study", tmp_path / "b").path
    there = state("second")
    left = there / INCOMING / f"{RUN}.999999999"
    left.mkdir(parents=True)
    there.chmod(0o700)
    (left / "client_key").write_text("secret")
    unpack(path, "study", tmp_path / "out").discard()
    assert not left.exists()


def rewritten(folder, tmp_path, *, drop=(), cover=None, **more):
    """A bundle of the run with other files in it than `export` would put there."""
    snapshot = tmp_path / f"journal-{len(list(tmp_path.iterdir()))}"
    moving.snapshot(folder, snapshot)
    files = {
        "run/journal.db": snapshot,
        "run/keys/client_key": folder.keys / "client_key",
        "run/keys/injected_host_key": folder.keys / "injected_host_key",
    }
    files = {name: path for name, path in files.items() if name not in drop}
    for name, content in more.items():
        path = tmp_path / f"more-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content)
        files[name] = path
    target = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
    told = cover or Cover(run=RUN, name="study", region="us-east-1", origin="me", results="/there")
    write(target, told, [(listed(name, path), path) for name, path in files.items()], [])
    return target


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"more/x": b""}, "holds what is in no bundle"),
        ({"here/.staging/other/a1/stdout": b""}, "files of other, which is no job"),
        ({"here/results.json": b""}, "files of results.json, which is no job"),
        ({"drop": ("run/journal.db",)}, "cannot be used: there is no journal"),
        ({"run/journal.db": b"x" * 5000}, "cannot be used: the journal .* is damaged"),
        ({"drop": ("run/keys/client_key",)}, "cannot be used: the run's keys cannot be read"),
        ({"run/keys/client_key": b"x"}, "cannot be used: the run's keys .* are damaged"),
        ({"run/carried/uploads.json": b"{}"}, "cannot be used: the uploads"),
        ({"run/carried/uploads.json": b"[1"}, "cannot be used: the uploads"),
        ({"cover": Cover(run="../" + "x" * 23, name="study", region="", origin="", results="")}, "names no run"),
        ({"cover": Cover(run=RUN, name="..", region="", origin="", results="")}, "names no run"),
        ({"cover": Cover(run="01" + "j" * 24, name="study", region="", origin="", results="")}, "of another run"),
    ],
)
def test_a_bundle_with_something_else_in_it_changes_nothing(folder, state, tmp_path, changes, said):
    path = rewritten(folder, tmp_path, **changes)
    there = state("second")
    with pytest.raises(AspotError, match=said):
        unpack(path, "study", tmp_path / "out")
    assert runs() == []
    assert not (tmp_path / "out").exists()
    assert not (there / INCOMING).exists() or list((there / INCOMING).iterdir()) == []


def test_a_journal_of_what_never_happened_is_refused(folder, state, tmp_path):
    async def add():
        journal = SqliteJournal.open(folder)
        await journal.append([AttemptStarted(at=AT, instance="i-1", job="job", attempt=1)])
        await journal.aclose()

    anyio.run(add)
    path = rewritten(folder, tmp_path)
    state("second")
    with pytest.raises(AspotError, match="its journal makes no sense"):
        unpack(path, "study", tmp_path / "out")
    assert runs() == []


def test_an_ended_run_is_refused_at_both_ends(folder, state, tmp_path):
    path = rewritten(folder, tmp_path)

    async def end():
        journal = SqliteJournal.open(folder)
        await journal.finish(["i-1"])
        await journal.aclose()

    anyio.run(end)
    with pytest.raises(ConfigError, match="has ended"):
        export("study", tmp_path / "late")
    late = rewritten(folder, tmp_path)
    state("second")
    with pytest.raises(AspotError, match="its run has ended"):
        unpack(late, "study", tmp_path / "out")
    unpack(path, "study", tmp_path / "out").discard()


def test_only_rows_are_taken_from_a_journal_of_others(folder, tmp_path):
    copy = tmp_path / "copy"
    moving.snapshot(folder, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("CREATE TRIGGER evil AFTER INSERT ON event BEGIN DELETE FROM meta; END")
        connection.execute("INSERT INTO request (text) VALUES ('stop')")
    connection.close()
    new = RunFolder(tmp_path / "new" / folder.path.name)
    new.make()
    moving.adopt(copy, new, {"results": "elsewhere"})
    with sqlite3.connect(new.journal) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        assert connection.execute("SELECT count(*) FROM request").fetchone() == (0,)
    connection.close()
    assert names == {"event_stays", "event_remains"}
    assert replay(new).jobs.keys() == {"job"}


SHA = "a" * 64


@pytest.mark.parametrize(
    "row",
    [
        ("../x", "f", False, SHA, 0),
        ("/x", "f", False, SHA, 0),
        ("a/../x", "f", False, SHA, 0),
        ("", "f", False, SHA, 0),
        ("x", "f", False, "../../keys/client_key", 0),
        ("x", "f", False, "", 0),
        ("x", "l", False, "/etc/passwd", 0),
        ("a/x", "l", False, "../../y", 0),
        ("x", "l", False, "", 0),
        ("x", "z", False, SHA, 0),
        ("x", "f"),
    ],
)
def test_uploads_that_lead_out_are_refused(tmp_path, row):
    (tmp_path / carried.LIST).write_bytes(carried.dump({"job": "s"}, {"s": [row]}, {}))
    with pytest.raises(AspotError, match="cannot be used"):
        Carried.load(tmp_path)


def test_odd_names_that_may_travel_are_carried(tmp_path):
    rows = [("a\\b", "f", True, SHA, 5), ("x\udcff", "d", False, "", 0), ("a/l", "l", False, "../a\\b", 0)]
    (tmp_path / carried.FILES).mkdir()
    (tmp_path / carried.FILES / SHA).write_bytes(b"12345")
    (tmp_path / carried.LIST).write_bytes(carried.dump({"job": "s"}, {"s": rows}, {"gone": "it was not there"}))
    found = Carried.load(tmp_path)
    entries = found.scan("job").entries
    assert (entries["a\\b"].size, entries["a\\b"].is_executable, entries["a\\b"].changed_s) == (5, True, 5)
    assert entries["a/l"].target == "../a\\b"
    assert found.knows("gone")
    assert not found.knows("new")
    with pytest.raises(Undeliverable, match="it was not there"):
        found.scan("gone")
    (tmp_path / carried.FILES / SHA).unlink()
    with pytest.raises(Undeliverable, match="no longer"):
        found.scan("job")
    assert Carried.load(tmp_path / "nothing") is None
