"""What the words of a sync mean: S3, a file system, a volume, a folder of a machine, or one here.

Pure, but for a look whether a word is a file here.
"""

from __future__ import annotations

import enum
import os
import posixpath
import re
from pathlib import Path

import attrs

from aspot.errors import ConfigError
from aspot.machine.names import check_name
from aspot.storage.address import Address, is_s3
from aspot.storage.copying import refuse_overlap
from aspot.storage.mounts import Disk

_THERE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?):(.*)", re.DOTALL)
_DISK = re.compile(r"(efs|ebs)://([^/]*)(?:/(.*))?", re.DOTALL)


class Kind(enum.Enum):
    """Where one side of a sync is."""

    HERE = "here"
    S3 = "s3"
    DISK = "disk"
    MACHINE = "machine"


@attrs.frozen(kw_only=True)
class End:
    """One side of a sync.

    Args:
        kind: Where it is.
        text: As it was given, without a machine's name.
        machine: The machine's name; "" for none.
        path: The folder: here, on the machine, or on the disk.
        disk: The file system or volume, `efs/NAME` or `ebs/NAME`; "" for none.
    """

    kind: Kind
    text: str
    machine: str = ""
    path: str = ""
    disk: str = ""

    @classmethod
    def of(cls, word: str) -> End:
        """Return what a word means; what is a file here is never a machine.

        >>> End.of("dev:data").machine, End.of("efs://lab/x").disk, End.of("s3://lab-data/x").kind.value
        ('dev', 'efs/lab', 's3')

        Raises:
            ConfigError: If it means nothing.
        """
        if is_s3(word):
            Address.of(word)
            return cls(kind=Kind.S3, text=word)
        if (disk := _DISK.fullmatch(word)) is not None:
            return cls._on_disk(word, disk[1], disk[2], disk[3] or "")
        found = _THERE.fullmatch(word)
        if found is None or os.path.lexists(word):
            return cls(kind=Kind.HERE, text=word, path=word)
        return cls.on(found[1], found[2])

    @classmethod
    def on(cls, machine: str, path: str) -> End:
        """Return a folder of a machine: below its user's home, unless absolute."""
        path = "~" if path in ("", ".", "~") else path
        return cls(kind=Kind.MACHINE, text=path, machine=machine, path=path)

    @classmethod
    def _on_disk(cls, word: str, kind: str, name: str, path: str) -> End:
        check_name(name, "file system name" if kind == "efs" else "volume name")
        if ".." in path.split("/"):
            raise ConfigError(f"{word!r} leads out of {kind}://{name}", fix=f"{kind}://{name}/FOLDER")
        inside = posixpath.normpath(path).lstrip("/") if path.strip("/") else ""
        return cls(kind=Kind.DISK, text=word, path="" if inside == "." else inside, disk=f"{kind}/{name}")

    @property
    def address(self) -> Address:
        """Return the place in S3."""
        return Address.of(self.text)


@attrs.frozen(kw_only=True)
class Pair:
    """A sync: from one side to the other."""

    source: End
    dest: End

    @classmethod
    def of(cls, source: str, dest: str) -> Pair:
        """Return the sync of two words.

        Raises:
            ConfigError: If there is no such sync.
        """
        found = cls(source=End.of(source), dest=End.of(dest))
        found.check()
        return found

    @classmethod
    def with_machine(cls, machine: str, source: str, dest: str) -> Pair:
        """Return the sync of two words, of which one is a folder of a certain machine: `:data`.

        Raises:
            ConfigError: If there is no such sync, or neither is.
        """
        if not source.startswith(":") and not dest.startswith(":"):
            raise ConfigError(
                f"{source} → {dest}: neither is a folder of {machine}",
                fix='write it with a colon: sync("data", ":data")',
            )
        ends = [End.on(machine, word[1:]) if word.startswith(":") else End.of(word) for word in (source, dest)]
        found = cls(source=ends[0], dest=ends[1])
        found.check()
        return found

    def check(self) -> None:
        """Refuse what cannot be synced.

        Raises:
            ConfigError: If it cannot be.
        """
        source, dest, kinds = self.source, self.dest, {self.source.kind, self.dest.kind}
        if kinds == {Kind.HERE}:
            raise ConfigError(f"{self.label}: both sides are here", fix="one side is S3, a file system or a machine")
        if kinds == {Kind.MACHINE} and source.machine != dest.machine:
            raise ConfigError(
                f"{self.label}: nothing goes from machine to machine: neither may log in to the other",
                fix="by way of S3, efs://NAME, or a folder here: two syncs",
            )
        if kinds == {Kind.MACHINE, Kind.DISK}:
            disk = source if source.kind is Kind.DISK else dest
            way = f"mount it there: aspot fs mount {disk.disk[4:]} --on {source.machine or dest.machine}"
            fix = way if disk.disk.startswith("efs/") else "by way of S3, or launch the machine with --volume"
            raise ConfigError(f"{self.label}: the machine has to have it mounted", fix=fix)
        if kinds == {Kind.S3}:
            refuse_overlap(source.address, dest.address)
        if source.kind is Kind.HERE and not Path(source.path).exists():
            raise ConfigError(f"no such file here: {source.path}")

    @property
    def label(self) -> str:
        """Return what to call it."""
        return " → ".join(f"{end.machine}:{end.text}" if end.machine else end.text for end in (self.source, self.dest))

    @property
    def machine(self) -> str:
        """Return the name of the machine that takes part; "" for none."""
        return self.source.machine or self.dest.machine

    @property
    def buckets(self) -> tuple[End, ...]:
        """Return the sides in S3."""
        return tuple(end for end in (self.source, self.dest) if end.kind is Kind.S3)

    @property
    def disks(self) -> tuple[Disk, ...]:
        """Return the disks that take part, each once, and where the machine made for them has them."""
        names = dict.fromkeys(end.disk for end in (self.source, self.dest) if end.disk)
        return tuple(Disk(kind=name[:3], name=name[4:], path=mounted_at(name)) for name in names)

    def place(self, end: End) -> str:
        """Return what the machine that carries it calls a side."""
        if end.kind is Kind.DISK:
            return posixpath.join(mounted_at(end.disk), end.path).rstrip("/")
        return end.text if end.kind is Kind.S3 else end.path


def mounted_at(disk: str) -> str:
    """Return where a machine that is made for a sync has a disk.

    >>> mounted_at("efs/lab")
    '~/efs-lab'
    """
    return f"~/{disk.replace('/', '-', 1)}"
