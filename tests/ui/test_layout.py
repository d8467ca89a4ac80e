from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from aspot.ui.layout import fit, line, pad, shrink, table, widths

words = st.text(st.characters(categories=["L", "N", "So", "Lo"]), max_size=30)


@given(words, st.integers(0, 40))
def test_fit_and_pad_keep_the_width(text, width):
    assert cell_len(fit(text, width)) <= width
    assert cell_len(pad(text, width, right=False)) == width


def test_wide_characters_count_as_two_cells():
    assert fit("東京都庁", 5) == "東京…"
    assert pad("東京", 5, right=True) == " 東京"


def test_columns_are_aligned():
    rows = [("JOB", "EXIT"), ("a", "0"), ("longer", "137")]
    assert table(rows, right=frozenset((1,)), indent=2) == ["  JOB     EXIT", "  a          0", "  longer   137"]


@given(st.lists(st.integers(0, 60), min_size=5, max_size=5), st.integers(60, 120))
def test_shrink_fits_whenever_the_floors_allow(natural, total):
    sizes = shrink(natural, total=total, floors=(12, 14, 12, 4, 4))
    assert sum(sizes) + 8 <= total
    assert all(size <= before for size, before in zip(sizes, natural, strict=True))


def test_shrink_stops_at_the_floors():
    assert shrink([50, 50], total=10, floors=(8, 8)) == [8, 8]


def test_widths_and_line():
    assert widths([("a", "bb"), ("ccc", "d")]) == [3, 2]
    assert line(("a", ""), (3, 2), right=frozenset()) == "a"
