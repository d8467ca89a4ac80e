"""`python -m benchmarks recovery`: the gap in useful work when EC2 takes a machine, with a notice and without."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.local import Place, place, seconds_range, until, write_json

GAP_GOAL_S, DETECTION_GOAL_S = 3.0, 5.0
STEP_S = 0.2
JOB = """\
mkdir -p ckpt; n=$(cat ckpt/n 2>/dev/null || echo 0)
last=$([ "$ASPOT_ATTEMPT" = 1 ] && echo 100000 || echo $((n + 10)))
[ -e ckpt/data ] || head -c MEGABYTESM /dev/urandom >ckpt/data
while [ "$n" -lt "$last" ]; do n=$((n + 1)); echo "$n" >ckpt/new; mv ckpt/new ckpt/n; sleep STEP; done
"""


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("recovery", help=__doc__)
    parser.add_argument("--notice", type=float, default=120.0, metavar="S", help="EC2 gives 120 s")
    parser.add_argument("--boot", default="25-25", help="seconds from launch to an answering SSH port")
    parser.add_argument("--megabytes", type=int, default=1, help="size of the checkpoint")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write all measurements here too")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Interrupt a job with a notice and without one, again and again, and print a table."""
    rows: list[dict[str, Any]] = []
    with place(boot_s=seconds_range(args.boot), seed=args.seed) as where:
        script = JOB.replace("MEGABYTES", str(args.megabytes)).replace("STEP", str(STEP_S))
        (where.folder / "job.sh").write_text(script)
        for turn in range(args.repeat):
            rows += [_measured(where, f"with{turn}", args.notice), _measured(where, f"without{turn}", 0.0)]
    print(
        f"{'NOTICE s':>8} {'GAP s':>7} {'BOOT s':>7} {'GAP ÷ BOOT':>11} {'REDONE s':>9} {'NOTICED AFTER s':>16}   "
        f"goals: a gap of {GAP_GOAL_S:.0f} s and the copy; noticed after {DETECTION_GOAL_S:.0f} s"
    )
    for notice_s in sorted({row["notice_s"] for row in rows}, reverse=True):
        taken = [row for row in rows if row["notice_s"] == notice_s]
        gap, boot, redone, noticed = (
            statistics.median(row[key] for row in taken) for key in ("gap_s", "boot_s", "redone_s", "noticed_s")
        )
        print(f"{notice_s:8.0f} {gap:7.2f} {boot:7.1f} {gap / boot:11.2f} {redone:9.1f} {noticed:16.2f}")
    write_json(args.json, rows)
    return 0


def _measured(where: Place, name: str, notice_s: float) -> dict[str, Any]:
    """Run one job, have its machine taken, and read what the result says of it."""
    words = ("run", "job.sh", "-n", name, "--checkpoint", "ckpt", "--checkpoint-every", "5s", "-q")
    process = where.start(*words, stdout=subprocess.DEVNULL)
    try:
        journal = where.events(name)
        (started, *_) = until(lambda: journal.of("AttemptStarted"))
        until(lambda: journal.of("CheckpointSaved"))
        time.sleep(STEP_S)
        asked = datetime.now(UTC)  # from here on EC2 shows it
        where.control.call("POST", "interrupt", {"instance": started["instance"], "notice_s": notice_s})
        kinds = ("NoticeReceived",) if notice_s else ("InstanceEnding", "InstanceEnded")
        first = min(datetime.fromisoformat(event["at"]) for event in until(lambda: _events(journal, kinds)))
        if process.wait(600):
            raise RuntimeError(f"{name} ended with {process.returncode}")
    finally:
        process.kill()
    result = json.loads((where.folder / "aspot-results" / name / "job" / "result.json").read_text())
    ready = {event["instance"]: event["at"] for event in journal.of("InstanceReady")}
    return {
        "notice_s": notice_s,
        "gap_s": result["recovery_gap_s"],
        "redone_s": result["redone_s"],
        "noticed_s": (first - asked).total_seconds(),
        "boot_s": result["attempts"][-1]["boot_s"],
        "machines": len(ready),
    }


def _events(journal: Any, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    return [event for kind in kinds for event in journal.of(kind)]
