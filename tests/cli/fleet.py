"""A fleet whose machines stay for as long as a test needs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from local_world import Cloud, write
from processes import Piped


class Machines:
    """Machines of one fleet, driven by a process of its own."""

    def __init__(self, cloud: Cloud, run: Piped, name: str, count: int) -> None:
        self.cloud = cloud
        self.run = run
        self.name = name
        started = [re.compile(rf'"job_started".*"instance": "{name}_{number}"') for number in range(1, count + 1)]
        run.says_all(started)

    @property
    def ids(self) -> list[str]:
        events = [json.loads(line) for line in self.run.out.splitlines()]
        found = {event["instance"]: event["instance_id"] for event in events if event["event"] == "instance_ready"}
        return [found[name] for name in sorted(found)]

    def home(self, number: int = 1):
        """The home of a machine's user, seen from here."""
        return self.cloud.machine(self.ids[number - 1]) / "home" / "ec2-user"

    def address(self, number: int = 1) -> tuple[str, int]:
        found = next(item for item in self.cloud.instances() if item["id"] == self.ids[number - 1])
        return found["address"], found["port"]

    def end(self) -> None:
        """End its process in order; harmless to repeat."""
        self.run.interrupt()
        self.run.end()


@pytest.fixture
def fleet_of(cloud, start) -> Iterator[object]:
    """Start a fleet of so many machines, each with a job that waits: `one` and so on."""
    made: list[Machines] = []

    def call(count: int = 1, *, name: str = "box") -> Machines:
        jobs = [write(f"{word}.sh", "sleep 600\n") for word in ("one", "two", "three")[:count]]
        run = start(Piped, "run", *jobs, "-n", name, "--json")
        made.append(Machines(cloud, run, name, count))
        return made[-1]

    yield call
    for machines in made:
        machines.end()


@pytest.fixture
def machine(fleet_of) -> Machines:
    """One machine, `box`."""
    return fleet_of()
