"""Names from instances: each part is safe to create in a folder, or the name is not used."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.files.names import HostileName, components, printable, shown

HOSTILE = [
    b"",
    b".",
    b"./",
    b"./.",
    b"..",
    b"./..",
    b"../x",
    b"../../../../etc/passwd",
    b"out/../../x",
    b"out/..",
    b"out/./x",
    b"././x",
    b"/",
    b"//",
    b"/etc/passwd",
    b".//etc/passwd",
    b"out//x",
    b"out/",
    b"..\\..\\x",
    b"out\\x",
    b"C:\\x",
    b"\\\\host\\share",
    b"out/\0",
    b"out/x\0.txt",
    b"out/a\nb",
    b"out/a\rb",
    b"out/\t",
    b"\x1b]52;c;aGk=\x07",
    b"out/\x1b[2J",
    b"out/\x7f",
    b"out/\xc2\x9b31m",
    b"out/\xff",
    b"out/caf\xe9",
    b"out/\xc0\xaf",
    b"out/\xc0\xae\xc0\xae/x",
    b"out/\xed\xa0\x80",
    b"out/\xf5\x80\x80\x80",
    b"out/" + b"x" * 256,
    b"out/" + "ü".encode() * 128,
    b"x/" * 64 + b"x",
    b"/".join([b"x" * 200] * 25),
]


@pytest.mark.parametrize("raw", HOSTILE)
def test_hostile_names_are_not_used(raw):
    with pytest.raises(HostileName):
        components(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"out/x",
        b"./out/x",
        b"out/...",
        b"out/..x",
        b"out/x..",
        b"out/.hidden",
        b"-rf",
        b"~",
        b"~root/x",
        b"$HOME",
        b"`id`",
        b"a b",
        b" ",
        b"out/NUL",
        b"out/con.txt",
        b"out/a:b",
        b"*",
        "ümlaut/日本/😀".encode(),
        "a\u200cb".encode(),
        b"out/" + b"x" * 255,
        b"x/" * 63 + b"x",
    ],
)
def test_odd_names_are_names(raw):
    assert "/".join(components(raw)).encode() == raw.removeprefix(b"./")


ODD = [b"\\", b"\0", b"\n", b"\x1b", b"\x7f", b"\x9b", b"\xc2\x85", b"\xff", "ü".encode(), b"~", b"-"]
PIECES = st.lists(st.sampled_from([b"", b".", b"..", b"/", b"x", *ODD]), max_size=8)
RAW = st.one_of(st.binary(max_size=40), PIECES.map(b"".join), PIECES.map(b"/".join))


@given(RAW)
def test_whatever_is_taken_is_plain(raw):
    try:
        parts = components(raw)
    except HostileName:
        return
    assert "/".join(parts).encode() == raw.removeprefix(b"./")
    for part in parts:
        assert part not in {"", ".", ".."}
        assert not {"/", "\\", "\0"} & set(part)
        assert 0 < len(part.encode()) <= 255
        assert not any(unicodedata.category(letter) == "Cc" for letter in part)


@given(RAW)
def test_whatever_is_shown_is_harmless(raw):
    text = shown(raw)
    assert text.isprintable()
    assert len(text) <= 200


def test_what_is_shown():
    assert shown(b"./out/x") == "out/x"
    assert shown(b"out/\x1b[2J\xff\n") == "out/\\x1b[2J\\xff\\n"
    assert shown("\u202egpj.exe".encode()) == "\\u202egpj.exe"
    assert shown(b"x" * 300) == "x" * 197 + "..."
    assert printable("\udcff\u2028ü") == "\\udcff\\u2028ü"
