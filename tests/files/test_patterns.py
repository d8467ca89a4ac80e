"""Patterns of `download` and `checkpoint`."""

from __future__ import annotations

import time

import pytest

from aspot.files.patterns import parse


def pattern(text):
    good, bad = parse([text])
    assert not bad
    return good[0]


def brings(text, path):
    return pattern(text).matches(tuple(path.split("/")))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("out", "out"),
        ("out", "out/deep/x"),
        ("out/", "out/x"),
        ("./out//", "out/x"),
        (".", "anything/at/all"),
        ("*.bin", "m.bin"),
        ("*.bin", ".bin"),
        ("out/*.bin", "out/m.bin"),
        ("out/*", "out/deep/x"),
        ("out/[ab]", "out/a"),
        ("out/[!ab]", "out/c"),
        ("o?t", "out/x"),
        ("**", "x"),
        ("**", "x/y"),
        ("**/*.bin", "m.bin"),
        ("**/*.bin", "a/b/c/m.bin"),
        ("out/**/m.bin", "out/m.bin"),
        ("out/**/m.bin", "out/a/b/m.bin"),
        ("out/**", "out"),
        ("**/a/**/b", "x/a/y/a/b/z"),
    ],
)
def test_what_a_pattern_brings(text, path):
    assert brings(text, path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("out", "outer"),
        ("out", "x/out"),
        ("out/deep", "out"),
        ("*.bin", "out/m.bin"),
        ("*.bin", "m.binary"),
        ("out/*/x", "out/x"),
        ("OUT", "out"),
        ("**/a/**/b", "a/c"),
        ("out/**/m.bin", "m.bin"),
        ("out.x", "outyx"),
    ],
)
def test_what_a_pattern_does_not_bring(text, path):
    assert not brings(text, path)


@pytest.mark.parametrize("text", ["/etc", "../x", "out/..", "a\nb", "x" * 256, "\udcff"])
def test_what_can_name_nothing_there(text):
    assert parse([text, "out"]) == (parse(["out"])[0], (text,))


@pytest.mark.parametrize(
    ("text", "root"),
    [("out", "out"), ("out/a/*.bin", "out/a"), ("*.bin", ""), ("a/**/b", "a"), (".", ""), ("a[1]/b", "")],
)
def test_where_to_look(text, root):
    assert pattern(text).root == root


def test_names_cannot_make_matching_slow():
    deep = tuple("a" for _ in range(64))
    start = time.process_time()
    assert not pattern("/".join(["**", "a"] * 12 + ["b"])).matches(deep)
    assert not pattern("*a" * 20 + "b").matches(("a" * 255,))
    assert time.process_time() - start < 1
