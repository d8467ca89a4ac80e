"""Scripts: found as API.md says, and refused where they would fail on the instance in ways hard to understand."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.errors import ConfigError
from aspot.intake.scripts import find_script, interpreter, remote_path, script_stem


@pytest.fixture
def here(tmp_path):
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def find(script, here):
    return find_script(script, base=here, texts=here.parent / "texts")


def refusal(script, here):
    with pytest.raises(ConfigError) as caught:
        find(script, here)
    return caught.value


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_that_script(here, kind):
    (here / "steps").mkdir()
    (here / "steps" / "größe 1.sh").write_text("echo\n")
    found = find(kind("steps/größe 1.sh"), here)
    assert (found.source, found.remote_path) == (here / "steps" / "größe 1.sh", "steps/größe 1.sh")
    assert found.interpreter == ("/bin/sh",)


def test_a_text_is_kept_and_run_by_its_shebang(here):
    found = find("#!/usr/bin/env python3\nprint(1)", here)
    assert found.source.read_text() == "#!/usr/bin/env python3\nprint(1)"
    assert (found.remote_path, found.interpreter) == ("script", ("/usr/bin/env", "python3"))
    assert found.source.parent == here.parent / "texts"


def test_two_texts_do_not_fall_on_each_other(here):
    one, two, again = (find(text, here) for text in ("echo 1\n", "echo 2\n", "echo 1\n"))
    assert one.source == again.source != two.source


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"#!/bin/bash -eu\nls", "x", ("/bin/bash", "-eu")),
        (b"#! /usr/bin/env -S python3 -u\n", "x", ("/usr/bin/env", "-S", "python3", "-u")),
        (b"#!/usr/bin/perl\n", "x.py", ("/usr/bin/perl",)),
        (b"print()", "x.PY", ("python3",)),
        (b"#!\nprint()", "x.py", ("python3",)),
        (b"# a comment", "x.sh", ("/bin/sh",)),
        (b"ls", "noext", ("/bin/sh",)),
    ],
)
def test_the_interpreter_is_the_shebang_then_the_suffix_then_sh(data, name, words):
    assert interpreter(data, name) == words


@pytest.mark.parametrize("script", ["make all", "nope.sh", Path("nope.sh"), "gone/x.sh", "", "~nobody-here/x"])
def test_any_other_string_is_an_error_that_names_command(here, script):
    error = refusal(script, here)
    assert "no such file" in str(error) or "is a folder" in str(error)
    assert "command=" in error.fix or "upload=" in error.fix


def test_an_absolute_or_home_path_is_found(here, monkeypatch):
    (here / "x.sh").write_text("ls\n")
    monkeypatch.setenv("HOME", str(here))
    assert find("~/x.sh", here.parent).source == here / "x.sh"
    assert find(str(here / "x.sh"), Path("/")).remote_path == "x.sh"


@pytest.mark.parametrize(
    ("given", "lands"),
    [("a/b.sh", "a/b.sh"), ("./a//b.sh", "a/b.sh"), ("a/../b.sh", "b.sh"), ("../b.sh", "b.sh"), ("~/a/b.sh", "b.sh")],
)
def test_scripts_keep_their_relative_place(given, lands):
    assert remote_path(given) == lands


@given(st.lists(st.sampled_from(["..", ".", "a", "b c", "~", "ü"]), min_size=1, max_size=6), st.booleans())
def test_no_script_lands_outside(parts, is_absolute):
    landed = Path(remote_path("/" * is_absolute + "/".join([*parts, "x.sh"])))
    assert not landed.is_absolute()
    assert ".." not in landed.parts
    assert landed.name == "x.sh"


@pytest.mark.parametrize(
    ("script", "command", "stem"),
    [
        ("ok one.sh", "", "ok one"),
        ("ls\n", "", "script"),
        (Path("a/b.tar.py"), "", "b.tar"),
        (None, "python3 -u steps/train.py --lr 1", "train"),
        (None, "/usr/bin/make all", "make"),
        (None, "echo 'unclosed", "echo"),
        (None, "''", ""),
    ],
)
def test_jobs_are_named_after_their_scripts(script, command, stem):
    assert script_stem(script, command) == stem


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf\n"])
def test_an_empty_script_is_refused(here, content):
    (here / "x.sh").write_bytes(content)
    assert "x.sh is empty" in str(refusal("x.sh", here))
    assert "empty" in str(refusal("\n", here))


@pytest.mark.parametrize(
    ("name", "content"), [("x y.sh", b"echo 1\r\necho 2\r\n"), ("x y.py", b"#!/usr/bin/env python3\r\nprint()\r\n")]
)
def test_windows_line_ends_are_refused_and_the_fix_works(here, name, content):
    (here / name).write_bytes(content)
    error = refusal(name, here)
    assert "CRLF" in str(error)
    subprocess.run(error.fix, shell=True, cwd=here, check=True)
    assert b"\r" not in find(name, here).source.read_bytes()


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["x.sh", "x.py"])
def test_a_byte_order_mark_is_refused_and_the_fix_works(here, mark, name):
    (here / name).write_bytes(mark + b"#!/bin/sh\necho\n")
    error = refusal(name, here)
    assert "byte order mark" in str(error)
    subprocess.run(error.fix, shell=True, cwd=here, check=True)
    assert find(name, here).interpreter == ("/bin/sh",)


@pytest.mark.parametrize("content", [b"print(1)\r\nprint(2)\r\n", b"\xef\xbb\xbfprint(1)\n"])
def test_python_itself_takes_windows_files(here, content):
    (here / "x.py").write_bytes(content)
    assert find("x.py", here).interpreter == ("python3",)


@pytest.mark.parametrize("text", ["echo\r\n", "#!/bin/sh\r\necho\r\n"])
def test_windows_line_ends_in_a_text_are_refused_with_the_fix(here, text):
    assert "text.replace(" in refusal(text, here).fix


@pytest.mark.parametrize(
    ("content", "words"),
    [("echo\n".encode("utf-16"), "UTF-16"), (b"\x7fELF\2\1\0\0", "binary"), (b"\xfe\xff\0e", "UTF-16")],
)
def test_what_is_no_text_is_refused(here, content, words):
    (here / "x.sh").write_bytes(content)
    assert words in str(refusal("x.sh", here))


def test_a_folder_and_a_pipe_are_refused(here):
    (here / "src").mkdir()
    os.mkfifo(here / "pipe")
    assert "src is a folder" in str(refusal("src", here))
    assert "not a regular file" in str(refusal("pipe", here))


def test_a_name_that_no_file_can_have_is_refused(here):
    assert "no such file" in str(refusal("x" * 5000, here)) or "cannot read" in str(refusal("x" * 5000, here))
    assert "cannot read" in str(refusal("a\0b", here))


def test_an_unreadable_script_is_refused(here):
    (here / "x.sh").write_text("ls\n")
    (here / "x.sh").chmod(0)
    if os.access(here / "x.sh", os.R_OK):
        pytest.skip("root reads everything")
    assert "cannot read" in str(refusal("x.sh", here))


def test_a_text_that_cannot_be_kept_is_said(here):
    (here.parent / "texts").write_text("a file")
    assert "cannot keep the script" in str(refusal("ls\n", here))


@given(st.binary(max_size=200))
def test_any_bytes_are_either_refused_or_runnable(tmp_path_factory, data):
    here = tmp_path_factory.mktemp("s")
    (here / "x.sh").write_bytes(data)
    is_bad = not data.strip() or b"\r\n" in data or b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff")
    if is_bad or data.startswith(b"\xef\xbb\xbf"):
        assert refusal("x.sh", here).fix
    else:
        assert find("x.sh", here).interpreter
