"""What becomes of jobs: every way to end, files up and down, interruptions, as API.md says."""

import hashlib
import json
from pathlib import Path

import anyio
from local_world import write

from aspot import Fleet, Job

MIB = 1024 * 1024

STEPS = """#!/bin/sh
# counts to 40 in steps of 0.1 s, keeping where it is in ckpt/at, and writes every number once to ckpt/log
set -e
mkdir -p ckpt
at=$(cat ckpt/at 2>/dev/null || echo 0)
while [ "$at" -lt 40 ]; do
    at=$((at + 1))
    echo "$at" >> ckpt/log
    echo "$at" > ckpt/at.new && mv ckpt/at.new ckpt/at
    echo "step $at"
    sleep 0.1
done
cp ckpt/log out/log
"""
WHOLE = "".join(f"{number}\n" for number in range(1, 41))


async def interrupt_at(fleet, cloud, line, *, notice_s, job=None):
    """Interrupt the machine of a job as soon as it has printed a line."""
    async for news in fleet.events():
        if getattr(news, "line", None) == line and job in (None, news.job):
            machine = next(item.id for item in fleet.instances.values() if item.job == news.job)
            cloud.interrupt(machine, notice_s=notice_s)
            return


async def advise_at(fleet, cloud, line):
    """Recommend to leave the machine of the job that has just printed a line."""
    async for news in fleet.events():
        if getattr(news, "line", None) == line:
            cloud.rebalance(next(item.id for item in fleet.instances.values() if item.job == news.job))
            return


async def test_each_way_to_end(cloud):
    """One that succeeds, one that fails, one that takes too long, one whose path has spaces and an umlaut."""
    write("good.sh", 'echo fine; echo "to stderr" >&2; echo result > out/r.txt\n')
    write("bad.sh", "echo before; echo oh no >&2; echo part > out/part.txt; exit 7\n")
    write("slow.sh", "trap 'echo got TERM; exit 0' TERM; echo begun; while :; do sleep 0.1; done\n")
    odd = write("my müll/größer als 1.sh", 'echo "$0"; pwd; ls\n')
    jobs = [Path("good.sh"), "bad.sh", Job("slow.sh", timeout=1), odd]
    results = await Fleet.run_many(jobs, "ends", show=False)

    good, bad, slow, named = results
    assert [item.status for item in results] == ["succeeded", "failed", "timed_out", "succeeded"]
    assert [item.exit_code for item in results] == [0, 7, None, 0]
    assert [item.name for item in results] == ["good", "bad", "slow", "gr-er-als-1"]
    assert [len(item.attempts) for item in results] == [1, 1, 1, 1]
    assert [item.attempts[0].outcome for item in results] == ["succeeded", "failed", "timed_out", "succeeded"]
    assert (good.stdout, good.stderr, good.reason) == ("fine\n", "to stderr\n", "")
    assert (bad.stdout, bad.stderr) == ("before\n", "oh no\n")
    assert "7" in bad.reason
    assert slow.stdout.startswith("begun\n")
    assert named.stdout.splitlines()[0].endswith("my müll/größer als 1.sh")
    assert "my müll" in named.stdout
    assert good.files == ("out/r.txt",)
    assert (bad.dir / "out/part.txt").read_text() == "part\n"
    assert all(item.missing == () for item in results)
    assert not results.ok
    assert [item.name for item in results.failed] == ["bad", "slow"]
    assert results.left == ()
    assert results.cost > 0
    assert {item.dir.parent for item in results} == {Path("aspot-results/ends").absolute()}
    assert {item.name for item in Path("aspot-results/ends").iterdir()} == {
        *(item.name for item in results),
        "results.json",
    }
    stored = json.loads((bad.dir / "result.json").read_text())
    assert (stored["status"], stored["exit_code"], stored["script"]) == ("failed", 7, "bad.sh")
    assert "Nothing left (checked)." in str(results)


async def test_interrupted_with_notice_goes_on_from_its_checkpoint(cloud):
    write("steps.sh", STEPS.replace("sleep 0.1", "sleep 0.3"))  # longer than a notice takes to be seen: 5 s
    async with Fleet("moved", show=False) as fleet:
        handle = fleet.submit(Job("steps.sh", checkpoint=["ckpt"], on_notice="echo saved > ckpt/hook"))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: interrupt_at(fleet, cloud, "step 5", notice_s=8))
            result = await handle
            group.cancel_scope.cancel()
    assert result.status == "succeeded"
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert (result.dir / "out/log").read_text() == WHOLE
    first, second = result.attempts
    assert first.instance_id != second.instance_id
    assert (first.type, first.zone) != (second.type, second.zone), "it went back to the pool that interrupted it"
    assert first.saved
    lines = result.stdout.splitlines()
    assert lines[-1] == "step 40"
    assert "step 1" not in lines, "the second attempt started over"
    assert (result.dir / "attempts/a1/stdout").read_text().startswith("step 1\n")


async def test_advised_to_leave_a_job_moves_by_policy(cloud):
    write("steps.sh", STEPS.replace("sleep 0.1", "sleep 0.3"))
    async with Fleet("advised", instances=1, rebalance="move", show=False) as fleet:
        handle = fleet.submit(Job("steps.sh", checkpoint=["ckpt"]))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: advise_at(fleet, cloud, "step 5"))
            result = await handle
            group.cancel_scope.cancel()
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert (result.dir / "out/log").read_text() == WHOLE
    first, second = result.attempts
    assert (first.type, first.zone) != (second.type, second.zone)
    assert "step 1" not in result.stdout.splitlines(), "the second attempt started over"


async def test_interrupted_without_notice_starts_over(cloud):
    write("steps.sh", STEPS)
    async with Fleet("lost", show=False) as fleet:
        handle = fleet.submit(Job("steps.sh"))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: interrupt_at(fleet, cloud, "step 5", notice_s=0))
            result = await handle
            group.cancel_scope.cancel()
    assert result.status == "succeeded"
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert (result.dir / "out/log").read_text() == WHOLE
    assert result.redone > 0
    assert result.stdout == "".join(f"step {number}\n" for number in range(1, 41))


async def test_a_checkpoint_saved_now_and_then_outlives_an_interruption_without_notice(cloud):
    write("steps.sh", STEPS.replace("sleep 0.1", "sleep 0.15"))
    saved = anyio.Event()

    def on_event(news):
        if news.name == "checkpoint_saved":
            saved.set()

    async with Fleet("every", show=False, on_event=on_event) as fleet:
        handle = fleet.submit(Job("steps.sh", checkpoint=["ckpt"], checkpoint_every=0.5))
        with anyio.fail_after(30):
            await saved.wait()
        (machine,) = fleet.instances.values()
        cloud.interrupt(machine.id, notice_s=0)
        result = await handle
    assert result.status == "succeeded"
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert (result.dir / "out/log").read_text() == WHOLE
    assert "step 1" not in result.stdout.splitlines()


async def test_ten_thousand_small_files_there_and_back(cloud):
    for number in range(10_000):
        folder = Path("data") / f"{number % 100:02}"
        if number < 100:
            folder.mkdir(parents=True)
        (folder / f"{number}.txt").write_text(f"{number}\n")
    write("copy.sh", "cp -a data/. out/; find out -type f | wc -l\n")
    (result,) = await Fleet.run_many(Job("copy.sh", upload=["data/"]), "many", show=False)
    assert result.status == "succeeded", result.reason
    assert result.stdout.strip() == "10000"
    assert len(result.files) == 10_000
    assert _digest(result.dir / "out") == _digest(Path("data"))
    assert result.missing == ()


def _digest(folder):
    seen = hashlib.sha256()
    for path in sorted(folder.rglob("*.txt")):
        seen.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return seen.hexdigest()


LOUD = """import sys
for n in range({lines}):
    print("o", n, "x" * 50)
    print("e", n, file=sys.stderr)
sys.stdout.flush()
sys.stdout.buffer.write(bytes([255, 254]) + b" no end")
"""


async def test_output_is_whole(cloud):
    """Several megabytes on both streams, raw bytes and a line without an end."""
    lines = 40_000
    write("loud.py", LOUD.format(lines=lines))
    (result,) = await Fleet.run_many("loud.py", "loud", show=False)
    whole = b"".join(b"o %d %s\n" % (n, b"x" * 50) for n in range(lines)) + b"\xff\xfe no end"
    assert result.stdout_path.read_bytes() == whole
    assert result.stderr_path.read_text() == "".join(f"e {n}\n" for n in range(lines))
    assert len(result.stdout.encode()) <= MIB + 10
    assert result.stdout.endswith("\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} no end")


async def test_no_capacity_in_one_pool(cloud):
    write("ok.sh", "echo ok\n")
    cloud.fault("refuse-pool", type="c7i.large", zone="us-east-1a")
    results = await Fleet.run_many("ok.sh", "elsewhere", profile="c7i.large", show=False)
    assert results.ok
    assert results[0].attempts[0].zone != "us-east-1a"


async def test_no_capacity_anywhere(cloud):
    write("ok.sh", "echo ok\n")
    cloud.fault("refuse-pool", type="*", zone="*")
    news = []
    results = await Fleet.run_many("ok.sh", "nowhere", capacity_timeout=2, show=False, on_event=news.append)
    (result,) = results
    assert result.status == "lost"
    assert "us-east-1" in result.reason
    assert result.attempts == ()
    assert any(item.name == "launch_refused" for item in news)
    assert result.stdout == ""


async def test_throttled(cloud):
    write("ok.sh", "echo ok\n")
    cloud.fault("throttle", action="CreateFleet", count=2)
    cloud.fault("throttle", action="DescribeInstances", count=3)
    results = await Fleet.run_many(["ok.sh", "ok.sh"], "slowly", show=False)
    assert results.ok
    assert [item.name for item in results] == ["ok", "ok-2"]


async def test_late_sshd(cloud):
    write("ok.sh", "echo ok\n")
    cloud.fault("late-sshd", delay_s=2)
    results = await Fleet.run_many("ok.sh", "late", show=False)
    assert results.ok
    assert len(cloud.alive()) <= 1  # the late one was waited for, not replaced


async def test_expired_credentials_while_jobs_run(cloud):
    """The job runs on, and its result comes home, though EC2 cannot be asked for a while."""
    write("slow.sh", "echo begun; sleep 2; echo done\n")
    news = []
    async with Fleet("expired", show=False, on_event=news.append) as fleet:
        handle = fleet.submit("slow.sh")
        async for line in handle.logs():
            if line == "begun":
                cloud.fault("expire-credentials", seconds=4)
                break
        result = await handle
    assert result.ok
    assert result.stdout == "begun\ndone\n"
    assert len(result.attempts) == 1


async def test_a_lost_answer_brings_no_second_machine(cloud):
    write("ok.sh", "echo ok\n")
    before = len(cloud.instances())
    cloud.fault("lose-answer", action="CreateFleet")
    results = await Fleet.run_many("ok.sh", "answer", show=False)
    assert results.ok
    assert len(cloud.instances()) - before == 1


async def test_someone_else_terminates_the_machine(cloud):
    write("steps.sh", STEPS)
    async with Fleet("someone", show=False) as fleet:
        handle = fleet.submit("steps.sh")
        async for line in handle.logs():
            if line == "step 3":
                break
        (machine,) = fleet.instances.values()
        await anyio.to_thread.run_sync(lambda: cloud.client("ec2").terminate_instances(InstanceIds=[machine.id]))
        result = await handle
    assert result.ok
    assert [item.outcome for item in result.attempts] == ["lost", "succeeded"]
    assert (result.dir / "out/log").read_text() == WHOLE
