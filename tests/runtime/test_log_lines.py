"""Output in lines: whole, bounded, and only when somebody listens."""

import attrs

from aspot.runtime.log_lines import LONGEST_LINE, LineSplitter, ListeningSink


def test_lines_are_whole_whatever_the_chunks():
    splitter = LineSplitter()
    assert splitter.feed("one\ntw\u00f6".encode()[:-1]) == ["one"]
    assert splitter.feed("\u00f6".encode()[1:] + b"\r\n\nrest") == ["twö", ""]
    assert splitter.flush() == ["rest"]
    assert splitter.flush() == []


def test_undecodable_bytes_are_replaced():
    assert LineSplitter().feed(b"\xff\x00ok\n") == ["\ufffd\x00ok"]


def test_an_endless_line_is_cut_and_never_held():
    splitter = LineSplitter()
    told = [line for _ in range(10) for line in splitter.feed(b"x" * 5000)]
    assert {len(line) for line in told} == {LONGEST_LINE}
    assert len(splitter.flush()) <= 1


@attrs.define
class Kept:
    """A sink that keeps what it is given."""

    data: bytes = b""
    restarts: int = 0

    def offsets(self) -> tuple[int, int]:
        return len(self.data), 0

    def write(self, stream: str, chunk: bytes) -> None:
        self.data += chunk

    def restart(self, stream: str) -> None:
        self.restarts += 1


def test_lines_are_told_only_while_wanted_and_bytes_kept_always():
    kept, told, wanted = Kept(), [], [False]
    sink = ListeningSink(kept, lambda: wanted[0], lambda stream, line: told.append((stream, line)))
    sink.write("stdout", b"unheard\n")
    wanted[0] = True
    sink.write("stdout", b"heard\nhalf")
    sink.write("stderr", b"oh")
    assert told == [("stdout", "heard")]
    sink.restart("stdout")
    sink.flush()
    assert told == [("stdout", "heard"), ("stderr", "oh")]
    assert kept.data == b"unheard\nheard\nhalfoh"
    assert sink.offsets() == (len(kept.data), 0)
    assert kept.restarts == 1
