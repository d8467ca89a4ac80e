import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.ui.safe import log_line, one_line, safe

any_text = st.text(st.characters(), max_size=60)


def is_harmless(character):
    return character in "\n\t" or character.isprintable() or unicodedata.category(character) == "Zs"


@given(any_text)
def test_nothing_that_steers_a_terminal_is_left(text):
    assert all(map(is_harmless, safe(text)))


@given(any_text)
def test_it_can_always_be_encoded_and_a_second_time_changes_nothing(text):
    once = safe(text)
    once.encode("utf-8")
    assert safe(once) == once


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S"]), max_size=60))
def test_readable_text_is_left_alone(text):
    assert safe(text) == text


@given(st.binary(max_size=60))
def test_bytes_never_raise(raw):
    assert all(map(is_harmless, safe(raw)))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]52;c;eA==\x07", "␛]52;c;eA==␇"),
        ("a\rb", "a␍b"),
        ("\x00\x7f", "␀␡"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp", "\\u202egnp"),
        ("\u200f\u061c\ufeff", "\\u200f\\u061c\\ufeff"),
        ("\udc80", "\\udc80"),
        ("\U000e0041", "\\U000e0041"),
        ("tab\tline\n", "tab\tline\n"),
        ("Grüße 東京 　é 🚀", "Grüße 東京 　é 🚀"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
    ],
)
def test_examples(raw, shown):
    assert safe(raw) == shown


def test_one_line_has_one_line_and_a_limit():
    assert one_line("a\nb\tc") == "a␊b    c"
    assert one_line("x" * 600) == "x" * 499 + "…"
    assert one_line("é".encode() * 600, limit=10) == "é" * 9 + "…"


@given(any_text, st.integers(1, 20))
def test_one_line_keeps_its_limit(text, limit):
    line = one_line(text, limit=limit)
    assert len(line) <= limit
    assert "\n" not in line


def test_log_lines_lose_their_line_end_only():
    assert log_line("epoch 1\r\n") == "epoch 1"
    assert log_line(b"10%\r20%\n") == "10%␍20%"
