"""What a machine's user data asks for: cloud-config, scripts, MIME parts, gzip. Pure.

Follows cloud-init's documented formats (docs.cloud-init.io, "User data formats" and "Module reference"; 2026-01) for
the keys listed in `Plan`; others are ignored, as cloud-init ignores keys of modules it does not run. May import: yaml.
"""

from __future__ import annotations

import base64
import binascii
import email
import functools
import gzip
import shlex
import zlib
from collections.abc import Iterable
from typing import Any

import attrs
import yaml  # type: ignore[import-untyped]  # of the `local` extra, which needs no stubs

__all__ = ["MAX_INFLATED", "FileToWrite", "Plan", "parse"]

MAX_INFLATED = 4 << 20  # bytes; user data is at most 16 KiB packed
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@attrs.frozen(kw_only=True)
class FileToWrite:
    """An entry of `write_files`; `mode` as in chmod."""

    path: str
    content: bytes
    mode: int = 0o644
    append: bool = False


@attrs.frozen(kw_only=True)
class Plan:
    """What user data asks for, in cloud-init's order: before SSH (`boot_commands`, files, keys), then the scripts."""

    host_key: str | None = None
    authorized_keys: tuple[str, ...] = ()
    disable_root: bool = True
    files: tuple[FileToWrite, ...] = ()
    boot_commands: tuple[str, ...] = ()
    scripts: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()

    def and_then(self, later: Plan) -> Plan:
        """Return both plans as one."""
        return Plan(
            host_key=later.host_key or self.host_key,
            authorized_keys=self.authorized_keys + later.authorized_keys,
            disable_root=self.disable_root and later.disable_root,
            files=self.files + later.files,
            boot_commands=self.boot_commands + later.boot_commands,
            scripts=self.scripts + later.scripts,
            warnings=self.warnings + later.warnings,
        )


@functools.lru_cache(maxsize=64)
def parse(user_data: bytes) -> Plan:
    """Return what user data asks for; what can't be read is a warning on the console, as in a real boot."""
    try:
        content = _inflate(user_data)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        return Plan(warnings=(f"user data can't be unpacked: {error}",))
    return _part(content, kind="")


def _inflate(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    inflater = zlib.decompressobj(wbits=31)
    inflated = inflater.decompress(content, MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise ValueError("too large")
    return inflated


def _part(content: bytes, *, kind: str) -> Plan:
    """Return the plan of one part; its first line says what it is, else the MIME type."""
    if content.startswith(b"#cloud-config") or kind == "text/cloud-config":
        return _config(content)
    if content.startswith(b"#!"):
        return Plan(scripts=(content,))
    if content.lower().lstrip().startswith((b"content-type: multipart", b"mime-version:")):
        return _multipart(content)
    if not content.strip():
        return Plan()
    return Plan(warnings=("user data of an unknown format: its first line should be #cloud-config or #!",))


def _multipart(content: bytes) -> Plan:
    plan = Plan()
    for part in email.message_from_bytes(content.lstrip()).walk():
        if part.is_multipart():
            continue
        body = part.get_payload(decode=True)
        if isinstance(body, bytes):
            plan = plan.and_then(_part(_inflate(body), kind=part.get_content_type()))
    return plan


def _config(content: bytes) -> Plan:
    try:
        config = yaml.load(content, _LOADER)  # noqa: S506 - a safe loader
        if not isinstance(config, dict):
            raise ValueError("not a mapping")  # noqa: TRY301, TRY004
        return _plan(config)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        return Plan(warnings=(f"Failed loading yaml blob: {' '.join(str(error).split())}",))


def _plan(config: dict[str, Any]) -> Plan:
    run = [_command(entry) for entry in config.get("runcmd") or ()]
    return Plan(
        host_key=(config.get("ssh_keys") or {}).get("ed25519_private"),
        authorized_keys=tuple(str(key) for key in config.get("ssh_authorized_keys") or ()),
        disable_root=bool(config.get("disable_root", True)),
        files=tuple(_file(entry) for entry in config.get("write_files") or ()),
        boot_commands=tuple(_command(entry) for entry in config.get("bootcmd") or ()),
        scripts=("\n".join(["#!/bin/sh", *run, ""]).encode(),) if run else (),
    )


def _command(entry: object) -> str:
    """Return an entry of runcmd as a shell line: text as it is, a list as quoted words."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Iterable):
        return shlex.join(str(word) for word in entry)
    raise ValueError(f"a command that is neither text nor a list: {entry!r}")


def _file(entry: dict[str, Any]) -> FileToWrite:
    content = entry.get("content", "")
    body = content if isinstance(content, bytes) else str(content).encode()
    return FileToWrite(
        path=str(entry["path"]),
        content=_decode(body, str(entry.get("encoding", ""))),
        mode=_mode(entry.get("permissions", 0o644)),
        append=bool(entry.get("append", False)),
    )


def _decode(body: bytes, encoding: str) -> bytes:
    words = set(encoding.lower().replace("+", " ").split())
    try:
        body = base64.b64decode(body) if words & {"b64", "base64"} else body
        return gzip.decompress(body) if words & {"gz", "gzip"} else body
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"content that is not {encoding}: {error}") from error


def _mode(permissions: object) -> int:
    return int(permissions, 8) if isinstance(permissions, str) else int(str(permissions))
