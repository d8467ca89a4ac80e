"""The shell text by which a machine mounts something. Pure."""

from __future__ import annotations

import shlex

NFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
"""EFS user guide, "Recommended NFS mount options"; no nconnect."""
_FRAME = """
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
fail() {{ printf '%s\\n' "$1" >&2; exit 1; }}
as_root() {{ if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }}
at={path} mark={mark}
{already}
[ -z "$(ls -A "$at" 2>/dev/null)" ] || fail "$at is not empty on this machine: what is there would be hidden"
as_root mkdir -p "$at" || fail "$at cannot be made on this machine"
"""
_ONCE = """if mountpoint -q "$at"; then exit 0; fi
note() {{ :; }}
forget() {{ :; }}"""
_KEPT = """
table=${{ASPOT_FSTAB:-/etc/fstab}} point=$(printf '%s' "$at" | sed 's/\\\\/\\\\134/g; s/ /\\\\040/g')
noted() {{ # what aspot wrote for this place: by its option x-aspot, which mount itself takes for a remark
  point=$point awk '$2 == ENVIRON["point"] && match($4, /x-aspot=[^,]*/) {{
    print substr($4, RSTART + 8, RLENGTH - 8)
  }}' "$table" 2>/dev/null
}}
rewrite() {{ # what others wrote, and this
  others=
  [ ! -e "$table" ] || others=$(point=$point awk '!($2 == ENVIRON["point"] && $4 ~ /x-aspot=/)' "$table") ||
    fail "$table cannot be read"
  {{ [ -z "$others" ] || printf '%s\\n' "$others"; [ -z "$1" ] || printf '%s\\n' "$1"; }} |
    as_root tee "$table.aspot" >/dev/null && as_root mv "$table.aspot" "$table" || fail "$table cannot be written"
}}
note() {{ rewrite "$1 $point $2 $3,nofail,x-aspot=$mark 0 0"; }} # before it is mounted: we may be cut off half-way
forget() {{ rewrite ''; }}
if mountpoint -q "$at"; then
  [ "$(noted)" != "$mark" ] || exit 0
  fail "$at on this machine is something else already"
fi"""
_OWNED = """
[ -w "$at" ] || as_root chown "$(id -u):$(id -g)" "$at" || fail "$at is mounted, and $(id -un) may not write there"
"""
_EFS = """
address={address} id={id} options={options}
install() {{
  if command -v apt-get >/dev/null; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy install nfs-common
  elif command -v dnf >/dev/null; then as_root dnf -qy install nfs-utils
  elif command -v yum >/dev/null; then as_root yum -qy install nfs-utils
  fi >/dev/null 2>&1
}}
if command -v mount.efs >/dev/null; then
  note "$id:/" efs "_netdev,tls,mounttargetip=$address"
  as_root mount -t efs -o "tls,mounttargetip=$address" "$id:/" "$at"
else
  command -v mount.nfs4 >/dev/null || install
  command -v mount.nfs4 >/dev/null || fail "this machine has no NFS client, and none could be installed"
  note "$address:/" nfs4 "_netdev,$options"
  as_root mount -t nfs4 -o "$options,retry=1" "$address:/" "$at"
fi || mountpoint -q "$at" || {{ forget; fail "$id could not be mounted from $address"; }}
"""


def shell_path(path: str) -> str:
    """Return an absolute path, or one that begins with `~/`, as one word of shell."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def efs_script(*, path: str, id_: str, address: str, is_kept: bool = False) -> str:
    """Return the script that mounts an EFS by its mount target's address: by TLS where the image has EFS's own tools.

    Args:
        path: Where; made if missing, and the login user's if nobody's yet.
        id_: The file system's id.
        address: Of the mount target in the machine's zone.
        is_kept: Whether every later boot is to mount it, too.
    """
    text = _frame(is_kept) + _EFS + _OWNED
    return text.format(
        path=shell_path(path),
        mark=shlex.quote(id_),
        address=shlex.quote(address),
        id=shlex.quote(id_),
        options=NFS_OPTIONS,
    )


def _frame(is_kept: bool) -> str:
    return _FRAME.replace("{already}", _KEPT if is_kept else _ONCE)


_VOLUME = """
serial={serial} letter={letter}
find_device() {{
  device=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$serial
  [ ! -e "$device" ] || return 0
  device=$(lsblk -dnpo NAME,SERIAL 2>/dev/null | while read -r name found; do
    [ "$found" != "$serial" ] || printf '%s\\n' "$name"
  done)
  [ -z "$device" ] || return 0
  for device in /dev/xvd$letter /dev/sd$letter; do [ ! -b "$device" ] || return 0; done
  return 1
}}
tries=0
until find_device; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] || fail "the volume is attached, and no device of this machine is it"
  sleep 0.5
done
as_root blkid -p "$device" >/dev/null
case $? in
  0) ;;
  2) as_root mkfs.ext4 -q "$device" || fail "$device could not be formatted" ;;
  *) fail "$device holds something that is not clear: it is not formatted" ;;
esac
{note}as_root mount "$device" "$at" || mountpoint -q "$at" || {{ # a boot mounts it, too
  forget
  fail "$device could not be mounted: is there a file system on it?"
}}
"""
_NOTE_VOLUME = """uuid=$(as_root blkid -s UUID -o value "$device")
[ -n "$uuid" ] || fail "$device has no UUID by which it could be mounted at every boot"
note "UUID=$uuid" auto defaults
"""


def volume_script(*, path: str, id_: str, letter: str, is_kept: bool = False) -> str:
    """Return the script that mounts an EBS volume, and formats it first if there is nothing whatever on it.

    Args:
        path: Where; made if missing, and the login user's if nobody's yet.
        id_: The volume's id: on Nitro the device is known by this alone, as its serial number.
        letter: Of the device name that was asked for, which counts on older types.
        is_kept: As for `efs_script`.
    """
    text = _frame(is_kept) + _VOLUME.replace("{note}", _NOTE_VOLUME if is_kept else "") + _OWNED
    return text.format(
        path=shell_path(path),
        mark=shlex.quote(id_),
        serial=shlex.quote(id_.replace("-", "")),
        letter=letter,
    )
