"""Shows a hostile run live on its own terminal until the file named by its argument appears. Started by test_live."""

import asyncio
import importlib.util
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio

from aspot.machine import news as nw
from aspot.ui.show import viewer

spec = importlib.util.spec_from_file_location("scenes", Path(__file__).with_name("conftest.py"))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.START = datetime.now(UTC) - timedelta(seconds=60)
scenes = module.Scenes()


async def news(until):
    yield scenes.told(nw.Warned, message="warned: " + "".join(scenes.hostile))
    deadline = anyio.current_time() + 30
    while not until.exists() and anyio.current_time() < deadline:
        for raw in scenes.hostile:
            yield scenes.told(nw.LogLine, job=raw, line=f"hostile {raw}")
        yield scenes.told(nw.LogLine, line="epoch 7")
        await anyio.sleep(0.05)
    yield scenes.told(nw.FleetFinished)


def hostile_run():
    jobs, machines = [], []
    for number, raw in enumerate(scenes.hostile):
        machine = scenes.instance(number, module.Pool(raw, raw))
        machines.append(machine)
        jobs.append(scenes.job(f"{number}{raw}", scenes.attempt(raw, machine)))
    return scenes.run(jobs, machines)


async def main():
    run = hostile_run()
    await viewer(None).watch(news(Path(sys.argv[1])), lambda: run)
    print("ended")


asyncio.run(main())
