"""The walk-through of the article "Deep learning on AWS for cheap" (spot-connect, 2020), step by step, with aspot.

    python walkthrough.py --repo https://github.com/you/training.git --bucket your-bucket --instance-profile lab

A box with a file system; a training repository cloned into it; six trainings, a machine each, that end by themselves;
their results copied to a bucket. The same on EC2 and on the local cloud (`aspot local up`).
"""

import argparse
import asyncio
import sys

from aspot import Fleet, Instance, Job

GIT = "command -v git >/dev/null || sudo dnf install -qy git"  # Amazon Linux comes without


def training_script(n_clusters):
    """Return the script of one training: it works in the file system that all machines share."""
    return f"""#!/bin/sh
set -e
cd "$HOME/efs/training"
python3 train.py --clusters {n_clusters} --pace 1.5 --results "$HOME/efs/results"
"""


def show_instances(fleet):
    """Print the fleet's machines and how they are."""
    print({name: machine.state for name, machine in fleet.instances.items()})


async def prepare(repository):
    """Make the box `monitor` with the file system `data`, the repository and a folder for results in it."""
    async with Instance("monitor", profile="t2.micro", filesystem="data") as monitor:
        await monitor.run(GIT, check=True)
        if await monitor.exists("efs/training"):
            await monitor.update_repo("efs/training")
        else:
            await monitor.clone_repo(repository, "efs/training")
        await monitor.run("mkdir -p efs/results", check=True)
        print((await monitor.run("ls efs efs/training")).stdout)


async def train(profile):
    """Run six trainings, each on a machine of its own, `DTC_1` to `DTC_6`, which ends when its training has."""
    jobs = [Job(training_script(n), name=f"clusters-{n}") for n in range(10, 70, 10)]
    async with Fleet(
        "DTC", profile=profile, filesystem="data", instances=len(jobs), idle=0, existing="replace"
    ) as fleet:
        for job in jobs:
            fleet.submit(job)
        async for result in fleet.as_completed():
            print(result.name, result.status, result.stdout.strip())
            show_instances(fleet)
    print(fleet.results.check())


async def collect(bucket, instance_profile):
    """Copy the results to a bucket: on a machine that may write there, made for that and ended after it."""
    done = await Fleet.sync(
        "efs://data/results", f"s3://{bucket}/results", instance_profile=instance_profile, profile="t2.micro"
    )
    if not done.ok:
        sys.exit(f"not copied: {done.failed}")
    print(f"{len(done.copied)} files copied to s3://{bucket}/results")


async def main():
    """Do all of it, and end the box; the file system stays, for next time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repo", required=True, help="a git repository with train.py, as in training/")
    parser.add_argument("--bucket", required=True, help="where the results go")
    parser.add_argument("--instance-profile", required=True, help="aspot roles create NAME --bucket BUCKET makes one")
    parser.add_argument("--profile", default="p2.xlarge", help="what trains (default: the article's p2.xlarge)")
    args = parser.parse_args()
    await prepare(args.repo)
    await train(args.profile)
    await collect(args.bucket, args.instance_profile)
    await Instance("monitor").terminate()


if __name__ == "__main__":
    asyncio.run(main())
