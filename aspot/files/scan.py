"""What a job's uploads are, file by file. Nothing is read here but folders; links are sent as what they point to."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import attrs

from aspot.errors import ConfigError

SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules"})
IGNORE_FILE = ".aspotignore"
_CHUNK = 1 << 20

Ignore = Callable[[str, bool], bool]


@attrs.frozen(kw_only=True)
class Entry:
    """One file to send.

    Args:
        source: Where it is here.
        name: Where it goes, below the working directory.
        size: Bytes.
        is_executable: Whether its owner may execute it.
    """

    source: Path
    name: str
    size: int
    is_executable: bool


@attrs.frozen(kw_only=True)
class Scan:
    """What is sent, sorted by name, and what is not, in words for the user."""

    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def scan(pairs: Iterable[tuple[str, str]], *, base: Path, skip: Path | None = None) -> Scan:
    """Return every file that the uploads stand for (API.md, "Files").

    Args:
        pairs: (local path or pattern, name below the working directory or "" for the usual one).
        base: The folder that relative paths are relative to.
        skip: The folder of results: never sent.

    Raises:
        ConfigError: If nothing is there, a link leads nowhere or round in circles, something is neither file nor
            folder, or two files would get one name.
    """
    walk = _Walk(base.absolute(), None if skip is None else Path(os.path.abspath(skip)))
    for local, remote in pairs:
        for path, name in _roots(local, remote, walk.base):
            walk.add(path, name)
    entries = tuple(sorted(walk.found.values(), key=lambda entry: entry.name))
    _refuse_clashes(entries)
    return Scan(entries=entries, notes=tuple(dict.fromkeys(walk.notes)))


def hashed(entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Return each file with the SHA-256 of its contents, in hexadecimal. Reads every file: call it in a thread.

    Raises:
        ConfigError: If one cannot be read.
    """
    return [(entry, digest(entry)) for entry in entries]


def digest(entry: Entry) -> str:
    """Return the SHA-256 of a file's contents.

    Raises:
        ConfigError: If it cannot be read.
    """
    found = hashlib.sha256()
    try:
        with entry.source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    except OSError as error:
        raise ConfigError(
            f"upload {entry.source}: {error.strerror}", fix="make it readable, or leave it out"
        ) from error
    return found.hexdigest()


def _roots(local: str, remote: str, base: Path) -> Iterator[tuple[Path, str]]:
    """Yield (path, name below the working directory); the name "" stands for that directory itself."""
    given = os.path.expanduser(local)
    path = base / given
    if not os.path.lexists(path) and glob.has_magic(given):
        matches = sorted(glob.glob(given, root_dir=base, recursive=True, include_hidden=False))
        if not matches:
            raise ConfigError(
                f"upload {local!r} matches nothing in {base}", fix="name files or folders that exist here"
            )
        for match in matches:
            yield base / match, _name(match, f"{remote}/{PurePosixPath(match).name}" if remote else "")
    else:
        yield path, _name(given, remote)


def _name(given: str, remote: str) -> str:
    plain = os.path.normpath(remote or given)
    if plain == ".":
        return ""
    if remote:
        return PurePosixPath(plain).as_posix()
    if os.path.isabs(plain) or ".." in Path(plain).parts:
        return os.path.basename(os.path.abspath(plain)) or "root"
    return Path(plain).as_posix()


@attrs.define
class _Walk:
    base: Path
    skip: Path | None
    found: dict[str, Entry] = attrs.field(init=False, factory=dict)
    notes: list[str] = attrs.field(init=False, factory=list)

    def add(self, path: Path, name: str) -> None:
        """Add what lies at a path the user named: even if its name is among those usually skipped."""
        kind = self._look(path)
        if stat.S_ISDIR(kind.st_mode):
            self._folder(path, name, _ignore_rules(path), (_identity(kind),), "")
        else:
            self._file(path, name or path.name, kind)

    def _look(self, path: Path) -> os.stat_result:
        try:
            return path.stat()
        except OSError as error:
            if path.is_symlink():
                fix = "repair or remove the link, or name it in .aspotignore"
                raise ConfigError(f"upload {self._shown(path)} is a link that leads nowhere", fix=fix) from error
            raise ConfigError(f"upload {self._shown(path)}: {error.strerror}", fix="name what exists here") from error

    def _file(self, path: Path, name: str, kind: os.stat_result) -> None:
        if not stat.S_ISREG(kind.st_mode):
            fix = "leave it out, or name it in .aspotignore"
            raise ConfigError(f"upload {self._shown(path)} is neither a file nor a folder", fix=fix)
        entry = Entry(source=path, name=name, size=kind.st_size, is_executable=bool(kind.st_mode & stat.S_IXUSR))
        other = self.found.setdefault(name, entry)
        if not os.path.samefile(other.source, path):
            fix = "rename one of them with a mapping: {'a/x': 'x1'}"
            raise ConfigError(f"uploads {self._shown(other.source)} and {self._shown(path)} are both {name!r}", fix=fix)

    def _folder(self, path: Path, name: str, ignore: Ignore, above: tuple[tuple[int, int], ...], inner: str) -> None:
        """Add a folder's files; `inner` is its path below the folder whose ignore rules hold."""
        for item in sorted(os.scandir(path), key=lambda item: item.name):
            below = f"{inner}{item.name}"
            if self._is_skipped(item, below, ignore):
                continue
            there = Path(item.path)
            kind = self._look(there)
            named = f"{name}/{item.name}" if name else item.name
            if not stat.S_ISDIR(kind.st_mode):
                self._file(there, named, kind)
            elif _identity(kind) in above:
                raise ConfigError(f"upload {self._shown(there)} is a link that leads round in circles", fix="remove it")
            else:
                self._folder(there, named, ignore, (*above, _identity(kind)), f"{below}/")

    def _is_skipped(self, item: os.DirEntry[str], below: str, ignore: Ignore) -> bool:
        is_results = self.skip is not None and os.path.abspath(item.path) == str(self.skip)
        is_folder = item.is_dir()
        if item.name in SKIPPED or is_results:
            self.notes.append(f"not sent: {self._shown(Path(item.path))}")
            return True
        if item.name == IGNORE_FILE or ignore(below, is_folder):
            if item.name != IGNORE_FILE:
                self.notes.append(f"not sent: {self._shown(Path(item.path))} ({IGNORE_FILE})")
            return True
        return False

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.base) if path.is_relative_to(self.base) else path)


def _identity(kind: os.stat_result) -> tuple[int, int]:
    return kind.st_dev, kind.st_ino


def _ignore_rules(folder: Path) -> Ignore:
    """Return the rules of a folder's `.aspotignore`, which are written as in `.gitignore`."""
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return lambda *_: False
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / IGNORE_FILE} cannot be read: {error}", fix="write it as .gitignore") from error
    import pathspec

    rules = pathspec.GitIgnoreSpec.from_lines(lines)
    return lambda below, is_folder: rules.match_file(f"{below}/" if is_folder else below)


def _refuse_clashes(entries: Sequence[Entry]) -> None:
    files = {entry.name for entry in entries}
    for entry in entries:
        for parent in PurePosixPath(entry.name).parents:
            if str(parent) in files:
                raise ConfigError(
                    f"uploads: {str(parent)!r} would be a file and a folder", fix="rename one by a mapping"
                )
