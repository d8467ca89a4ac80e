"""What machines mount: shared by those that mount it, where they say, and by nobody else; gone with a boot."""

from __future__ import annotations

import pytest

from aspot.local.guests.park import Park
from tests.local.guests.conftest import Grounds

MOUNT = "mkdir -p {at} && sudo -n mount -t nfs4 -o nfsvers=4.1,hard {address}:/ {at}"


@pytest.fixture
async def grounds(tmp_path, isolation):
    """A park in which 172.31.0.5 is a mount target of fs-1, and nothing answers at other addresses."""
    asked = []

    async def answer(instance, words):
        asked.append((instance, words))
        return "ok fs-1" if words == ["nfs", "172.31.0.5"] else "timeout"

    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=print, isolation=isolation, on_storage=answer)
    await park.start()
    found = Grounds(park, [])
    found.asked = asked
    yield found
    await park.aclose()


async def test_two_machines_see_one_file_system_and_a_third_does_not(grounds):
    one, two, three = [await grounds.boot() for _ in range(3)]
    for guest, at in ((one, "$HOME/efs"), (two, "$HOME/deep/er/data/")):
        done = await guest.run(MOUNT.format(at=at, address="172.31.0.5"))
        assert (done.exit_status, done.stderr) == (0, "")
    await one.out("echo shared >~/efs/a && mkdir ~/efs/b")
    assert await two.out("cat ~/deep/er/data/a; ls ~/deep/er/data") == "shared\na\nb"
    assert await three.out("ls -A ~ | grep -v ssh || true") == ""
    assert await one.out("mountpoint -q ~/efs && mountpoint ~/efs && mount | head -1") == (
        f"{await one.out('echo $HOME')}/efs is a mountpoint\n172.31.0.5:/ on {await one.out('echo $HOME')}/efs"
        " type nfs4 (rw)"
    )
    assert (await three.run("mkdir -p ~/efs; mountpoint -q ~/efs")).exit_status == 32
    await grounds.park.terminate(one.id)
    assert await two.out("cat ~/deep/er/data/a") == "shared"


async def test_what_is_unmounted_leaves_the_empty_folder_and_can_be_mounted_again(grounds):
    guest = await grounds.boot()
    await guest.out(MOUNT.format(at="~/efs", address="172.31.0.5") + " && echo x >~/efs/a && sudo umount ~/efs")
    assert await guest.out("ls -A ~/efs; mountpoint ~/efs | sed 's/.* is/is/'") == "is not a mountpoint"
    await guest.out("mount.nfs4 172.31.0.5:/ ~/efs -o ro")
    assert await guest.out("cat ~/efs/a") == "x"


async def test_a_boot_unmounts(grounds):
    guest = await grounds.boot()
    await guest.out(MOUNT.format(at="~/efs", address="172.31.0.5") + " && echo x >~/efs/a")
    await grounds.park.reboot(guest.id)
    assert (await guest.run("mountpoint -q ~/efs || ls -A ~/efs")).stdout == ""
    await guest.out("mount -t nfs4 172.31.0.5:/ ~/efs")
    assert await guest.out("cat ~/efs/a") == "x"


async def test_a_boot_mounts_what_fstab_says_and_all_of_it_that_can_be(grounds):
    guest = await grounds.boot()
    home = await guest.out("echo $HOME")
    lines = (
        "# a remark",
        "",
        f"172.31.0.9:/ {home}/gone nfs4 nofail 0 0",
        f"172.31.0.5:/ {home}/a\\040b nfs4 nofail 0 0",
    )
    await guest.out("mkdir gone 'a b'; cat >\"$ASPOT_FSTAB\" <<'END'\n" + "\n".join(lines) + "\nEND")
    await grounds.park.reboot(guest.id)
    assert await guest.out("mountpoint -q 'a b' && echo x >'a b/file' && ls gone") == ""
    done = await guest.run("sudo mount -a; echo $?; umount 'a b'; mount -a; cat 'a b/file'")
    assert done.stdout == "32\nx\n"
    assert "Connection timed out for 172.31.0.9:/" in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("mkdir d; mount -t nfs4 172.31.0.9:/ d", 32, "mount.nfs4: Connection timed out for 172.31.0.9:/"),
        ("mkdir d; mount -t nfs4 'a b:/' d", 32, "mount.nfs4: Failed to resolve server a b"),
        ("mount -t nfs4 172.31.0.5:/ nowhere", 32, "mount point does not exist"),
        ("mkdir d; touch d/x; mount -t nfs4 172.31.0.5:/ d", 32, "mounts in empty folders only"),
        ("mkdir d; mount 172.31.0.5:/ d; mount 172.31.0.5:/ d", 32, "already mounted here"),
        ("mkdir d; mount /dev/sdz d", 32, "special device /dev/sdz does not exist"),
        ("mount 172.31.0.5:/", 1, "can't find in /etc/fstab"),
        ("umount ~/x", 32, "not mounted"),
        ("umount", 1, "bad usage"),
        ("mountpoint ~/x", 1, "No such file or directory"),
    ],
)
async def test_what_cannot_be_mounted_says_why(grounds, command, code, told):
    done = await (await grounds.boot()).run(command)
    assert done.exit_status == code
    assert told in done.stderr


async def test_a_deleted_file_system_takes_its_files_along(grounds, until):
    guest = await grounds.boot()
    await guest.out(MOUNT.format(at="~/efs", address="172.31.0.5") + " && echo x >~/efs/a")
    grounds.park.forget_disk("fs-1")
    assert (await guest.run("cat ~/efs/a")).exit_status != 0
    grounds.park.forget_disk("fs-1")  # again is no harm


async def test_mnt_is_a_machines_own(grounds, isolation):
    if isolation == "sessions":
        pytest.skip("a session of processes sees the host's /mnt")
    guest, other = await grounds.boot(), await grounds.boot()
    await guest.out(MOUNT.format(at="/mnt/data", address="172.31.0.5") + " && echo x >/mnt/data/a")
    assert await other.out("ls -A /mnt") == ""


@pytest.fixture
async def disks(tmp_path, isolation):
    """A park whose machines have the volumes that the test says, by machine."""
    attached = {}

    async def answer(instance, words):
        return " ".join(["ok", *attached.get(instance, ())]) if words == ["volumes"] else "timeout"

    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=print, isolation=isolation, on_storage=answer)
    await park.start()
    found = Grounds(park, [])
    found.attached = attached
    yield found
    await park.aclose()


async def test_a_volume_is_blank_until_it_is_formatted_and_keeps_its_files(disks):
    one, two = await disks.boot(), await disks.boot()
    disks.attached[one.id] = ["vol-0a", "vol-0b"]
    assert await one.out("lsblk -dnpo NAME,SERIAL; lsblk -dno NAME,SERIAL") == (
        "/dev/nvme1n1 vol0a\n/dev/nvme2n1 vol0b\nnvme1n1 vol0a\nnvme2n1 vol0b"
    )
    blank = await one.run("sudo blkid -p /dev/nvme2n1; echo $?; mkdir d; mount /dev/nvme2n1 d; echo $?")
    assert blank.stdout == "2\n32\n"
    assert "wrong fs type" in blank.stderr
    await one.out("sudo mkfs.ext4 -q /dev/nvme2n1 && mount /dev/nvme2n1 d && echo mine >d/file")
    assert await one.out("blkid -p /dev/nvme2n1; mountpoint -q d && ls -A d") == '/dev/nvme2n1: TYPE="ext4"\nfile'
    for refused in ("mkfs.ext4 -q /dev/nvme2n1", "mkdir e && mount /dev/nvme2n1 e", "blkid /dev/nvme9n1"):
        assert (await one.run(refused)).exit_status != 0, refused
    await disks.park.terminate(one.id)
    disks.attached[two.id] = ["vol-0b"]
    assert await two.out("mkdir d && mount /dev/nvme1n1 d && cat d/file && umount d && ls -A d") == "mine"


async def test_a_volume_is_mounted_by_its_uuid(disks):
    guest = await disks.boot()
    disks.attached[guest.id] = ["vol-0a", "vol-0b"]
    await guest.out(
        "sudo mkfs.ext4 -q /dev/nvme2n1 && mkdir d && mount /dev/nvme2n1 d && echo mine >d/file && umount d"
    )
    uuid = await guest.out("blkid -s UUID -o value /dev/nvme2n1")
    assert await guest.out(f"mount UUID={uuid} d && cat d/file") == "mine"
    done = await guest.run("blkid -s UUID -o value /dev/nvme1n1; echo $?; mkdir e; mount UUID=none e; echo $?")
    assert (done.stdout, "can't find UUID=none" in done.stderr) == ("2\n32\n", True)


async def test_a_machine_without_volumes_has_none(disks):
    guest = await disks.boot()
    done = await guest.run("lsblk -dnpo NAME,SERIAL; mkdir d; mount /dev/nvme1n1 d; echo $?")
    assert done.stdout == "32\n"
    assert "special device /dev/nvme1n1 does not exist" in done.stderr
