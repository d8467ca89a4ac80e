"""The archive: the local files of a run. Logs and checkpoints while it runs, results when they are accepted."""

from aspot.archive.layout import Layout
from aspot.archive.local import LocalArchive, log_folders

__all__ = ["Layout", "LocalArchive", "log_folders"]
