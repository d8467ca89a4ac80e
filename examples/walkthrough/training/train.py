"""Find kinds of trading days: k-means over `days.csv`. Standard library only; the same options give the same bytes."""

import argparse
import json
import random
import time
from pathlib import Path

DAYS = Path(__file__).parent / "days.csv"


def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other))


def nearest(point, centers):
    """Return the number of the nearest center, and the squared distance to it."""
    far = [distance(point, center) for center in centers]
    found = min(range(len(centers)), key=far.__getitem__)
    return found, far[found]


def spread(points, count, generator):
    """Return first centers, far from each other (k-means++)."""
    centers = [generator.choice(points)]
    far = [distance(point, centers[0]) for point in points]
    while len(centers) < count:
        centers.append(generator.choices(points, weights=far)[0])
        far = [min(old, distance(point, centers[-1])) for old, point in zip(far, points)]
    return centers


def cluster(points, count, seed, most, pace):
    """Return the clusters' sizes, their inertia, and after how many rounds nothing changed any more."""
    centers, before, rounds = spread(points, count, random.Random(seed)), None, 0
    while rounds < most:
        rounds += 1
        time.sleep(pace)
        found = [nearest(point, centers) for point in points]
        members = [[] for _ in centers]
        for point, (number, _) in zip(points, found):
            members[number].append(point)
        if before == (before := [number for number, _ in found]):
            break
        centers = [
            [sum(values) / len(group) for values in zip(*group)] if group else center
            for group, center in zip(members, centers)
        ]
    return sorted(map(len, members), reverse=True), sum(far for _, far in found), rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=20, help="at most")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds that a round takes more, as on bigger data")
    args = parser.parse_args()
    points = [[float(value) for value in line.split(",")] for line in DAYS.read_text().split()]
    if not 1 <= args.clusters <= len(points) or args.rounds < 1:
        parser.error(f"--clusters must be 1 to {len(points)}, --rounds 1 or more")
    sizes, inertia, rounds = cluster(points, args.clusters, args.seed, args.rounds, args.pace)
    args.results.mkdir(parents=True, exist_ok=True)
    told = {"clusters": args.clusters, "inertia": round(inertia, 6), "rounds": rounds, "sizes": sizes}
    (args.results / f"clusters-{args.clusters}.json").write_text(json.dumps(told) + "\n")
    print(f"{args.clusters} clusters: inertia {inertia:.1f} after {rounds} rounds")


if __name__ == "__main__":
    main()
