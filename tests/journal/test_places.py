"""Where the state folder is, and which places are refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aspot.errors import AspotError, ConfigError
from aspot.journal import mounts
from aspot.journal.folders import RunFolder, state_dir

LINUX = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /home rw shared:2 master:1 - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/me/my\\040disk rw - xfs /dev/sdb rw
32 22 0:28 / /mnt/s rw - fuse.sshfs me@host: rw
33 22 0:29 / /mnt/o rw - autofs systemd-1 rw
34 33 0:30 / /mnt/o rw - cifs //host/share rw
"""
MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//me@host/share on /Volumes/a share (smbfs, nodev, nosuid, mounted by me)
"""


def test_the_state_folder_is_the_one_asked_for_and_private(tmp_path, monkeypatch):
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "a" / "b"))
    assert state_dir() == tmp_path / "a" / "b"
    assert stat.S_IMODE(state_dir().stat().st_mode) == 0o700


def test_without_a_wish_it_is_the_platforms_usual_place(tmp_path, monkeypatch):
    monkeypatch.delenv("ASPOT_STATE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_dir().is_relative_to(tmp_path)
    assert state_dir().name == "aspot"


def test_a_folder_that_was_open_is_closed(tmp_path, monkeypatch):
    (tmp_path / "state").mkdir(mode=0o755)
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "state"))
    assert stat.S_IMODE(state_dir().stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "is_refused"), [(0o777, True), (0o757, True), (0o1777, False), (0o755, False)])
def test_a_parent_that_others_may_write_to_is_refused(tmp_path, monkeypatch, mode, is_refused):
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(mode)
    monkeypatch.setenv("ASPOT_STATE_DIR", str(parent / "state"))
    if is_refused:
        with pytest.raises(ConfigError, match=f"others can write to {parent}"):
            state_dir()
    else:
        assert state_dir() == parent / "state"


def test_a_place_that_cannot_be_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(ConfigError, match="cannot keep state in") as caught:
        state_dir()
    assert "ASPOT_STATE_DIR" in caught.value.fix


def test_a_folder_of_someone_else_is_refused(tmp_path, monkeypatch):
    theirs = Path("/")
    if os.geteuid() == 0:  # root can make one
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        os.chown(theirs, 54321, 54321)
    monkeypatch.setenv("ASPOT_STATE_DIR", str(theirs))
    with pytest.raises(ConfigError, match="belongs to someone else"):
        state_dir()


def test_a_run_that_cannot_have_a_folder_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(AspotError, match="cannot make"):
        RunFolder.of("study", "01" + "k" * 24, state=tmp_path).make()


def test_a_folder_tells_its_names(tmp_path):
    folder = RunFolder.of("lr-study.2", "01" + "k" * 24, state=tmp_path)
    assert (folder.name, folder.run) == ("lr-study.2", "01" + "k" * 24)
    assert not folder.is_live


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/me", "nfs4"),
        ("/home/me/my disk/x", "xfs"),
        ("/homely", "ext4"),
        ("/mnt/s/x", "fuse.sshfs"),
        ("/mnt/o/x", "cifs"),
    ],
)
def test_the_innermost_mount_counts(path, kind):
    assert mounts.kind_of(Path(path), mounts.parse(LINUX)) == kind


def test_the_table_of_macos_is_read():
    table = mounts.parse(MACOS, mounts._MACOS)
    assert mounts.kind_of(Path("/Volumes/a share/x"), table) == "smbfs"
    assert mounts.kind_of(Path("/Users/me"), table) == "apfs"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "smbfs"])
def test_network_file_systems_are_known(kind):
    assert mounts.is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "apfs", "tmpfs", "overlay", "zfs", "fuse.ntfs-3g", ""])
def test_local_file_systems_are_fine(kind):
    assert not mounts.is_network(kind)


def test_this_machine_tells_its_mounts():
    assert any(point == "/" for point, _ in mounts.mounts())


def test_a_journal_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "mounts", lambda: [("/", "nfs4")])
    with pytest.raises(AspotError, match="network file system \\(nfs4\\)") as caught:
        mounts.refuse_network(tmp_path)
    assert "ASPOT_STATE_DIR" in caught.value.fix
