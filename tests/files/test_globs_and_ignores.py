"""Patterns as a shell reads them, `.aspotignore` as git would."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aspot.files.scan import scan_uploads
from tests.files.project import Link, needs_modes, pairs, plant, refusal, sent


def files(base, uploads, **options):
    return sorted(name for name, what in sent(base, uploads, **options).items() if what is not None)


# --- patterns ---


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("configs/*.yaml", ["configs/a.yaml", "configs/b.yaml"]),
        ("./configs//*.yaml", ["configs/a.yaml", "configs/b.yaml"]),
        ("configs/[!a].yaml", ["configs/b.yaml"]),
        ("configs/?.yaml", ["configs/a.yaml", "configs/b.yaml"]),
        ("*.py", ["train.py"]),
        ("**/*.py", ["src/a.py", "src/deep/b.py", "train.py"]),
        ("src/**/*.py", ["src/a.py", "src/deep/b.py"]),
        ("**/deep", ["src/deep/b.py"]),
        ("*/deep/", ["src/deep/b.py"]),
        ("src/**", ["src/a.py", "src/deep/b.py"]),
        ("**/**/b.py", ["src/deep/b.py"]),
        ("s*", ["src/a.py", "src/deep/b.py"]),
        ("*/../train.py", ["train.py"]),
        ("src/d*/../a.py", ["src/a.py"]),
    ],
)
def test_patterns_keep_the_folders_of_what_they_match(here, pattern, found):
    assert files(here, pattern) == found


def test_what_begins_with_a_dot_is_named_by_a_dot(here):
    plant(here, {".hidden": "1", "src/.deep/x.py": "2"})
    assert files(here, "*") == [
        "configs/a.yaml",
        "configs/b.yaml",
        "src/.deep/x.py",
        "src/a.py",
        "src/deep/b.py",
        "train.py",
    ]
    assert files(here, "**/x*") if (here / "x").exists() else "matches nothing" in refusal(here, "**/x*")
    assert files(here, ".h*") == [".hidden"]
    assert files(here, "src/.*/*") == ["src/.deep/x.py"]


def test_a_file_with_wildcards_in_its_name_is_meant_itself(here):
    plant(here, {"a[1].txt": "one", "a1.txt": "two", "*": "star"})
    assert sent(here, "a[1].txt") == {"a[1].txt": "one"}
    assert sent(here, "*") == {"*": "star"}


def test_patterns_outside_give_base_names(here, beside):
    assert sent(here, "../beside/big/*.csv") == {"x.csv": "x", "y.csv": "y"}
    assert sent(here, f"{beside}/*/x.csv") == {"x.csv": "x"}
    assert sent(here, f"{beside}/**") == sent(here, str(beside))
    plant(beside, {"other/x.csv": "not x"})
    assert "both" in refusal(here, "../beside/*/x.csv")


@pytest.mark.parametrize("pattern", ["*.nothing", "no/*", "train.py/*", "src/*.yaml", "[x]", "**/nothing"])
def test_a_pattern_that_matches_nothing_is_refused(here, pattern):
    assert "matches nothing" in refusal(here, pattern)


def test_patterns_do_not_bring_what_is_left_out(here):
    plant(here, {"node_modules/m.py": "m", "__pycache__/x.py": "x", "aspot-results/r.py": "r", "skip.py": "s"})
    plant(here, {".aspotignore": "skip.*\n"})
    scan = scan_uploads(here, pairs(["*", "**/*.py"]), skip=[here / "aspot-results"])
    assert {"train.py", "src/a.py"} < scan.entries.keys()
    assert not {"node_modules", "__pycache__", "aspot-results", "skip.py"} & scan.entries.keys()
    assert scan.notes() == ("not uploaded: __pycache__, aspot-results, node_modules, skip.py",)
    assert "matches nothing" in refusal(here, "skip*")


def test_patterns_below_a_folder_that_was_named_match(here):
    plant(here, {"node_modules/m.py": "m", "data/x.csv": "x", ".aspotignore": "data/\n"})
    assert files(here, "node_modules/*.py") == ["node_modules/m.py"]
    assert files(here, "data/*.csv") == ["data/x.csv"]


def test_two_stars_follow_no_links(here):
    plant(here, {"src/me": Link("."), "src/up": Link(".."), "alias": Link("src")})
    assert files(here, "**/*.py") == ["src/a.py", "src/deep/b.py", "train.py"]
    assert files(here, "*/a.py") == ["alias/a.py", "src/a.py"]


# --- .aspotignore ---


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("", ["configs/a.yaml", "configs/b.yaml", "src/a.py", "src/deep/b.py", "train.py"]),
        ("*.yaml\n", ["src/a.py", "src/deep/b.py", "train.py"]),
        ("*.yaml\n!b.yaml\n", ["configs/b.yaml", "src/a.py", "src/deep/b.py", "train.py"]),
        ("/a.py\n/train.py\n", ["configs/a.yaml", "configs/b.yaml", "src/a.py", "src/deep/b.py"]),
        ("src/\nconfigs/*\n!configs/a.yaml\n", ["configs/a.yaml", "train.py"]),
        ("src/\n!src/a.py\n", ["configs/a.yaml", "configs/b.yaml", "train.py"]),
        ("**/deep\r\n# *.py\r\n\r\n", ["configs/a.yaml", "configs/b.yaml", "src/a.py", "train.py"]),
        ("\ufeff*.py\n", ["configs/a.yaml", "configs/b.yaml"]),
        ("train.py/\n", ["configs/a.yaml", "configs/b.yaml", "src/a.py", "src/deep/b.py", "train.py"]),
    ],
)
def test_ignore_files_are_read_as_git_reads_its_own(here, rules, left):
    plant(here, {".aspotignore": rules.encode()})
    assert files(here, ".") == [".aspotignore", *left]


def test_gitignore_is_not_read(here):
    plant(here, {".gitignore": "*\n"})
    assert "train.py" in files(here, ".")


def test_the_deepest_ignore_file_decides(here):
    plant(here, {".aspotignore": "*.py\n", "src/.aspotignore": "!a.py\n", "src/deep/.aspotignore": "!*.py\n/b.py\n"})
    found = files(here, ".")
    assert "src/a.py" in found
    assert not {"train.py", "src/deep/b.py"} & set(found)


def test_what_is_ignored_is_said(here):
    plant(here, {".aspotignore": "*.yaml\ndeep/\n"})
    notes = scan_uploads(here, pairs(".")).notes()
    assert notes == ("not uploaded: configs/a.yaml, configs/b.yaml, src/deep",)


def test_the_base_s_rules_hold_for_every_upload_below_it(here):
    plant(here, {".aspotignore": "/src/deep\n*.yaml\n"})
    assert files(here, ["src", "configs"]) == ["src/a.py"]


def test_rules_on_the_way_hold(here):
    plant(here, {"src/.aspotignore": "deep/x\n", "src/deep/x": "x"})
    assert files(here, "src/deep") == ["src/deep/b.py"]


def test_what_is_named_is_sent_whatever_the_rules_say(here):
    plant(here, {".aspotignore": "src/\n*.yaml\nb.py\n"})
    assert files(here, "src") == ["src/a.py"]
    assert files(here, "src/deep") == []
    assert files(here, "configs/a.yaml") == ["configs/a.yaml"]
    plant(here, {".aspotignore": "*\n"})
    assert files(here, "src") == ["src/a.py", "src/deep/b.py"]


def test_a_folder_elsewhere_has_rules_of_its_own(here, beside):
    plant(here, {".aspotignore": "*.csv\n"})
    plant(beside, {"big/.aspotignore": "y*\n"})
    assert files(here, str(beside / "big")) == ["big/.aspotignore", "big/x.csv"]


def test_rules_reach_into_what_links_lead_to(here, beside):
    plant(here, {"src/big": Link(str(beside / "big")), ".aspotignore": "y.csv\n/src/big/x.csv\n"})
    assert files(here, "src") == ["src/a.py", "src/deep/b.py"]


@pytest.mark.parametrize("rule", ["big/", "big"])
def test_a_link_to_a_folder_is_a_folder_to_the_rules(here, beside, rule):
    plant(here, {"big": Link(str(beside / "big")), ".aspotignore": rule})
    scan = scan_uploads(here, pairs("."))
    assert "big" not in scan.entries
    assert scan.notes() == ("not uploaded: big",)


@pytest.mark.parametrize("rule", ["[a", "[z-a]", "[[:alpha:]]", "a\\"])
def test_rules_that_make_no_sense_are_refused(here, rule):
    plant(here, {"src/.aspotignore": f"ok\n{rule}\n"})
    assert "src/.aspotignore has a pattern that makes no sense" in refusal(here, "src")


def test_a_folder_called_like_the_rules_is_a_folder(here):
    plant(here, {".aspotignore/x": "1"})
    assert ".aspotignore/x" in files(here, ".")


@needs_modes
def test_rules_that_cannot_be_read_are_refused(here):
    plant(here, {".aspotignore": "*"})
    (here / ".aspotignore").chmod(0)
    assert "cannot be read" in refusal(here, "src")


WORDS = st.sampled_from(["a", "b", "ab", "c.py", "#a", "!b", "a ", "[a]"])
PATHS = st.lists(WORDS, min_size=1, max_size=3).map("/".join)
PARTS = [
    "a",
    "b",
    "ab",
    "*",
    "a*",
    "?",
    "*.py",
    "**",
    "a**b",
    "[ab]",
    "[!a]",
    "[^b]",
    "[a-b]b",
    "\\a",
    "a ",
    "a\\ ",
    "\\[a]",
    "[]a[]*",
    "#a",
]
RULES = st.lists(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "!", "\\!", "\\", "#"]),
        st.sampled_from(["", "/", "**/"]),
        st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("/".join),
        st.sampled_from(["", "/", " ", "/**"]),
    ),
    max_size=4,
).map("\n".join)


@pytest.fixture(scope="module")
def git_folder(tmp_path_factory):
    if shutil.which("git") is None:
        pytest.skip("git is not here to compare with")
    folder = tmp_path_factory.mktemp("git")
    _git("init", "-q", "--bare", folder)
    return folder


@given(paths=st.lists(PATHS, min_size=1, max_size=6), top=RULES, deep=RULES)
@example(paths=["a/x"], top="a/**\n!a/x", deep="")
@example(paths=["a/b/c.py"], top="*.py", deep="!b")
@example(paths=["a/a/a"], top="", deep="a\n!a/**")
@settings(max_examples=40, deadline=None)
def test_git_would_keep_the_same(git_folder, paths, top, deep):
    """The same rules as .gitignore: what `git ls-files` lists is what travels."""
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        for path in dict.fromkeys(paths):
            if not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in paths):
                plant(base, {path: "1"})
        plant(base, {".gitignore": top, ".aspotignore": top})
        if (base / "a").is_dir():
            plant(base, {"a/.gitignore": deep, "a/.aspotignore": deep})
        listed = _git(
            f"--git-dir={git_folder}",
            f"--work-tree={base}",
            "ls-files",
            "-z",
            "--others",
            "--exclude-standard",
            cwd=base,
        )
        theirs = {name for name in listed.split("\0") if name}
        assert _plain(files(base, ".")) == _plain(theirs)


def _plain(names):
    return {name for name in names if not name.endswith("ignore")}


def _git(*words, cwd=None):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(["git", *words], check=True, capture_output=True, env=env, cwd=cwd, text=True).stdout
