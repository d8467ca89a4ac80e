"""`aspot ssh-config`: machines of ours for OpenSSH and all that builds on it: `ssh NAME`, scp, sftp, rsync, editors."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from aspot.errors import AspotError, ConfigError
from aspot.journal.folders import state_dir
from aspot.reach import Machine, machines, open_runs
from aspot.ui.safe import one_line
from aspot.way import seen

_HEAD = "# Written by `aspot ssh-config --write`: the machines that ran then. Changes here are lost.\n"
_WILD = re.compile(r"[*?!]")


def main(args: argparse.Namespace) -> int:
    """Print the configuration, or write it where `ssh` finds it."""
    place = _Place(state_dir() / "ssh")
    found = asyncio.run(_where(machines(open_runs())))
    taken = _hosts_of_the_user()
    named, clashes = _names(found, taken)
    text = "".join(_entry(machine, names, place.known_hosts) for machine, names in named)
    place.write_known_hosts(found)
    for name in clashes if not args.quiet else ():
        print(one_line(f"{name} is in your ~/.ssh/config already: use its instance id, or aspot ssh"), file=sys.stderr)
    if not args.write:
        print(text, end="")
        return 0
    place.write_config(_HEAD + text)
    _include(place.config, is_sure=args.yes, quiet=args.quiet)
    if not args.quiet:
        names = ", ".join(names[0] for _, names in named)
        print(one_line(f"ssh knows {names}" if named else "no machine of yours is running: ssh knows none"))
    return 0


async def _where(known: Sequence[Machine]) -> list[Machine]:
    """Return those machines that can be connected to, at the address where they are now."""
    stale = {machine.info.id: machine.info for machine in known if not machine.is_fresh}
    there = await seen(list(stale.values())) if stale else {}
    found = []
    for machine in known:
        if machine.is_fresh:
            found.append(machine)
        elif (item := there.get(machine.instance)) is not None and item.state == "running" and item.address:
            found.append(attrs.evolve(machine, address=item.address, port=item.port))
    return [machine for machine in found if machine.info.folder.keys.is_dir()]


def _names(found: Sequence[Machine], taken: set[str]) -> tuple[list[tuple[Machine, list[str]]], list[str]]:
    """Return each machine with the names that ssh is to know it by, and names that the user's own hosts have."""
    alone = [machine.info.id for machine in found]
    named: list[tuple[Machine, list[str]]] = []
    given: set[str] = set()
    clashes = []
    for machine in found:
        short = [machine.info.name] if alone.count(machine.info.id) == 1 else []
        wanted = [name for name in dict.fromkeys((machine.label, *short)) if name not in given]
        clashes += [name for name in wanted if name in taken]
        names = [name for name in wanted if name not in taken]
        given.update(names)
        named.append((machine, [*names, machine.instance]))
    return named, clashes


def _entry(machine: Machine, names: Sequence[str], known_hosts: Path) -> str:
    lines = (
        f"Host {' '.join(names)}",
        f"    HostName {machine.address}",
        f"    Port {machine.port}",
        f"    User {machine.user}",
        f"    IdentityFile {_quoted(machine.info.folder.keys / 'client_key')}",
        "    IdentitiesOnly yes",
        f"    HostKeyAlias {machine.instance}",
        f"    UserKnownHostsFile {_quoted(known_hosts)}",
        "    GlobalKnownHostsFile none",
        "    StrictHostKeyChecking yes",
        "    UpdateHostKeys no",
        "    HostKeyAlgorithms ssh-ed25519",
        "    ForwardAgent no",
        "    ServerAliveInterval 15",
    )
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """Return a path as ssh_config(5) takes it: quoted, for it may hold spaces; `%` begins a token there."""
    return f'"{str(path).replace("%", "%%")}"'


@attrs.frozen
class _Place:
    """aspot's own folder for it.

    Args:
        folder: In the state folder.
    """

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def write_known_hosts(self, found: Sequence[Machine]) -> None:
        """Write the host keys that the machines may show, by instance id."""
        lines = (machine.keys().known_hosts(machine.instance, machine.instance) for machine in found)
        self._write(self.known_hosts, "".join(lines))

    def write_config(self, text: str) -> None:
        """Write the hosts."""
        self._write(self.config, text)

    def _write(self, path: Path, text: str) -> None:
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            _replace(path, text, mode=0o600)
        except OSError as error:
            raise AspotError(f"cannot write {path}: {error.strerror}", fix="free some space") from error


def _replace(path: Path, text: str, *, mode: int) -> None:
    """Put a file in place of another, whole."""
    fresh = path.with_name(f"{path.name}.aspot-{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as target:
            os.fchmod(descriptor, mode)
            target.write(text)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _own_config() -> Path:
    return Path.home() / ".ssh" / "config"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AspotError(f"cannot read {path}: {error.strerror}", fix="make it readable for you") from error


def _hosts_of_the_user() -> set[str]:
    """Return the names that the user's own configuration gives to hosts: aspot's stand before it, and must not win."""
    found: set[str] = set()
    for line in _read(_own_config()).splitlines():
        words = line.strip().replace("=", " ", 1).split()
        if len(words) > 1 and words[0].lower() == "host":
            found.update(word.strip('"') for word in words[1:] if not _WILD.search(word))
    return found


def _include(config: Path, *, is_sure: bool, quiet: bool) -> None:
    """Have the user's own configuration include ours, if it does not: first, where no `Host` line is above it."""
    line = f'Include "{config}"'
    path = Path(os.path.realpath(_own_config()))
    text = _read(path)
    if any(_is_include(there, config) for there in _before_any_host(text)):
        return
    if not is_sure:
        _ask(line)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        _replace(path, f"{line}\n{text}", mode=mode)
    except OSError as error:
        raise AspotError(
            f"cannot write {path}: {error.strerror}", fix=f"put this line at its beginning: {line}"
        ) from error
    if not quiet:
        print(one_line(f"added to {path}: {line}"), file=sys.stderr)


def _before_any_host(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip().lower().startswith(("host ", "host=", "match ")):
            return
        yield line


def _is_include(line: str, config: Path) -> bool:
    words = line.strip().split(None, 1)
    return len(words) > 1 and words[0].lower() == "include" and str(config) in words[1]


def _ask(line: str) -> None:
    if sys.stdin.isatty() and input(f"Add this line to ~/.ssh/config?\n  {line}\n[y/N] ").strip().lower() in (
        "y",
        "yes",
    ):
        return
    raise ConfigError(
        "ssh does not know aspot's machines yet: ~/.ssh/config was not changed",
        fix=f"aspot ssh-config --write --yes, or put this line at its beginning: {line}",
    )
