"""Boxes in Python, on the local cloud: made, reconnected to, used, ended; over several cells; deaths and kills."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import anyio
import pytest
from local_world import until, write

from aspot import AspotError, CapacityError, CommandFailed, ConfigError, Fleet, Instance, Job, LinkError, Profile
from aspot.aws.account import Account
from aspot.journal import runs as journals
from aspot.machine.model import EndReason


def in_a_task(work):
    """Run a coroutine in a task of its own, as each notebook cell is."""
    return asyncio.get_running_loop().create_task(work)


def alive(cloud, name="dev"):
    return [item for item in cloud.alive() if item["tags"].get("aspot:name") == name]


@pytest.fixture
async def box(cloud):
    """A box, ended after the test."""
    made = Instance("dev", profile="t2.micro", show=False)
    await made.start()
    yield made
    if made.state != "terminated":
        await made.terminate()


async def test_a_named_one_stays_and_is_reconnected_to(cloud):
    async with Instance("dev", profile="t2.micro", show=False) as box:
        assert (box.name, box.type, box.state) == ("dev", "t2.micro", "ssh-ready")
        assert box.address.startswith("127.")
        assert box.zone.startswith("us-east-1")
        assert box.home == "/home/ec2-user"
        assert box.cores >= 1
        assert box.gpus == 0
        assert box.cost > 0
        first = box.id
        await box.run("echo kept >note", check=True)
    assert [item["id"] for item in alive(cloud)] == [first]
    assert not journals.newest("dev").is_live  # nobody holds it: any number of clients may come

    cloud.forget_calls()
    async with Instance("dev", profile="c7i.large", show=False) as again:  # the profile is for new ones
        assert again.id == first
        assert (await again.run("cat note")).stdout == "kept\n"
        async with Instance("dev", show=False) as beside:
            assert (await beside.run("cat note")).stdout == "kept\n"
        calls = cloud.calls()
        await again.terminate()
        assert again.state == "terminated"
        with pytest.raises(ConfigError, match="is not open"):
            await again.run("true")  # and makes no new one
    assert calls == {"DescribeInstances": 2}  # one each
    assert not alive(cloud)


async def test_an_unnamed_one_ends_with_its_block(cloud):
    async with Instance(profile="t2.micro", show=False) as box:
        assert box.name.startswith("box-")
        assert len(alive(cloud, box.name)) == 1
    assert box.state == "terminated"
    assert not cloud.alive()


async def test_an_unnamed_one_ends_with_a_block_that_is_given_up(cloud):
    with anyio.CancelScope() as scope:
        async with Instance(profile="t2.micro", show=False) as box:
            scope.cancel()
            await anyio.sleep(1)
    assert box.state == "terminated"
    assert not cloud.alive()


async def test_starting_twice_at_once_opens_it_once(cloud):
    box = Instance("dev", profile="t2.micro", show=False)
    first, second = in_a_task(box.start()), in_a_task(box.start())
    await first
    await second
    assert len(alive(cloud)) == 1
    await box.terminate()


async def test_one_that_is_kept_without_a_name_stays(cloud):
    async with Instance(profile="t2.micro", keep=True, show=False) as box:
        pass
    assert len(alive(cloud, box.name)) == 1
    await Instance(box.name, show=False).terminate()


async def test_commands_have_output_code_folder_environment_and_time(box):
    result = await box.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code, result.ok) == ("out\n", "err\n", 3, False)
    with pytest.raises(CommandFailed, match="dev: false: exit code 1") as caught:
        await box.run("false", check=True)
    assert caught.value.result.exit_code == 1
    await box.run("mkdir -p 'a b'", check=True)
    result = await box.run('pwd; echo "$X"', cwd="a b", env={"X": "it's $HOME"})
    assert result.stdout == "/home/ec2-user/a b\nit's $HOME\n"
    assert (await box.run(["printf", "%s|", "a b", "$HOME"])).stdout == "a b|$HOME|"
    assert (await box.run("kill -9 $$")).exit_code == 137
    heard = []
    result = await box.run("echo one; echo two >&2", stream=lambda name, text: heard.append((name, text)))
    assert sorted(heard) == [("stderr", "two\n"), ("stdout", "one\n")]
    began = time.monotonic()
    late = await box.run("echo begun; setsid sleep 6789 & sleep 6789", timeout=1)
    assert (late.exit_code, late.timed_out, late.stdout) == (124, True, "begun\n")
    assert time.monotonic() - began < 15
    assert (await box.run("pgrep -f 'sleep 678[9]'")).stdout == ""


IMPOSSIBLE = [
    (lambda box: box.run(""), "empty"),
    (lambda box: box.run("true", env={"A B": "x"}), "not a name"),
    (lambda box: box.run("a\0b"), "NUL"),
    (lambda box: box.run_script("nope.sh"), "no such file"),
    (lambda box: box.upload("nope"), "not there"),
    (lambda box: box.upload(), "no file was named"),
    (lambda box: box.download(), "no file was named"),
    (lambda box: box.download("/"), "as a whole"),
    (lambda box: box.exists(""), "empty"),
    (lambda box: box.upload("here.txt", to="a\nb"), "not a folder"),
    (lambda box: box.clone_repo("https://me:secret@host/x.git"), "holds a password"),
    (lambda box: box.clone_repo("--upload-pack=x"), "no repository"),
    (lambda box: box.clone_repo("https://host/x.git", token="a\nb"), "more than one line"),
    (lambda box: box.clone_repo("http://example.com/x.git", token="a"), "in the clear"),
    (lambda box: box.clone_repo("git@host:x.git", key="nope"), "cannot be read"),
    (lambda box: box.clone_repo("https://host/x.git", key="nope"), "for addresses of SSH"),
    (lambda box: box.clone_repo("https://host/x.git", key="nope", token="a"), "which"),
    (lambda box: box.update_repo(".", "-x"), "not a branch"),
]


async def test_what_cannot_be_is_said_before_anything_is_done(box):
    write("here.txt", "x")
    for call, message in IMPOSSIBLE:
        with pytest.raises(ConfigError, match=message):
            await call(box)


async def test_a_cancelled_command_ends_there_too(box):
    with anyio.move_on_after(1):
        await box.run("sleep 4567")
    assert (await box.run("pgrep -f 'sleep 456[7]'")).stdout == ""


async def test_scripts_of_every_kind(box):
    write("hello.py", "import sys\nprint('python', *sys.argv[1:])\nsys.exit(4)\n")
    result = await box.run_script("hello.py", 1, "two words")
    assert (result.stdout, result.exit_code) == ("python 1 two words\n", 4)
    result = await box.run_script("for i in 1 2; do\n  echo $i $1\ndone\n", "x")
    assert result.stdout == "1 x\n2 x\n"
    result = await box.run_script("#!/usr/bin/env python3\nprint('text', end='')\n")
    assert result.stdout == "text"
    assert (await box.run("ls -A .aspot/.machine/sessions | grep '[.]d$'")).stdout == ""


async def test_files_there_and_back(cloud, box):
    write("src/a.txt", "one")
    write("src/deep/b.bin", "two" * 100_000)
    write("run.sh", "#!/bin/sh\necho ran\n")
    os.chmod("run.sh", 0o755)
    write("src/.git/config", "never")
    await box.upload("src", "run.sh", to="~/data")
    assert (await box.run("./data/run.sh")).stdout == "ran\n"
    assert await box.exists("data/src/deep/b.bin")
    assert not await box.exists("data/src/.git")
    assert await box.exists("~/data")
    assert not await box.exists("/nowhere")
    before = (await box.run("stat -c %i data/src/*.txt data/src/deep/*")).stdout
    write("src/c.txt", "three")
    await box.upload("src", to="data")
    assert (await box.run("stat -c %i data/src/a.txt data/src/deep/b.bin")).stdout == before  # they did not travel
    assert (await box.run("cat data/src/c.txt")).stdout == "three"
    await box.upload({"run.sh": "tools/start"})
    assert await box.exists("tools/start")

    files = await box.download("data/src", "data/*.sh", to="back")
    assert sorted(str(path) for path in files) == [
        "back/data/run.sh", "back/data/src/a.txt", "back/data/src/c.txt", "back/data/src/deep/b.bin",
    ]  # fmt: skip
    assert Path("back/data/src/deep/b.bin").read_text() == "two" * 100_000
    assert os.access("back/data/run.sh", os.X_OK)
    await box.run("mkdir -p /tmp/x && echo far >/tmp/x/far.txt", check=True)
    assert await box.download("/tmp/x/far.txt", to="back") == [Path("back/far.txt")]
    with pytest.raises(LinkError, match=r"nope\.txt"):
        await box.download("nope.txt", "data/run.sh", to="other")
    assert Path("other/data/run.sh").exists()
    assert [item.name for item in Path("back").iterdir() if item.name.startswith(".")] == []


async def test_over_several_cells(cloud):
    """As in a notebook: every step in a task of its own, one of them cancelled."""
    box = Instance("cells", profile="t2.micro", show=False)
    await in_a_task(box.start())
    assert (await in_a_task(box.run("echo one"))).stdout == "one\n"
    stuck = in_a_task(box.run("sleep 100"))
    await anyio.sleep(0.5)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert (await in_a_task(box.run("echo two"))).stdout == "two\n"
    await in_a_task(box.aclose())
    with pytest.raises(ConfigError, match="is not open"):
        await in_a_task(box.run("true"))
    await in_a_task(box.start())
    assert (await in_a_task(box.run("echo three"))).stdout == "three\n"
    await in_a_task(box.terminate())


async def test_by_its_id_and_a_fleets_machine_by_its_own(box):
    async with Instance(id=box.id, show=False) as same:
        assert same.name == "dev"
        assert (await same.run("echo x")).stdout == "x\n"
    assert box.state == "ssh-ready"
    with pytest.raises(ConfigError, match="which"):
        Instance("dev", id=box.id)


async def test_a_fleets_machine_can_be_looked_into(cloud):
    async with Fleet("study", show=False) as fleet:
        handle = fleet.submit(Job(command="echo hi >left; until [ -e ../../../../go ]; do sleep 0.2; done"))
        with anyio.fail_after(30):
            while handle.status != "running" or not fleet.instances:
                await anyio.sleep(0.05)
        machine = fleet.instances["study_1"]
        assert machine.job == handle.name
        assert (await machine.run("echo in")).stdout == "in\n"
        assert not await machine.exists(".aspot/.machine/box")
        assert machine._box is None  # opened for as long as it was used
        with pytest.raises(ConfigError, match="fleet study"):
            await machine.terminate()
        found = await machine.run("ls -d .aspot/*/*/a1/work")
        await machine.run(f"touch {found.stdout.split('/')[0]}/go; touch .aspot/go", check=True)
        await machine.aclose()
        assert (await handle).ok


async def test_somebody_elses_is_refused_with_what_it_would_take(cloud):
    ec2 = cloud.client("ec2", tries=5)
    images = ec2.describe_images(Owners=["amazon"])["Images"]
    made = ec2.run_instances(ImageId=images[0]["ImageId"], InstanceType="t3.micro", MinCount=1, MaxCount=1)
    (foreign,) = [item["InstanceId"] for item in made["Instances"]]
    with pytest.raises(ConfigError, match="private key and its host key") as caught:
        await Instance(id=foreign, show=False).start()
    assert "ssh -i" in caught.value.fix
    with pytest.raises(ConfigError, match="there is no instance"):
        await Instance(id="i-0123456789abcdef0", show=False).start()
    ec2.terminate_instances(InstanceIds=[foreign])


async def test_one_namespace_with_fleets(box):
    with pytest.raises(ConfigError, match="box dev was left") as caught:
        await Fleet("dev", show=False).run(Job(command="true"))
    assert "aspot connect -n dev" in caught.value.fix
    with pytest.raises(ConfigError, match="dev is a box"):
        await Fleet.attach("dev")


async def test_a_fleets_name_is_no_box(cloud):
    async with Fleet("study", show=False):
        with pytest.raises(ConfigError, match="study is a fleet"):
            await Instance("study", show=False).start()


async def test_one_that_was_interrupted_while_nobody_was_there_is_said_once(cloud):
    async with Instance("dev", profile="t2.micro", show=False) as box:
        first = box.id
    cloud.interrupt(first, notice_s=0)
    until(lambda: not alive(cloud))
    with pytest.raises(AspotError, match="EC2 took its machine back") as caught:
        await Instance("dev", show=False).start()
    assert "-p t2.micro makes a new one" in caught.value.fix
    run = journals.replay(journals.newest("dev").folder)
    assert run.instances[first].end_reason is EndReason.INTERRUPTED
    assert not cloud.leftovers()
    async with Instance("dev", show=False, profile="t2.micro") as box:  # it was said: now it is a wish for a new one
        assert box.id != first
        await box.terminate()


async def test_who_asks_for_a_kind_of_machine_gets_a_new_one_at_once(cloud, capsys):
    async with Instance("dev", profile="t2.micro", show=False) as box:
        first = box.id
        await box.run("(sleep 0.3; sudo shutdown -h now) >/dev/null 2>&1 &")
    until(lambda: not alive(cloud))
    async with Instance("dev", profile="t2.micro", show=True) as box:
        assert box.id != first
        await box.terminate()
    assert "its machine shut itself down" in capsys.readouterr().err


async def test_one_that_dies_in_use_says_so(cloud, box):
    work = in_a_task(box.run("sleep 100"))
    await anyio.sleep(0.5)
    cloud.interrupt(box.id, notice_s=0)
    with pytest.raises(AspotError, match="EC2 took its machine back"):
        await work
    with pytest.raises(AspotError, match="EC2 took its machine back"):
        await box.run("true")
    await box.refresh()
    assert box.state == "terminated"


async def test_a_connection_that_broke_is_made_again(cloud, box):
    box._box._link._connection.abort()
    assert (await box.run("echo there")).stdout == "there\n"


KILLED = """
    import asyncio, os, signal
    from aspot import Instance
    def on_event(news):
        if news.name == {when!r}:
            os.kill(os.getpid(), signal.SIGKILL)
    asyncio.run(Instance("dev", profile="t2.micro", on_event=on_event, show=False).start())
"""


@pytest.mark.parametrize("when", ["instance_launched", "instance_ready"])
async def test_a_client_that_was_killed_while_it_made_one_is_taken_over_from(cloud, when):
    code = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED.format(when=when))], check=False).returncode
    assert code == -9
    async with Instance("dev", profile="t2.micro", show=False) as box:
        assert (await box.run("echo mine")).stdout == "mine\n"
        assert len(cloud.instances()) == len({item["id"] for item in cloud.instances()})
        assert len(alive(cloud)) == 1
        await box.terminate()


async def test_two_who_want_the_same_at_once_get_the_same(cloud):
    async def wish():
        async with Instance("dev", profile="t2.micro", show=False) as box:
            return box.id

    code = "import asyncio, sys; from aspot import Instance; asyncio.run(Instance('dev', profile='t2.micro').start())"
    other = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: any(item.name == "dev" for item in journals.runs()))
    first = await wish()
    assert other.wait(60) == 0
    assert [item["id"] for item in alive(cloud)] == [first]
    await Instance("dev", show=False).terminate()


async def test_no_room_is_said_and_leaves_nothing(cloud):
    cloud.fault("refuse-pool", type="t2.micro", zone="*")
    box = Instance("dev", profile=Profile("t2.micro", max_price=0.0011), show=False)
    with anyio.move_on_after(3) as scope:
        await box.start()
    assert scope.cancelled_caught  # it waits for capacity; a wait that is given up ends what was begun
    assert journals.newest("dev").ended is not None
    assert not cloud.leftovers()


async def test_it_waits_for_capacity_for_as_long_as_it_is_told_to(cloud):
    cloud.fault("refuse-pool", type="t2.micro", zone="*")
    box = Instance("dev", profile=Profile("t2.micro", max_price=0.0011), capacity_timeout=2, show=False)
    with anyio.fail_after(30), pytest.raises(CapacityError, match=r"box dev could not be made: no capacity for 2 s"):
        await box.start()
    assert not cloud.leftovers()


async def test_its_cost_counts_to_its_end(cloud, box):
    await box.terminate()
    run = journals.replay(journals.newest("dev").folder)
    assert run.instances[box.id].ended is not None
    assert run.instances[box.id].end_reason is EndReason.OURS
    account = await Account.open(None)
    assert await account.leftovers_of(run.spec.id) == []
    await account.aclose()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a b"}, "cannot be used"),
        ({"name": 3}, "must be text"),
        ({"idle": "soon"}, "not a duration"),
        ({"idle": 0}, "above 0"),
        ({"profile": "huge"}, "no profile"),
        ({"profile": 7}, "a name or a Profile"),
        ({"price": 1, "max_price": 1}, "both were given"),
        ({"price": -1}, "above 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Instance(**options)


async def test_nothing_is_made_by_a_look(cloud):
    box = Instance("nobody", show=False)
    assert repr(box) == "<Instance nobody: not opened, requested>"
    with pytest.raises(ConfigError, match="no box nobody"):
        await box.refresh()
    with pytest.raises(ConfigError, match="is not open"):
        _ = box.home
    await box.aclose()
    assert cloud.launches() == 0
