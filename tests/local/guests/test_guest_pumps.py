"""The ends of pipes in the event loop, where order and timing are ours to choose."""

from __future__ import annotations

import asyncio
import os

from aspot.local.guests.pumps import Drain, Feed


class Channel:
    """A channel that hands over what it held back the moment it may go on, as asyncssh's does."""

    def __init__(self, chunks):
        self.chunks, self.held = list(chunks), False

    def connect(self, fd):
        self.feed = Feed(fd, hold=self.hold, go_on=self.go_on)
        self.go_on()

    def hold(self):
        self.held = True

    def go_on(self):
        self.held = False
        while self.chunks and not self.held:
            self.feed.write(self.chunks.pop(0))
        if not self.chunks:  # the end is handed over even while data is held back
            self.feed.write_eof()


async def test_input_that_comes_while_going_on_is_not_cut_off_by_its_end():
    reader, writer = os.pipe()
    chunks = [bytes([number]) * 100_000 for number in range(8)]
    Channel(chunks).connect(writer)
    read = b"".join([chunk async for chunk in _read(reader)])
    assert read == b"".join(chunks)


async def _read(fd):
    while chunk := await asyncio.to_thread(os.read, fd, 7777):
        yield chunk
    os.close(fd)


async def test_a_reader_that_leaves_ends_the_input(until):
    reader, writer = os.pipe()
    feed = Feed(writer, hold=lambda: None, go_on=lambda: None)
    feed.write(bytes(200_000))
    os.close(reader)
    await until(lambda: feed._closed)
    feed.write(b"more")
    feed.close()


async def test_output_waits_while_it_is_paused():
    reader, writer = os.pipe()
    seen, ended = [], asyncio.Event()
    drain = Drain(reader, write=seen.append, on_end=ended.set)
    drain.pause()
    os.write(writer, b"x")
    os.close(writer)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not seen
    drain.resume()
    await ended.wait()
    assert seen == [b"x"]
    drain.pause()
    drain.resume()
    drain.close()


async def test_a_last_call_reads_what_is_there_and_no_more():
    reader, writer = os.pipe()
    os.write(writer, bytes(60_000))
    seen, ended = [], asyncio.Event()
    drain = Drain(reader, write=seen.append, on_end=ended.set)
    drain.pause()
    drain.finish()
    await asyncio.sleep(0)
    assert not seen
    drain.resume()
    await asyncio.wait_for(ended.wait(), 30)
    assert sum(map(len, seen)) == 60_000
    os.close(writer)
