"""The journal: what a run did, in SQLite, in the user's state folder; durable before anything is done because of it."""

from aspot.journal.folders import RunFolder, state_dir
from aspot.journal.runs import RunInfo, ask, info, load_events, load_spec, newest, replay, runs
from aspot.journal.sqlite import SqliteJournal

__all__ = [
    "RunFolder",
    "RunInfo",
    "SqliteJournal",
    "ask",
    "info",
    "load_events",
    "load_spec",
    "newest",
    "replay",
    "runs",
    "state_dir",
]
