"""Which file system a path is on: SQLite's WAL needs shared memory between processes, which network ones lack."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from aspot.errors import AspotError
from aspot.journal.folders import STATE_VARIABLE

NETWORK = re.compile(
    r"afs|afpfs|beegfs|ceph|cifs|davfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|smb[23]|smbfs|webdav"
    r"|fuse\.(sshfs|glusterfs|rclone|s3fs|ceph|davfs2?)"
)
"""Kinds of file systems on which WAL does not work (https://sqlite.org/wal.html, read 2026-11)."""
_LINUX = re.compile(r"^\S+ \S+ \S+ \S+ (?P<point>\S+) .*? - (?P<kind>\S+) ", re.MULTILINE)
_MACOS = re.compile(r"^.* on (?P<point>/.*) \((?P<kind>[^,)]+)", re.MULTILINE)


def refuse_network(path: Path) -> None:
    """Refuse to keep a journal on a network file system.

    Raises:
        AspotError: If the path is on one.
    """
    kind = kind_of(path.resolve(), mounts())
    if is_network(kind):
        raise AspotError(
            f"{path} is on a network file system ({kind}), where a journal cannot be kept safely",
            fix=f"set {STATE_VARIABLE} to a folder on a local disk",
        )


def is_network(kind: str) -> bool:
    """Tell whether a kind of file system, in the mount table's word, lies on another machine."""
    return NETWORK.fullmatch(kind) is not None


def mounts() -> list[tuple[str, str]]:
    """Return (mount point, kind) of everything mounted; empty where the system does not tell."""
    if sys.platform == "darwin":
        return parse(_macos_table(), _MACOS)
    try:
        return parse(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"), _LINUX)
    except OSError:
        return []


def _macos_table() -> str:
    import subprocess

    try:
        return subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def parse(table: str, pattern: re.Pattern[str] = _LINUX) -> list[tuple[str, str]]:
    """Return (mount point, kind) from a mount table; Linux writes blanks in names as octal numbers."""
    return [(_plain(found["point"]), found["kind"]) for found in pattern.finditer(table)]


def _plain(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)


def kind_of(path: Path, table: Iterable[tuple[str, str]]) -> str:
    """Return the kind of file system a path is on: that of the longest mount point above it, the last one of equals."""
    found = [(len(point), number, kind) for number, (point, kind) in enumerate(table) if path.is_relative_to(point)]
    return max(found, default=(0, 0, ""))[2]
