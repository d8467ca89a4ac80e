"""Git repositories on a box. A token or deploy key goes to git through a pipe, and is never on the box's disk."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import asyncssh

from aspot.boxes.box import Box
from aspot.boxes.commands import CommandResult, new_id, run
from aspot.errors import ConfigError
from aspot.ssh.box_order import Command

TOKEN_VARIABLE = "ASPOT_GIT_TOKEN"
GIT_S = 3600.0
CLEAR = "http"

_SCP_LIKE = re.compile(r"(?:(?P<user>[\w.-]+)@)?(?P<host>[\w.-]+):(?!//)(?P<path>.+)")


async def clone(
    box: Box, url: str, directory: str | None, *, token: str | None, key: str | Path | None
) -> CommandResult:
    """Clone a repository. Raises `CommandFailed` if git does not succeed."""
    host = _checked(url)
    words = ["clone", "--", url, *([directory.removeprefix("~/")] if directory else [])]
    return await _git(box, words, where="~", token=token, key=key, host=host, shown=f"git clone {url}")


async def update(
    box: Box, path: str, branch: str | None, *, token: str | None, key: str | Path | None
) -> CommandResult:
    """Bring a clone up to date; nothing uncommitted is thrown away. Raises `CommandFailed` if git does not succeed."""
    if branch is not None and (not branch or branch.startswith("-")):
        raise ConfigError(f"{branch!r} is not a branch", fix='await box.update_repo("code", "main")')
    shown = f"git pull in {path}"
    origin = await run(
        box,
        Command(id=new_id(), words=("git", "remote", "get-url", "origin"), where=path),
        shown=shown,
        check=True,
        timeout=60,
        stream=False,
    )
    host = _checked(origin.stdout.strip())
    if branch is not None:
        for words in (["fetch", "origin", branch], ["checkout", branch, "--"]):
            await _git(box, words, where=path, token=token, key=key, host=host, shown=shown)
        pull = ["merge", "--ff-only", "FETCH_HEAD"]
    else:
        pull = ["pull", "--ff-only"]
    return await _git(box, pull, where=path, token=token, key=key, host=host, shown=shown)


def _checked(url: str) -> str:
    """Return the host and port of an address of SSH, `CLEAR` for one without TLS; "" for all others.

    Raises:
        ConfigError: If it holds a password: git would write it down.
    """
    if not url or url.startswith("-"):
        raise ConfigError(f"{url!r} is no repository's address", fix="https://github.com/OWNER/NAME.git")
    parts = urlsplit(url)
    if parts.password:
        raise ConfigError(
            "the address holds a password, which git would write to the box's disk",
            fix=f"leave it out, and give token=, or set {TOKEN_VARIABLE}",
        )
    if parts.scheme == "http" and not (parts.hostname == "localhost" or (parts.hostname or "").startswith("127.")):
        return CLEAR
    if parts.scheme == "ssh":
        return f"{parts.hostname or ''}:{parts.port or 22}"
    if not parts.scheme and (found := _SCP_LIKE.fullmatch(url)):
        return f"{found['host']}:22"
    return ""


async def _git(
    box: Box,
    words: Sequence[str],
    *,
    where: str,
    token: str | None,
    key: str | Path | None,
    host: str,
    shown: str,
) -> CommandResult:
    if key is not None and token is not None:
        raise ConfigError("a token and a key were given: which?", fix="a token for https, a key for ssh")
    if key is not None:
        order = _with_key(words, where, key, host)
    else:
        given = token if token is not None else os.environ.get(TOKEN_VARIABLE, "")
        if given and host == CLEAR:
            raise ConfigError("a token would go to the server in the clear", fix="use the repository's https address")
        order = _with_token(words, where, given if not host else "")
    return await run(box, order, shown=shown, check=True, timeout=GIT_S, stream=False)


_QUIET = {"GIT_TERMINAL_PROMPT": "0"}


def _with_token(words: Sequence[str], where: str, token: str) -> Command:
    if "\n" in token:
        raise ConfigError("the token has more than one line", fix="give it without line ends")
    if not token:
        return Command(id=new_id(), words=("git", *words), where=where, env=_QUIET)
    # No helper of the box may keep the token; asked for a name, git has one already.
    options = ("-c", "credential.helper=", "-c", "credential.username=x-access-token")
    inner = f'GIT_ASKPASS="$0" exec git {shlex.join([*options, *words])}'
    return Command(
        id=new_id(),
        words=("/bin/sh", "-c", inner),
        where=where,
        env=_QUIET,
        script='#!/bin/sh\nIFS= read -r answer <&3\nprintf "%s\\n" "$answer"\n',
        name="ask",
        secret=token,
    )


_GIT_SSH = (
    "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null "
    '-o UserKnownHostsFile=\\"$0.hosts\\"'
)
_INSIDE = (
    f'ssh-add -q - <&3 && exec 3<&- && export GIT_SSH_COMMAND="{_GIT_SSH}" && git "$@"; '
    'code=$?; kill "$SSH_AGENT_PID"; exit $code'  # by itself an agent ends 10 s after its command
)
_WITH_AGENT = (
    f'printf "%s\\n" "$KNOWN" >"$0.hosts" && unset KNOWN && exec ssh-agent /bin/sh -c {shlex.quote(_INSIDE)} "$0"'
)


def _with_key(words: Sequence[str], where: str, key: str | Path, host: str) -> Command:
    """Return git under an SSH agent of its own, which holds the key in memory and ends with it."""
    if ":" not in host:
        raise ConfigError("a deploy key is for addresses of SSH", fix="git@github.com:OWNER/NAME.git, or give token=")
    text = _private(Path(os.path.expanduser(key)))
    known = "\n".join(_host_keys(host))
    return Command(
        id=new_id(),
        words=("/bin/sh", "-c", f"{_WITH_AGENT} {shlex.join(words)}"),
        where=where,
        env={**_QUIET, "KNOWN": known},
        script="",
        name="ssh",
        secret=text,
    )


def _private(key: Path) -> str:
    """Return a private key's text.

    Raises:
        ConfigError: If there is none, or it has a passphrase.
    """
    try:
        text = key.read_text(encoding="ascii")
        asyncssh.import_private_key(text)
    except OSError as error:
        raise ConfigError(f"the key {key} cannot be read: {error.strerror}", fix="name a private key's file") from error
    except asyncssh.KeyEncryptionError as error:
        raise ConfigError(f"the key {key} has a passphrase", fix="use a deploy key of its own, without one") from error
    except (asyncssh.KeyImportError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key} is not a private key", fix="name a private key's file") from error
    return text.rstrip("\n")


def _host_keys(host: str) -> list[str]:
    """Return what this computer knows of the git server's host keys, as lines of known_hosts: nobody is trusted unseen.

    Raises:
        ConfigError: If it knows none.
    """
    name, _, port = host.rpartition(":")
    found: list[str] = []
    for path in (Path.home() / ".ssh" / "known_hosts", Path("/etc/ssh/ssh_known_hosts")):
        if path.is_file():
            keys, *_ = asyncssh.match_known_hosts(str(path), name, "", int(port) if port != "22" else None)
            found += [key.export_public_key().decode().strip() for key in keys]
    if not found:
        raise ConfigError(
            f"the host key of {name} is not known here", fix=f"ssh -T -p {port} git@{name} once, here, and look at it"
        )
    shown = name if port == "22" else f"[{name}]:{port}"
    return [f"{shown} {line}" for line in dict.fromkeys(found)]
