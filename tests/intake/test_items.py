"""Lists of parameters: cut into parts, read from tables, written as one."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.errors import ConfigError
from aspot.items import number_or_text, read_items, split, table_text
from aspot.jobs import Job
from aspot.results import Results


@given(st.lists(st.integers()), st.integers(1, 60))
def test_a_split_loses_nothing_and_is_even(items, n):
    parts = split(items, n)
    assert [item for part in parts for item in part] == items
    lengths = [len(part) for part in parts]
    assert len(lengths) == n
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_a_split_into_no_number_of_parts(n):
    with pytest.raises(ConfigError, match="at least 1 part"):
        split([1], n)


@given(st.one_of(st.text(max_size=8), st.floats(allow_nan=False).map(str), st.integers().map(str)))
def test_a_number_is_read_only_where_its_text_comes_back(text):
    assert str(number_or_text(text)) == text


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1_000", "007", "1e5"])
def test_what_json_or_a_script_would_see_otherwise_stays_text(text):
    assert number_or_text(text) == text


@pytest.mark.parametrize(
    ("name", "text", "items"),
    [
        ("a.csv", '\ufefflr, name\n0.1,x\n\n 2 ,"y, z"\n', [{"lr": 0.1, "name": "x"}, {"lr": 2, "name": "y, z"}]),
        ("a.tsv", "lr\tname\n1e-3\t007\n", [{"lr": "1e-3", "name": "007"}]),
        ("a.json", '[{"lr": 0.1}, 5]', [{"lr": 0.1}, 5]),
        ("a.jsonl", '{"text": "two\u2028lines"}\n\n{"lr": 2}\n', [{"text": "two\u2028lines"}, {"lr": 2}]),
    ],
)
def test_each_row_is_an_item(tmp_path, name, text, items):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_items(tmp_path / name) == items


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"lr,lr\n1,2\n", "same one twice"),
        ("a.csv", b"lr,\n1,2\n", "empty name"),
        ("a.csv", b"lr\n1\n1,2\n", "line 3: it has 2 cells, and the header 1"),
        ("a.csv", b'lr\n"1"2\n', "line 2"),
        ("a.csv", b"lr\n", "holds no row"),
        ("a.csv", b"lr\n\xff\n", "not UTF-8"),
        ("a.json", b"{}", "holds no list"),
        ("a.json", b"[1", "a.json: "),
        ("a.jsonl", b"1\n{", "a.jsonl, line 2"),
        ("a.txt", b"1", "no table"),
    ],
)
def test_a_table_that_is_none_says_where(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_items(tmp_path / name)


def test_a_job_for_each_row_of_a_file(tmp_path):
    (tmp_path / "points.csv").write_text("lr,fast\n0.1,yes\n0.01,no\n")
    jobs = Job.each("train.sh", tmp_path / "points.csv")
    assert [job.args for job in jobs] == [("--lr", "0.1", "--fast", "yes"), ("--lr", "0.01", "--fast", "no")]
    assert [job.params for job in jobs] == [{"lr": 0.1, "fast": "yes"}, {"lr": 0.01, "fast": "no"}]


def test_rows_of_different_keys_share_one_table():
    text = table_text([{"a": 1, "b": "x\ny"}, {"a": None, "c": [1, {"d": 2}]}])
    assert list(csv.reader(text.splitlines(keepends=True))) == [
        ["a", "b", "c"],
        ["1", "x\ny", ""],
        ["", "", '[1, {"d": 2}]'],
    ]


def test_results_are_saved_where_they_can_be(tmp_path):
    assert json.loads(Results().save(tmp_path / "t.json").read_text()) == []
    assert Results().save(tmp_path / "t.csv").read_text() == "\n"
    with pytest.raises(ConfigError, match=r"t\.xls is no table"):
        Results().save(tmp_path / "t.xls")
    with pytest.raises(ConfigError, match="no folder"):
        Results().save(tmp_path / "none" / "t.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        Results().save(tmp_path / "folder.csv")
