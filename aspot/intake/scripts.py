"""Scripts: found, read and judged before anything is launched."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from pathlib import Path, PurePosixPath

import attrs

from aspot.errors import ConfigError
from aspot.jobs import is_script_text

TEXT_NAME = "script"
SHELL = ("/bin/sh",)
PYTHON = ("python3",)
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@attrs.frozen(kw_only=True)
class Script:
    """A script that can be run.

    Args:
        source: Local file with its text.
        remote_path: Where it lies below `work/`.
        interpreter: Words to run it with.
        digest: SHA-256 of its bytes.
    """

    source: Path
    remote_path: str
    interpreter: tuple[str, ...]
    digest: str


def find_script(script: str | Path, *, base: Path, texts: Path) -> Script:
    """Return a script, given as a path or as text, after checking that it can be run.

    Args:
        script: Path, or text with a newline or starting with `#!`.
        base: The folder that relative paths are relative to.
        texts: The folder where scripts given as text are kept.

    Raises:
        ConfigError: If there is no such script, or it could not run.
    """
    if isinstance(script, str) and is_script_text(script):
        return _from_text(script, texts)
    return _from_file(str(script), base)


def _from_text(text: str, texts: Path) -> Script:
    data = text.encode("utf-8", "surrogateescape")
    _check_bytes(data, "the script's text", 'use text.replace("\\r\\n", "\\n")', is_python=False)
    digest = hashlib.sha256(data).hexdigest()
    source = texts / f"{TEXT_NAME}-{digest[:16]}"
    try:
        texts.mkdir(parents=True, exist_ok=True)
        source.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot keep the script in {texts}: {error.strerror}", fix="make room there") from error
    return Script(source=source, remote_path=TEXT_NAME, interpreter=interpreter(data, TEXT_NAME), digest=digest)


def _from_file(given: str, base: Path) -> Script:
    source = base / os.path.expanduser(given)
    data = _read(source, given)
    plain = shlex.quote(given)
    fix = f"sed -i 's/\\r$//' {plain}"
    _check_bytes(data, given, fix, is_python=source.suffix.lower() == ".py")
    return Script(
        source=source,
        remote_path=remote_path(given),
        interpreter=interpreter(data, source.name),
        digest=hashlib.sha256(data).hexdigest(),
    )


def _read(source: Path, given: str) -> bytes:
    """Return a script's bytes; folders, devices and unreadable files are refused by name."""
    try:
        mode = source.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError(f"{given} is a folder, not a script", fix=f'name a script, and use upload=["{given}"]')
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{given} is not a regular file", fix="name a script's file")
        return source.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"no such file: {given!r} (looked in {source.parent})", fix=f"for a command use command={given!r}"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {given!r}: {error}", fix="make it readable, or name another script") from error


def _check_bytes(data: bytes, what: str, fix: str, *, is_python: bool) -> None:
    """Refuse what would fail on the instance in ways that are hard to understand there."""
    if not data.removeprefix(_UTF8_MARK).strip():
        raise ConfigError(f"{what} is empty", fix="write something into it")
    if data.startswith(_UTF16_MARKS):
        raise ConfigError(f"{what} is UTF-16, not UTF-8", fix=f"iconv -f UTF-16 -t UTF-8 {what} > script")
    if b"\0" in data[:1024]:
        raise ConfigError(f"{what} is a binary, not a script", fix='upload it, and use command="./NAME"')
    needs_plain = not is_python or data.removeprefix(_UTF8_MARK).startswith(b"#!")
    if needs_plain and data.startswith(_UTF8_MARK):
        raise ConfigError(f"{what} begins with a byte order mark", fix=_without_mark(fix))
    if needs_plain and b"\r\n" in data:
        raise ConfigError(f"{what} has Windows line ends (CRLF), which shells do not take", fix=fix)


def _without_mark(fix: str) -> str:
    return fix.replace("s/\\r$//", "1s/^\\xEF\\xBB\\xBF//").replace('replace("\\r\\n", "\\n")', 'lstrip("\\ufeff")')


def interpreter(data: bytes, name: str) -> tuple[str, ...]:
    r"""Return the words that run a script: its shebang's, else `python3` for `.py`, else `/bin/sh`.

    >>> interpreter(b"#!/usr/bin/env python3\n", "a"), interpreter(b"print()", "a.py"), interpreter(b"ls", "a")
    (('/usr/bin/env', 'python3'), ('python3',), ('/bin/sh',))
    """
    first = data.split(b"\n", 1)[0]
    words = tuple(first[2:].decode("utf-8", "surrogateescape").split()) if first.startswith(b"#!") else ()
    return words or (PYTHON if name.lower().endswith(".py") else SHELL)


def remote_path(given: str) -> str:
    """Return where a local path lands below `work/`: the same relative name; absolute or `..` paths, their base name.

    >>> remote_path("./steps/train.py"), remote_path("../train.py"), remote_path("/home/me/train.py")
    ('steps/train.py', 'train.py', 'train.py')
    """
    path = PurePosixPath(os.path.normpath(given))
    if path.is_absolute() or ".." in path.parts or path.parts[:1] == ("~",) or str(path).startswith("~"):
        return path.name
    return str(path)


def script_stem(script: str | Path | None, command: str = "") -> str:
    """Return what a job is named after: its script's stem, or the first file its command names, or its first word.

    >>> script_stem("ok one.sh"), script_stem("#!/bin/sh"), script_stem(None, "make -j4 all")
    ('ok one', 'script', 'make')
    """
    if script is not None:
        is_text = isinstance(script, str) and is_script_text(script)
        return TEXT_NAME if is_text else Path(script).stem
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    named = [word for word in words if Path(word).suffix in (".py", ".sh")]
    return Path((named or words or ["command"])[0]).stem
