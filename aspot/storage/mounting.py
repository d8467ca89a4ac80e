"""The shell text by which a machine mounts something. Pure."""

from __future__ import annotations

import shlex

NFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
"""EFS user guide, "Recommended NFS mount options"; no nconnect."""
_FRAME = """
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
fail() {{ printf '%s\\n' "$1" >&2; exit 1; }}
as_root() {{ if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }}
at={path}
if mountpoint -q "$at"; then exit 0; fi
[ -z "$(ls -A "$at" 2>/dev/null)" ] || fail "$at is not empty on this machine: what is there would be hidden"
as_root mkdir -p "$at" || fail "$at cannot be made on this machine"
"""
_OWNED = """
[ -w "$at" ] || as_root chown "$(id -u):$(id -g)" "$at" || fail "$at is mounted, and $(id -un) may not write there"
"""
_EFS = """
address={address} id={id}
install() {{
  if command -v apt-get >/dev/null; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install nfs-common
  elif command -v dnf >/dev/null; then as_root dnf -qy install nfs-utils
  elif command -v yum >/dev/null; then as_root yum -qy install nfs-utils
  fi >/dev/null 2>&1
}}
if command -v mount.efs >/dev/null; then
  as_root mount -t efs -o "tls,mounttargetip=$address" "$id:/" "$at"
else
  command -v mount.nfs4 >/dev/null || install
  command -v mount.nfs4 >/dev/null || fail "this machine has no NFS client, and none could be installed"
  as_root mount -t nfs4 -o "{options},retry=1" "$address:/" "$at"
fi || fail "$id could not be mounted from $address"
"""


def shell_path(path: str) -> str:
    """Return an absolute path, or one that begins with `~/`, as one word of shell."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def efs_script(*, path: str, id_: str, address: str) -> str:
    """Return the script that mounts an EFS by its mount target's address: by TLS where the image has EFS's own tools.

    Args:
        path: Where; made if missing, and the login user's if nobody's yet.
        id_: The file system's id.
        address: Of the mount target in the machine's zone.
    """
    text = _FRAME + _EFS + _OWNED
    return text.format(path=shell_path(path), address=shlex.quote(address), id=shlex.quote(id_), options=NFS_OPTIONS)
