"""Interruptions as jobs see them: `aspot.job` told of the notice, saved in time, resumed; files evacuated."""

import json

import anyio
from local_world import write

from aspot import Fleet, Job, job

STEPS = """
import time
from aspot import job

at = job.checkpoint_dir() / "at"
first = int(at.read_text()) if at.exists() else 0
done = first


def save():
    with job.whole(at) as draft:
        draft.write_text(str(done))
    print(f"saved {done}, {job.seconds_left()} s left")


print(f"attempt {job.attempt()} from {first}")
for number in job.steps(range(first, 100), save):
    with open("ckpt/log", "a") as log:
        log.write(f"{number}\\n")
    print("step", number)
    time.sleep(0.2)
    done = number + 1
with open("ckpt/log") as log, open("out/log", "w") as out:
    out.write(log.read())
"""

WAITS = """
import sys, time
from aspot import job


def told(number, frame):
    (job.checkpoint_dir() / "told").write_text("told")
    sys.exit(job.INTERRUPTED)


if job.attempt() == 1:
    assert job.signal_on_notice(told)
    print("waiting")
    time.sleep(600)
print((job.checkpoint_dir() / "told").read_text())
"""

NUMBERS = "".join(f"{number}\n" for number in range(100))


async def run_interrupted(cloud, given, line, *, notice_s, full_until=""):
    """Run a job and interrupt its machine as soon as it has printed a line; EC2 has no room until it prints another."""
    async with Fleet("inside", show=False) as fleet:
        handle = fleet.submit(given)
        async with anyio.create_task_group() as group:
            group.start_soon(_interrupt_at, fleet, cloud, line, notice_s, full_until)
            result = await handle
            group.cancel_scope.cancel()
    return result


async def _interrupt_at(fleet, cloud, line, notice_s, full_until):
    async for news in fleet.events():
        said = getattr(news, "line", "")
        if said == line:
            if full_until:
                cloud.fault("refuse-pool", type="*", zone="*")
            cloud.interrupt(fleet.instances[news.instance].id, notice_s=notice_s)
        if full_until and said.startswith(full_until):
            cloud.clear_faults()


async def test_a_loop_is_stopped_when_the_next_machine_is_ready_and_goes_on_there(cloud):
    """The script lies in a folder, the module beside it; not one step is lost or done twice."""
    write("tools/train.py", STEPS)
    given = Job("tools/train.py", upload=[job.upload("tools/train.py")], checkpoint=["ckpt"])
    result = await run_interrupted(cloud, given, "step 5", notice_s=8)
    assert_moved(result)


async def test_a_loop_saves_at_a_short_notice_and_again_when_it_is_stopped(cloud):
    """With no room elsewhere it works on until little is left of the notice."""
    write("train.py", STEPS)
    given = Job("train.py", upload=[job.upload()], checkpoint=["ckpt"])
    result = await run_interrupted(cloud, given, "step 5", notice_s=10, full_until="saved")
    saved = assert_moved(result)
    assert len(saved) == 2, "at the notice, and when told to stop"
    assert 0 < float(saved[0].split()[2]) <= 10


def assert_moved(result):
    """Check that no step was lost or done twice; return what the first attempt said of saving."""
    assert result.status == "succeeded", (result.reason, result.stderr)
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert (result.dir / "out/log").read_text() == NUMBERS
    first = (result.dir / "attempts/a1/stdout").read_text().splitlines()
    saved = [line for line in first if line.startswith("saved")]
    assert (first[0], first[-1]) == ("attempt 1 from 0", saved[-1])
    one, two = result.attempts
    assert result.recovery_gap == one.gap > 0
    assert min(one.boot, one.useful, two.boot, two.useful) > 0
    stored = json.loads((result.dir / "result.json").read_text())
    assert (stored["recovery_gap_s"], stored["attempts"][0]["useful_s"]) == (one.gap, one.useful)
    assert result.stdout.splitlines()[0] == f"attempt 2 from {saved[-1].split()[1].rstrip(',')}"
    return saved


async def test_a_job_that_asked_is_sent_a_signal(cloud):
    """At the notice or at the stop, whichever is first: it saves, ends by itself, and was interrupted, not failed."""
    write("wait.py", WAITS)
    given = Job("wait.py", upload=[job.upload()], checkpoint=["ckpt"])
    result = await run_interrupted(cloud, given, "waiting", notice_s=20)
    assert result.status == "succeeded", (result.reason, result.stderr)
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert result.stdout == "told\n"


WRITES = """
mkdir -p logs
if [ "$ASPOT_ATTEMPT" = 1 ]; then
    echo first > model.bin; truncate -s 6G huge.bin
    echo begun > logs/run
    echo working
    sleep 600
fi
echo done
"""


async def test_named_files_are_evacuated_in_order_and_in_time(cloud):
    """What does not fit the notice is given up for what comes after it; a result says what came and what did not."""
    write("work.sh", WRITES)
    given = Job("work.sh", evacuate=["model.bin", "huge.bin", "logs/", "absent"], on_notice="echo more > logs/hook")
    result = await run_interrupted(cloud, given, "working", notice_s=15)
    assert result.status == "succeeded", (result.reason, result.stderr)
    first, second = result.attempts
    evacuated = result.dir / "attempts/a1/evacuated"
    found = {path.relative_to(evacuated).as_posix(): path.read_text() for path in evacuated.rglob("*.*")}
    found |= {f"logs/{path.name}": path.read_text() for path in (evacuated / "logs").iterdir()}
    assert found == {"model.bin": "first\n", "logs/run": "begun\n", "logs/hook": "more\n"}
    assert first.saved == "evacuated: 3 files, 17 bytes"
    assert "huge.bin (no " in first.lost
    assert "absent (not there)" in first.lost
    assert (second.saved, second.lost) == ("", "")
    assert result.files == ()
