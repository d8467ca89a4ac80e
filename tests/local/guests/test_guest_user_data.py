"""User data: read as cloud-init reads it, and carried out at boot."""

from __future__ import annotations

import base64
import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import asyncssh
import pytest
import yaml

from aspot.local.guests.user_data import MAX_INFLATED, Plan, parse


def config(**keys):
    return b"#cloud-config\n" + yaml.safe_dump(keys).encode()


def multipart(*parts):
    message = MIMEMultipart()
    for kind, text in parts:
        message.attach(MIMEText(text, kind))
    return message.as_bytes()


HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
PRIVATE = HOST_KEY.export_private_key().decode()
HOST_KEY_CONFIG = config(
    ssh_deletekeys=True,
    ssh_keys={
        "ed25519_private": PRIVATE,
        "ed25519_public": HOST_KEY.export_public_key().decode(),
    },
    ssh_authorized_keys=["ssh-ed25519 AAAA a"],
    package_update=True,
)


def test_a_cloud_config_is_read():
    plan = parse(HOST_KEY_CONFIG)
    assert plan.host_key == PRIVATE
    assert plan.authorized_keys == ("ssh-ed25519 AAAA a",)
    assert plan.disable_root
    assert plan.scripts == plan.warnings == ()


def test_commands_may_be_words_or_lines():
    plan = parse(config(runcmd=["echo $A", ["echo", "a b", 3]], bootcmd=[["true"]]))
    assert plan.scripts == (b"#!/bin/sh\necho $A\necho 'a b' 3\n",)
    assert plan.boot_commands == ("true",)


@pytest.mark.parametrize(
    ("entry", "content", "mode"),
    [
        ({"content": "x"}, b"x", 0o644),
        ({"content": "x", "permissions": "0600"}, b"x", 0o600),
        ({"content": "x", "permissions": 0o755}, b"x", 0o755),
        ({"content": base64.b64encode(b"\xff").decode(), "encoding": "b64"}, b"\xff", 0o644),
        ({"content": base64.b64encode(gzip.compress(b"z")).decode(), "encoding": "gz+base64"}, b"z", 0o644),
        ({}, b"", 0o644),
    ],
)
def test_files_to_write(entry, content, mode):
    (file,) = parse(config(write_files=[{"path": "/x", **entry}])).files
    assert (file.path, file.content, file.mode) == ("/x", content, mode)


def test_scripts_gzip_and_parts():
    script = b"#!/bin/bash\necho\n"
    assert parse(script).scripts == (script,)
    assert parse(gzip.compress(script)).scripts == (script,)
    mixed = multipart(
        ("x-shellscript", "#!/bin/sh\n1\n"), ("cloud-config", "disable_root: false\n"), ("x", "#!/bin/sh\n2")
    )
    plan = parse(mixed)
    assert plan.scripts == (b"#!/bin/sh\n1\n", b"#!/bin/sh\n2")
    assert not plan.disable_root


def test_nothing_asks_for_nothing():
    assert parse(b"") == parse(b"\n") == Plan()


@pytest.mark.parametrize(
    "broken",
    [
        b"hello",
        b"#cloud-config\n- a\n",
        b"#cloud-config\na: [\n",
        b"#cloud-config\nruncmd: [{a: b}, 3]\n",
        b"#cloud-config\nwrite_files: [{content: x}]\n",
        b"#cloud-config\nwrite_files: [{path: /x, content: '!', encoding: gzip}]\n",
        b"#cloud-config\nssh_keys: 3\n",
        b"\x1f\x8b broken",
        gzip.compress(b"#!" + bytes(MAX_INFLATED)),
    ],
)
def test_what_cannot_be_read_is_a_warning(broken):
    plan = parse(broken)
    assert len(plan.warnings) == 1
    assert plan == Plan(warnings=plan.warnings)


@pytest.mark.parametrize("isolation", ["namespaces"])
async def test_an_injected_host_key_is_served_from_the_first_connection_on(grounds):
    guest = await grounds.boot(HOST_KEY_CONFIG)
    async with guest.connect(known_hosts=([HOST_KEY.convert_to_public()], [], [])) as connection:
        shown = await connection.run("cat /etc/ssh/ssh_host_ed25519_key.pub", check=True)
    assert shown.stdout.split()[1] == HOST_KEY.export_public_key().decode().split()[1]
    assert shown.stdout.split()[1] in guest.park.console(guest.id)


async def test_keys_of_user_data_may_log_in(grounds):
    other = asyncssh.generate_private_key("ssh-ed25519")
    guest = await grounds.boot(config(ssh_authorized_keys=[other.export_public_key().decode()]), key_pair=None)
    async with guest.connect(client_keys=[other]) as connection:
        assert (await connection.run("echo in")).stdout == "in\n"


async def test_a_boot_in_cloud_inits_order(grounds):
    guest = await grounds.boot(
        multipart(
            (
                "cloud-config",
                yaml.safe_dump(
                    {
                        "bootcmd": ["echo boot >>~/order"],
                        "write_files": [{"path": ".config/x", "content": "written", "permissions": "0600"}],
                        "runcmd": ["cat ~/.config/x >>~/order; echo >>~/order", ["sh", "-c", "echo run >>~/order"]],
                    }
                ),
            ),
            ("x-shellscript", '#!/bin/sh\necho script >>~/order; echo "to the log"; echo "errors too" >&2; exit 3\n'),
        )
    )
    assert await guest.out("cloud-init status --wait") == "status: done"
    assert (await guest.out("cat ~/order")).split() == ["boot", "written", "run", "script"]
    assert await guest.out("stat -c %a ~/.config/x") == "600"
    console = guest.park.console(guest.id)
    assert "to the log\nerrors too\n" in console
    assert "Failed to run module scripts-user (part-002)" in console


async def test_ssh_answers_while_scripts_still_run(grounds):
    guest = await grounds.boot(b"#!/bin/sh\nuntil [ -e ~/go ]; do sleep 0.02; done\n")
    assert await guest.out("cloud-init status") == "status: running"
    assert (await guest.run("systemctl is-system-running")).stdout == "starting\n"
    await guest.out("touch ~/go; cloud-init status --wait")
    assert await guest.out("systemctl is-system-running") == "running"


async def test_a_broken_boot_still_answers(grounds):
    guest = await grounds.boot(b"#!/no/such/interpreter\n")
    await guest.out("cloud-init status --wait")
    assert "Failed to run module scripts-user" in guest.park.console(guest.id)
    warned = await grounds.boot(b"#cloud-config\na: [\n")
    assert "Failed loading yaml blob" in warned.park.console(warned.id)
    unkeyed = await grounds.boot(config(ssh_keys={"ed25519_private": "nonsense"}))
    assert "no usable host key" in unkeyed.park.console(unkeyed.id)
    assert await unkeyed.out("echo up") == "up"


@pytest.mark.parametrize("isolation", ["namespaces"])
async def test_files_that_cannot_be_written_are_said_and_the_boot_goes_on(grounds):
    guest = await grounds.boot(config(write_files=[{"path": "/etc/x", "content": "x"}], runcmd=["echo went on"]))
    await guest.out("cloud-init status --wait")
    assert "Failed to write /etc/x" in guest.park.console(guest.id)
    assert "went on" in guest.park.console(guest.id)


async def test_root_may_log_in_where_user_data_says_so(grounds):
    guest = await grounds.boot(config(disable_root=False))
    async with guest.connect(username="root") as connection:
        assert (await connection.run("echo in")).stdout == "in\n"


async def test_the_console_keeps_its_last_64_kib_whatever_lies_in_the_logs_place(grounds):
    guest = await grounds.boot(b"#!/bin/sh\nyes | head -c 200000\necho the end\n")
    await guest.out("cloud-init status --wait")
    console = guest.park.console(guest.id)
    assert len(console) == 64 << 10
    assert console.endswith("the end\n")
    await guest.out(
        "log=${ASPOT_ETC_SSH%/*}/log; [ -d $log ] || log=/var/log; cd $log; rm *.log;"
        " ln -s /etc/passwd cloud-init-output.log"
    )
    assert "nobody" not in guest.park.console(guest.id)
