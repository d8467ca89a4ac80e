"""The archive: the local files of a run. Logs and checkpoints while it runs, results when they are accepted."""
