"""The fault matrix is whole, and every test that it names exists."""

import ast
import functools
import importlib.util
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = {"A": 28, "I": 18, "S": 19, "C": 8, "D": 7, "U": 5}


def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", TESTS.parent / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MATRIX = generate().faults()


@functools.cache
def found_in(path: str) -> set[str]:
    """Every test of a file, those in classes too, as the matrix names them."""
    tree = ast.parse((TESTS / path).read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    named = [("", node) for node in tree.body] + [(f"{kind.name}::", node) for kind in classes for node in kind.body]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {owner + node.name for owner, node in named if isinstance(node, kinds) and node.name.startswith("test_")}


def test_every_row_is_there():
    assert list(MATRIX) == [f"{kind}{number}" for kind, most in ROWS.items() for number in range(1, most + 1)]


def test_every_test_that_is_named_exists():
    named = [test.partition("::") for row in MATRIX.values() for test in row["tests"]]
    assert named
    missing = [f"{path}::{name}" for path, _, name in named if name not in found_in(path)]
    assert not missing


def test_what_is_not_whole_says_why_and_what_is_names_a_test():
    for row, told in MATRIX.items():
        assert set(told) == {"what", "tests", "state", "why"}, row
        assert told["state"] in ("tested", "part", "none"), row
        assert bool(told["why"]) is (told["state"] != "tested"), row
        assert bool(told["tests"]) is (told["state"] != "none"), row


def test_the_page_has_a_line_for_each():
    page = generate().faults_page()
    assert all(f"| {row} | {told['what']} |" in page for row, told in MATRIX.items())
    assert page.startswith("85 faults: ")
