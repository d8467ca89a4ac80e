"""A project for tests, and what of it would land below work/."""

from __future__ import annotations

import os
import tempfile

import attrs
import pytest

from aspot.files.scan import Kind, scan_uploads
from aspot.ports import Undeliverable


@attrs.frozen
class Link:
    to: str


def plant(folder, tree):
    """Make files (text, or bytes), folders (None) and links in a folder; return it."""
    for name, what in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what is None:
            path.mkdir(exist_ok=True)
        elif isinstance(what, Link):
            path.symlink_to(what.to)
        else:
            path.write_bytes(what if isinstance(what, bytes) else what.encode())
    return folder


def pairs(uploads):
    """Return uploads as a job's specification has them."""
    if isinstance(uploads, dict):
        return tuple(uploads.items())
    return tuple((name, "") for name in ([uploads] if isinstance(uploads, str) else uploads))


def sent(base, uploads, **options):
    """Return what lands below work/: content of files, None for folders, `Link` for links."""
    return picture(scan_uploads(base, pairs(uploads), **options))


def picture(scan):
    return {name: _picture(entry) for name, entry in sorted(scan.entries.items())}


def _picture(entry):
    if entry.kind is Kind.FOLDER:
        return None
    if entry.kind is Kind.LINK:
        return Link(entry.target)
    with open(entry.source, "rb") as source:
        return source.read().decode()


def refusal(base, uploads, **options):
    with pytest.raises(Undeliverable) as caught:
        scan_uploads(base, pairs(uploads), **options)
    assert caught.value.is_local
    assert caught.value.reason.isprintable()
    return caught.value.reason


def _modes_count():
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        return not os.access(file.name, os.R_OK)


needs_modes = pytest.mark.skipif(not _modes_count(), reason="root reads everything")
