"""The mount scripts, run by a shell whose system tools say what they are asked."""

import os
import subprocess
from pathlib import Path

import pytest

from aspot.storage.mounting import efs_script, shell_path, volume_script

TOOL = '#!/bin/sh\nprintf "%s" "${0##*/}" >>"$LOG"; for w; do printf " %s" "$w" >>"$LOG"; done; echo >>"$LOG"\n'
OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,retry=1"


@pytest.fixture
def machine(tmp_path):
    """A machine with tools by name (and what they do, in shell); the call returns (exit code, stderr, what was run)."""

    def run(script, **tools):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        usual = {"sudo": 'shift; exec "$@"', "mountpoint": "exit 1", "mount": "", "id": 'echo "${1#-}" | sed s/un/me/'}
        for name, deed in {**usual, **tools}.items():
            (folder / name.replace("_", ".").replace("apt.get", "apt-get")).write_text(f"{TOOL}{deed}\n")
        for path in folder.iterdir():
            path.chmod(0o755)
        log = tmp_path / "log"
        log.write_text("")
        only = tmp_path / "only"
        only.mkdir(exist_ok=True)
        for name in ("sh", "ls", "mkdir", "printf", "env", "sed", "awk", "tee", "mv"):
            if not (only / name).exists():
                (only / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
        script = script.replace(":/usr/local/sbin:/usr/sbin:/sbin", "")  # the host's tools are not the machine's
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            env={
                "PATH": f"{folder}:{only}",
                "HOME": str(tmp_path / "home"),
                "LOG": str(log),
                "ASPOT_FSTAB": str(tmp_path / "fstab"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line for line in log.read_text().splitlines() if not line.startswith(("id", "sudo", "mountpoint"))]
        return done.returncode, done.stderr, said

    (tmp_path / "home").mkdir()
    return run


SCRIPT = efs_script(path="~/efs", id_="fs-1", address="10.0.0.7")


def test_plain_nfs_with_the_advised_options(machine, tmp_path):
    code, told, said = machine(SCRIPT, mount_nfs4="")
    assert (code, told) == (0, "")
    assert said == [f"mount -t nfs4 -o {OPTIONS} 10.0.0.7:/ {tmp_path}/home/efs"]


def test_tls_where_the_image_can(machine, tmp_path):
    code, _, said = machine(SCRIPT, mount_efs="", mount_nfs4="")
    assert code == 0
    assert said == [f"mount -t efs -o tls,mounttargetip=10.0.0.7 fs-1:/ {tmp_path}/home/efs"]


def test_tls_that_fails_is_not_done_without(machine):
    code, told, said = machine(SCRIPT, mount_efs="", mount_nfs4="", mount='echo "no stunnel" >&2; exit 1')
    assert (code, len(said)) == (1, 1)
    assert told == "no stunnel\nfs-1 could not be mounted from 10.0.0.7\n"


@pytest.mark.parametrize(("tool", "package"), [("apt_get", "nfs-common"), ("dnf", "nfs-utils"), ("yum", "nfs-utils")])
def test_a_client_is_installed_where_there_is_none(machine, tool, package):
    made = 'printf "#!/bin/sh\\n" >"${0%/*}/mount.nfs4"; /bin/chmod 755 "${0%/*}/mount.nfs4"'
    code, told, said = machine(SCRIPT, **{tool: made})
    assert (code, told) == (0, "")
    assert said[-2].endswith(f"install {package}")
    assert said[-1].startswith("mount -t nfs4")


def test_without_any_client_it_says_so(machine):
    code, told, said = machine(SCRIPT)
    assert (code, said) == (1, [])
    assert "no NFS client, and none could be installed" in told


def test_what_is_mounted_is_left_alone(machine):
    assert machine(SCRIPT, mountpoint="exit 0") == (0, "", [])


def test_a_folder_with_something_in_it_is_not_hidden(machine, tmp_path):
    (tmp_path / "home" / "efs").mkdir()
    (tmp_path / "home" / "efs" / "mine").touch()
    code, told, said = machine(SCRIPT, mount_nfs4="")
    assert (code, said) == (1, [])
    assert "is not empty on this machine" in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_one_that_is_nobodys_becomes_the_users(machine, tmp_path):
    code, _, said = machine(SCRIPT, mount_nfs4="", mount='for last; do :; done; /bin/chmod 555 "$last"', chown="")
    assert (code, said[1]) == (0, f"chown u:g {tmp_path}/home/efs")


VOLUME = volume_script(path="~/data", id_="vol-0abc", letter="f")
FOUND = "printf '/dev/nvme0n1 vol0root\\n/dev/nvme1n1 vol0abc\\n'"


def test_a_blank_volume_is_formatted_then_mounted(machine, tmp_path):
    code, told, said = machine(VOLUME, lsblk=FOUND, blkid="exit 2", mkfs_ext4="")
    assert (code, told) == (0, "")
    assert [line for line in said if not line.startswith("lsblk")] == [
        "blkid -p /dev/nvme1n1",
        "mkfs.ext4 -q /dev/nvme1n1",
        f"mount /dev/nvme1n1 {tmp_path}/home/data",
    ]


def test_one_with_a_file_system_is_never_formatted(machine, tmp_path):
    code, _, said = machine(VOLUME, lsblk=FOUND, blkid="exit 0", mkfs_ext4="")
    assert (code, said[1:]) == (0, ["blkid -p /dev/nvme1n1", f"mount /dev/nvme1n1 {tmp_path}/home/data"])


@pytest.mark.parametrize("answer", [1, 4, 8, 126, 127])
def test_what_is_not_clear_is_not_formatted(machine, answer):
    code, told, said = machine(VOLUME, lsblk=FOUND, blkid=f"exit {answer}", mkfs_ext4="")
    assert (code, said[1:]) == (1, ["blkid -p /dev/nvme1n1"])
    assert "holds something that is not clear: it is not formatted" in told


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ({"mkfs_ext4": "exit 1"}, "/dev/nvme1n1 could not be formatted"),
        ({"mkfs_ext4": "", "mount": "exit 32"}, "could not be mounted: is there a file system on it?"),
    ],
)
def test_what_fails_is_said(machine, tools, why):
    code, told, _ = machine(VOLUME, lsblk=FOUND, blkid="exit 2", **tools)
    assert code == 1
    assert why in told


def test_a_device_that_does_not_show_is_waited_for_and_then_said(machine):
    script = VOLUME.replace("sleep 0.5", ":")
    code, told, said = machine(script, lsblk="printf '/dev/nvme0n1 vol0root\\n'", blkid="exit 2", mkfs_ext4="")
    assert (code, said.count("lsblk -dnpo NAME,SERIAL")) == (1, 60)
    assert "no device of this machine is it" in told


def test_paths_are_one_word():
    assert shell_path("~/a b;c") == "\"$HOME\"/'a b;c'"
    assert shell_path("/mnt/$(x)") == "'/mnt/$(x)'"
    assert shell_path("/mnt/a") == "/mnt/a"


KEPT = efs_script(path="~/my efs", id_="fs-1", address="10.0.0.7", is_kept=True)
MINE = "UUID=1 / ext4 defaults 0 1\n10.0.0.9:/ /mnt/x nfs4 x-aspot=fs-9 0 0\n"


def test_what_is_kept_stands_in_fstab_beside_what_others_wrote(machine, tmp_path):
    (tmp_path / "fstab").write_text(MINE)
    for _ in range(2):  # in place of the line from before
        assert machine(KEPT, mount_nfs4="")[:2] == (0, "")
    line = (
        f"10.0.0.7:/ {tmp_path}/home/my\\040efs nfs4 _netdev,{OPTIONS.removesuffix(',retry=1')},nofail,x-aspot=fs-1 0 0"
    )
    assert (tmp_path / "fstab").read_text() == f"{MINE}{line}\n"
    assert machine(KEPT, mount_efs="")[0] == 0
    line = f"fs-1:/ {tmp_path}/home/my\\040efs efs _netdev,tls,mounttargetip=10.0.0.7,nofail,x-aspot=fs-1 0 0"
    assert (tmp_path / "fstab").read_text() == f"{MINE}{line}\n"


def test_what_fstab_would_misread_is_written_as_it_wants_it(machine, tmp_path):
    script = efs_script(path="~/a\\b c", id_="fs-1", address="10.0.0.7", is_kept=True)
    for _ in range(2):
        assert machine(script, mount_nfs4="")[0] == 0
    (line,) = (tmp_path / "fstab").read_text().splitlines()
    assert line.split()[1] == f"{tmp_path}/home/a\\134b\\040c"


def test_it_goes_from_there_if_it_cannot_be_mounted(machine, tmp_path):
    (tmp_path / "fstab").write_text(MINE)
    code, told, _ = machine(KEPT, mount_nfs4="", mount="exit 32")
    assert (code, told) == (1, "fs-1 could not be mounted from 10.0.0.7\n")
    assert (tmp_path / "fstab").read_text() == MINE


def test_one_that_is_mounted_is_left_alone_if_it_is_the_same(machine, tmp_path):
    machine(KEPT, mount_nfs4="")
    before = (tmp_path / "fstab").read_text()
    assert machine(KEPT, mountpoint="exit 0") == (0, "", [])
    other = efs_script(path="~/my efs", id_="fs-2", address="10.0.0.8", is_kept=True)
    code, told, said = machine(other, mountpoint="exit 0")
    assert (code, said) == (1, [])
    assert told == f"{tmp_path}/home/my efs on this machine is something else already\n"
    assert (tmp_path / "fstab").read_text() == before
    (tmp_path / "fstab").unlink()
    assert machine(KEPT, mountpoint="exit 0")[0] == 1  # somebody else's


def test_a_table_that_cannot_be_read_is_not_written(machine, tmp_path):
    (tmp_path / "fstab").write_text(MINE)
    code, told, said = machine(KEPT, mount_nfs4="", awk="exit 2")
    assert (code, [line for line in said if line.startswith("mount")]) == (1, [])
    assert f"{tmp_path}/fstab cannot be read" in told
    assert (tmp_path / "fstab").read_text() == MINE


def test_a_kept_volume_is_known_by_its_uuid(machine, tmp_path):
    kept = volume_script(path="~/data", id_="vol-0abc", letter="f", is_kept=True)
    uuid = '[ "$1" != -s ] || { echo 12-34; exit; }; exit 2'
    code, told, _ = machine(kept, lsblk=FOUND, blkid=uuid, mkfs_ext4="")
    assert (code, told) == (0, "")
    line = f"UUID=12-34 {tmp_path}/home/data auto defaults,nofail,x-aspot=vol-0abc 0 0\n"
    assert (tmp_path / "fstab").read_text() == line
    code, told, _ = machine(kept, lsblk=FOUND, blkid=uuid, mkfs_ext4="", mount="exit 1")
    assert code == 1
    assert (tmp_path / "fstab").read_text() == ""
    code, told, said = machine(kept, lsblk=FOUND, blkid="[ $1 = -s ] || exit 0")
    assert code == 1
    assert "has no UUID" in told
    assert not [line for line in said if line.startswith("mount /dev")]
