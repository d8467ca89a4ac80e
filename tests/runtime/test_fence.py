"""What a client that was taken over must not do, deed by deed: the port behind the fence is not even reached."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from aspot.machine.client import Client
from aspot.ports import TakenOver
from aspot.runtime.fence import FencedArchive, FencedCloud

DEEDS = {
    FencedCloud: {
        "prepare": (None,),
        "launch": (None,),
        "terminate": (["i-1"],),
        "clean_up": (),
        "furnish": ("i-1", "z"),
    },
    FencedArchive: {
        "staging": ("a", 1),
        "checkpoint_staging": ("a", 1),
        "evacuation": ("a", 1),
        "keep_checkpoint": ("a", 1),
        "accept": ("a", 1, {}),
        "finish": ({},),
    },
}
LOOKS = {
    FencedCloud: {"sightings": (), "spot_prices": (), "aclose": ()},
    FencedArchive: {"checkpoint": (None,), "published": ("a",)},
}
ASYNC = {*DEEDS[FencedCloud], *LOOKS[FencedCloud], "keep_checkpoint", "accept", "finish"}


class Port:
    """Any port, which notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str):
        def call(*_args):
            self.asked.append(name)
            return Path("there")

        async def call_soon(*_args):
            return call()

        return call_soon if name in ASYNC else call


def taken() -> None:
    raise TakenOver(Client(epoch=2, pid=1, host="b"))


def ask(port, name: str, args: tuple[object, ...]) -> None:
    async def call() -> None:
        await getattr(port, name)(*args)

    if name in ASYNC:
        anyio.run(call)
    else:
        getattr(port, name)(*args)


CASES = [(kind, name, args) for kind, deeds in DEEDS.items() for name, args in deeds.items()]


@pytest.mark.parametrize(("kind", "name", "args"), CASES)
def test_a_deed_is_done_by_who_drives_the_run_only(kind, name, args):
    inner = Port()
    ask(kind(inner, lambda: None), name, args)
    assert inner.asked == [name]
    with pytest.raises(TakenOver):
        ask(kind(inner, taken), name, args)
    assert inner.asked == [name]


@pytest.mark.parametrize(
    ("kind", "name", "args"), [(kind, name, args) for kind, looks in LOOKS.items() for name, args in looks.items()]
)
def test_whoever_was_taken_over_may_look(kind, name, args):
    inner = Port()
    ask(kind(inner, taken), name, args)
    assert inner.asked == [name]


def test_a_log_takes_nothing_from_who_was_taken_over():
    inner = Port()
    inner.sink = lambda *_args: inner
    sink = FencedArchive(inner, taken).sink("a", 1)
    sink.offsets()
    for deed in (lambda: sink.write("stdout", b"x"), lambda: sink.restart("stdout")):
        with pytest.raises(TakenOver):
            deed()
    assert inner.asked == ["offsets"]
