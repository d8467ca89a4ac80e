"""Some hundred random worlds: fleets, faults, users, crashes and interleavings from a seed; the oracle judges each.

`python -m tests.simulate` plays thousands; a failure prints its seed and how to play it again.
"""

import pytest
from simulated.stories import play

CHUNK = 20
CHUNKS = [range(start, start + CHUNK) for start in range(0, 240, CHUNK)]


def named(seeds: range) -> str:
    return f"{seeds.start}-{seeds.stop}"


@pytest.mark.parametrize("seeds", CHUNKS, ids=named)
def test_random_worlds(seeds: range):
    for seed in seeds:
        play(seed)


@pytest.mark.parametrize("seeds", CHUNKS[:6], ids=named)
def test_random_worlds_whose_client_crashes_again_and_again(seeds: range):
    assert sum(play(seed, crashes=True).came_back for seed in seeds) > CHUNK


@pytest.mark.parametrize("seed", [7, 19, 52, 78])
@pytest.mark.parametrize("crashes", [False, True])
def test_the_same_seed_gives_the_same_run(seed: int, crashes: bool):
    first, second = play(seed, crashes=crashes), play(seed, crashes=crashes)
    assert first.journal.events == second.journal.events
    assert first.loop.time() == second.loop.time()
