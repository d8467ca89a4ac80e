"""The SFTP server works in the machine's world: what a guest links to is never the host's."""

from __future__ import annotations

import os
import stat

import asyncssh
import pytest


@pytest.fixture
async def sftp(guest):
    async with guest.connect() as connection, connection.start_sftp_client() as client:
        client.guest = guest
        yield client


@pytest.mark.parametrize("isolation", ["namespaces"])
async def test_a_link_to_a_file_of_the_host_leads_nowhere(sftp, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host")
    await sftp.guest.out(f"ln -s {secret} ~/link; ln -s {tmp_path} ~/folder")
    for path in ("link", "folder/secret"):
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.get(path, tmp_path / "stolen", follow_symlinks=True)
    with pytest.raises(asyncssh.SFTPError):
        async with sftp.open("folder/new", "w") as file:
            await file.write("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["park", "secret"]


@pytest.mark.parametrize("isolation", ["sessions"])
@pytest.mark.skipif(os.geteuid() != 0, reason="guests are the same user as this test")
async def test_it_has_the_rights_of_the_machines_user_only(sftp, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host")
    secret.chmod(0o600)
    with pytest.raises(asyncssh.SFTPError):
        await sftp.get(str(secret), tmp_path / "stolen")


async def test_a_fifo_or_device_is_refused_rather_than_waited_for(sftp):
    await sftp.guest.out("mkfifo ~/pipe")
    for path in ("pipe", "/dev/zero"):
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            async with sftp.open(path, "rb"):
                pass


async def test_files_are_the_machines_users(sftp):
    async with sftp.open("file", "w") as file:
        await file.write("x")
    assert await sftp.guest.out("test -O ~/file && cat ~/file") == "x"


async def test_reading_and_writing_anywhere_in_a_file(sftp):
    async with sftp.open("file", "wb") as file:
        await file.write(b"0123456789")
    async with sftp.open("file", "r+b") as file:
        await file.write(b"ab", 4)
        assert await file.read(4, 3) == b"3ab6"
    async with sftp.open("file", "ab") as file:
        await file.write(b"end")
    async with sftp.open("file", "rb") as file:
        assert await file.read() == b"0123ab6789end"
    with pytest.raises(asyncssh.SFTPError):
        await sftp.open("file", "xb")


async def test_attributes_and_folders(sftp):
    await sftp.mkdir("d", asyncssh.SFTPAttrs(permissions=0o700))
    async with sftp.open("d/f", "w") as file:
        await file.write("12345")
    await sftp.chmod("d/f", 0o640)
    await sftp.utime("d/f", (1_000_000_000, 1_100_000_000))
    await sftp.truncate("d/f", 3)
    found = await sftp.stat("d/f")
    assert (found.size, stat.S_IMODE(found.permissions)) == (3, 0o640)
    assert sorted(await sftp.listdir("d")) == [".", "..", "f"]
    await sftp.symlink("f", "d/link")
    assert await sftp.readlink("d/link") == "f"
    assert stat.S_ISLNK((await sftp.lstat("d/link")).permissions)
    await sftp.link("d/f", "d/hard")
    assert await sftp.guest.out("stat -c %h ~/d/f") == "2"
    with pytest.raises(asyncssh.SFTPError):
        await sftp.rename("d/f", "d/hard")
    await sftp.posix_rename("d/f", "d/new")
    with pytest.raises(asyncssh.SFTPError):
        await sftp.rmdir("d")
    await sftp.rmtree("d")
    assert not await sftp.exists("d")
    assert (await sftp.statvfs("/")).blocks > 0


async def test_names_that_are_not_text(sftp):
    await sftp.guest.out("touch ~/\"$(printf 'a\\377b')\"")
    names = await sftp.listdir(b".")
    assert b"a\xffb" in names
    await sftp.remove(b"a\xffb")


async def test_big_folders_and_files(sftp, tmp_path):
    await sftp.guest.out("mkdir ~/many && cd ~/many && seq 3000 | xargs touch; head -c 5000000 /dev/urandom >~/big")
    assert len(await sftp.listdir("many")) == 3002
    await sftp.get("big", tmp_path / "big")
    await sftp.put(tmp_path / "big", "again")
    await sftp.guest.out("cmp ~/big ~/again")


async def test_home_is_where_it_starts(sftp):
    assert await sftp.realpath(".") == await sftp.guest.out("pwd")
