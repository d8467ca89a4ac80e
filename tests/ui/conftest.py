"""Runs, jobs and news as the machine leaves them, built by hand: what is rendered is a pure function of them."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from aspot.jobs import Job
from aspot.machine import news as nw
from aspot.machine.model import (
    AttemptRecord,
    AttemptState,
    Checkpoint,
    EndReason,
    ExitStatus,
    InstanceRecord,
    InstanceState,
    JobRecord,
    JobSpec,
    JobStatus,
    LaunchRecord,
    LaunchSpec,
    LaunchState,
    Notice,
    Outcome,
    Run,
    RunPhase,
    RunSpec,
)
from aspot.machine.pool import Market, Pool, Refusal, RefusalKind
from aspot.results import Attempt, Kept, Result, Results

START = datetime(2026, 11, 23, 16, 7, tzinfo=UTC)
C7G = Pool("c7g.large", "us-east-1a")
C6G = Pool("c6g.large", "us-east-1b")
M7G = Pool("m7g.large", "us-east-1c")
PRICES = {C7G: 0.03, C6G: 0.028, M7G: 0.033}

HOSTILE = [
    "\x1b]52;c;cm0gLXJmIH4=\x07",
    "\x1b]0;owned\x07title",
    "\x1b]8;;http://x\x1b\\link",
    "\x1b[2J\x1b[H",
    "\x9b2J",
    "\x90q\x9c",
    "\x1bP+q\x1b\\",
    "[/x] [bold]not markup[/bold]",
    "done 100%\rsucceeded",
    "\u202egnp.exe\u2066",
    "\u200e\u200f\u061c",
    "bell\x07 del\x7f nul\x00 vt\x0b",
    "line\nbreak\u2028sep",
    "\udc80lone",
    "<script>alert(1)</script>",
]


class Scenes:
    """Builders, so that a test states only what it is about."""

    start = START
    c7g, c6g, m7g = C7G, C6G, M7G
    hostile = HOSTILE

    @staticmethod
    def at(seconds):
        return START + timedelta(seconds=seconds)

    def instance(self, number, pool=C7G, *, state=InstanceState.JOB, since=0.0, **values):
        running = None if state is InstanceState.REQUESTED else self.at(since)
        return InstanceRecord(
            **{
                "id": f"i-{number:017x}",
                "label": f"lr-study_{number}",
                "request": "r1",
                "pool": pool,
                "market": Market.SPOT,
                "state": state,
                "requested": self.at(since),
                "running": running,
                "priced_at": running,
                "price_usd_per_hour": PRICES.get(pool, 0.03),
                **values,
            }
        )

    def attempt(self, job, instance, *, number=1, started=10.0, state=AttemptState.RUNNING, **values):
        return AttemptRecord(
            **{
                "job": job,
                "number": number,
                "instance": instance.id,
                "pool": instance.pool,
                "state": state,
                "ordered": self.at(started - 1),
                "started": None if state is AttemptState.STARTING else self.at(started),
                **values,
            }
        )

    def ended(self, job, instance, outcome, *, at, code=None, cost=0.0004, **values):
        exit_status = None
        if code is not None:
            exit_status = ExitStatus(code=code, why="exit", ended=self.at(at), out=0, err=0, boot_id="b")
        return self.attempt(
            job,
            instance,
            state=AttemptState.ENDED,
            outcome=outcome,
            ended=self.at(at),
            exit=exit_status,
            cost_usd=cost,
            **values,
        )

    def checkpoint(self, job, *, at, size=4_000_000, attempt=1):
        return Checkpoint(job=job, attempt=attempt, serial=1, files=3, size=size, taken=self.at(at))

    def job(self, name, *attempts, status=JobStatus.RUNNING, checkpoint=("ckpt",), spec=None, **values):
        spec = attrs.evolve(JobSpec(name=name, script="train.py", checkpoint=checkpoint), **(spec or {}))
        return JobRecord(spec=spec, status=status, submitted=START, attempts=attempts, **values)

    def notice(self, *, at, seconds=120):
        return Notice(deadline=self.at(at + seconds), received=self.at(at), channel="runner")

    def refused(self, pool=C7G, code="InsufficientInstanceCapacity", **values):
        refusal = Refusal(kind=RefusalKind.NO_CAPACITY, code=code, pool=pool, **values)
        spec = LaunchSpec(id="r1", count=1, pools=(pool,))
        return LaunchRecord(spec=spec, state=LaunchState.ANSWERED, sent=START, refusals=(refusal,))

    def asking(self, count=1, state=LaunchState.SENT):
        return LaunchRecord(spec=LaunchSpec(id="r2", count=count, pools=(C7G,)), state=state, sent=START)

    def run(self, jobs=(), instances=(), requests=(), *, at=60.0, spec=None, **values):
        live = tuple(item.id for item in instances if item.state is not InstanceState.TERMINATED)
        return Run(
            **{
                "spec": RunSpec(**{"id": "run1", "name": "lr-study", "region": "us-east-1", **(spec or {})}),
                "phase": RunPhase.CLOSED,
                "now": self.at(at),
                "started": START,
                "jobs": {job.spec.name: job for job in jobs},
                "instances": {item.id: item for item in instances},
                "requests": {item.spec.id: item for item in requests},
                "pools": (C7G, C6G, M7G),
                "spot_usd_per_hour": PRICES,
                "on_demand_usd_per_hour": {"c7g.large": 0.0725, "c6g.large": 0.068, "m7g.large": 0.0816},
                "live": live,
                "asked": tuple(item.spec.id for item in requests if item.state is not LaunchState.ANSWERED),
                "starved": tuple(job.spec.name for job in jobs if job.waiting_since is not None),
                "unfinished": sum(not job.status.is_final for job in jobs),
                **values,
            }
        )

    def study(self):
        """API.md's first screen: eight jobs, three done, one of the others moving."""
        done, jobs, instances = (JobStatus.SUCCEEDED, Outcome.SUCCEEDED), [], []
        for number in range(1, 9):
            name = "train" if number == 1 else f"train-{number}"
            if number in (3, 4, 5):
                machine = self.instance(number, state=InstanceState.TERMINATED, ending=self.at(72), ended=self.at(90))
                machine = attrs.evolve(machine, end_reason=EndReason.OURS)
                jobs.append(
                    self.job(name, self.ended(name, machine, done[1], at=70, code=0), status=done[0], accepted=1)
                )
            elif number == 2:
                machine = self.instance(2, C6G, state=InstanceState.INTERRUPTED, notice=self.notice(at=50))
                saved = self.checkpoint(name, at=55)
                jobs.append(self.job(name, self.attempt(name, machine, started=14, saved=saved), checkpoint_serial=1))
            else:
                machine = self.instance(number)
                jobs.append(self.job(name, self.attempt(name, machine)))
            instances.append(machine)
        instances.append(self.instance(9, M7G, state=InstanceState.REQUESTED, since=51))
        return self.run(jobs, instances, at=72)

    def result(self, name, folder, *, status="succeeded", exit_code=0, stderr="", attempts=None, **values):
        home = folder / "lr-study" / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "stderr").write_bytes(stderr.encode("utf-8", "surrogatepass"))
        (home / "stdout").write_bytes(b"")
        if attempts is None:
            attempts = (self.tried(1, "succeeded" if status == "succeeded" else "failed"),)
        values = {"reason": "", "cost": 0.0014, "duration": 62.4, **values}
        return Result(
            job=Job("train.py", name=name), status=status, exit_code=exit_code, dir=home, attempts=attempts, **values
        )

    def tried(self, number, outcome):
        return Attempt(
            number=number,
            instance_id=f"i-{number:017x}",
            type="c7g.large",
            zone="us-east-1a",
            outcome=outcome,
            started=self.at(10),
            ended=self.at(70),
            cost=0.0007,
        )

    def results(self, *results, **values):
        return Results(results, **values)

    def kept(self, number=1, **values):
        return Kept(
            **{
                "name": f"lr-study_{number}",
                "instance_id": f"i-{number:017x}",
                "job": "train",
                "until": self.at(1800),
                "price_per_hour": 0.036,
                "most": 0.018,
                "address": "198.51.100.7",
                "port": 22,
                "user": "ec2-user",
                "ssh": "ssh -i key ec2-user@198.51.100.7",
                **values,
            }
        )

    def told(self, kind, *, at=1.0, job="train", instance="lr-study_1", message="", **fields):
        defaults = {
            nw.InstanceLaunched: {
                "instance_id": "i-1",
                "type": "c7g.large",
                "zone": "us-east-1a",
                "price_usd_per_hour": 0.03,
            },
            nw.InstanceReady: {"instance_id": "i-1", "boot_s": 20.0},
            nw.InstanceEnded: {"instance_id": "i-1", "reason": "ended by aspot", "cost_usd": 0.001},
            nw.InstanceKept: {
                "instance_id": "i-1",
                "until": self.at(1800),
                "price_usd_per_hour": 0.036,
                "most_usd": 0.018,
                "ssh": "ssh -i key ec2-user@198.51.100.7",
            },
            nw.LaunchRefused: {"code": "InsufficientInstanceCapacity", "pool": "c7g.large us-east-1a"},
            nw.JobStarted: {"attempt": 1, "instance_id": "i-1"},
            nw.JobEnded: {"status": "succeeded"},
            nw.NoticeReceived: {"instance_id": "i-1", "seconds": 120.0, "channel": "runner"},
            nw.CheckpointSaved: {"attempt": 1, "size": 4_000_000, "files": 3},
            nw.FilesSent: {"files": 1, "size": 10, "skipped": 0},
            nw.FilesReceived: {"files": 1, "size": 10},
            nw.LogLine: {"attempt": 1, "stream": "stdout", "line": "epoch 1"},
            nw.BudgetReached: {"cost_usd": 5.0},
            nw.FleetDetached: {"machines": 2, "until": None, "most_usd": 0.5},
            nw.FleetTakenOver: {"by": "process 1 on b", "since": START},
            nw.FleetFinished: {"cost_usd": 0.01, "left": ()},
            nw.Warned: {},
        }
        fields = {**defaults[kind], **fields}
        return kind(time=self.at(at), fleet="lr-study", job=job, instance=instance, message=message, **fields)


@pytest.fixture
def scenes():
    return Scenes()
