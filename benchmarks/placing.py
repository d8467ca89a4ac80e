"""Ways to choose where the next machine is launched: aspot's, and what people do by hand.

All share aspot's pauses: a pool that refused is not asked again for a minute, then for twice as long each time.
"""

from __future__ import annotations

from collections.abc import Callable

from aspot.machine.model import InstanceState, Run
from aspot.machine.placement import choose as aspot_choice
from aspot.machine.pool import Market, Pool

Choice = tuple[Market, tuple[Pool, ...]]
Way = Callable[[Run], Choice]


def same_pool(run: Run) -> Choice:
    """Choose the pool that was the cheapest at first, again and again."""
    return Market.SPOT, _free(run, run.pools[:1])[:1]


def next_cheapest(run: Run) -> Choice:
    """Choose the cheapest pool; after a setback the next cheapest, and so on until one gives a machine."""
    setbacks = _setbacks_in_a_row(run)
    return Market.SPOT, _free(run, run.pools[setbacks % len(run.pools) :] + run.pools)[:1]


def round_robin(run: Run) -> Choice:
    """Choose each pool in its turn, whatever happened there and whatever it costs."""
    pools = tuple(sorted(run.pools))
    turn = len(run.requests) % len(pools)
    return Market.SPOT, _free(run, pools[turn:] + pools[:turn])[:1]


WAYS: dict[str, Way] = {
    "aspot": aspot_choice,
    "same pool": same_pool,
    "next cheapest": next_cheapest,
    "round robin": round_robin,
}


def _free(run: Run, pools: tuple[Pool, ...]) -> tuple[Pool, ...]:
    """Return the pools that did not refuse a moment ago: the others' pauses are aspot's own."""

    def is_free(pool: Pool) -> bool:
        memory = run.memory.get(pool)
        return memory is None or memory.avoid_until is None or memory.avoid_until <= run.now

    return tuple(pool for pool in pools if is_free(pool))


def _setbacks_in_a_row(run: Run) -> int:
    refused = 0
    for request in reversed(run.requests.values()):
        if request.instances:
            return refused + (run.instances[request.instances[-1]].state in _TAKEN)
        refused += 1
    return refused


_TAKEN = (InstanceState.INTERRUPTED, InstanceState.TERMINATING, InstanceState.TERMINATED)
