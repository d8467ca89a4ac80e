"""Uploads, rule by rule as API.md has them: names, mappings, what is left out, what is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from aspot.files.scan import scan_folder, scan_script, scan_uploads
from aspot.ports import Undeliverable
from tests.files.project import Link, needs_modes, picture, plant, refusal, sent

SRC = {"src": None, "src/a.py": "a", "src/deep": None, "src/deep/b.py": "b", "src/empty": None}
CONTENT_OF_SRC = {"a.py": "a", "deep": None, "deep/b.py": "b", "empty": None}


# --- names ---


@pytest.mark.parametrize("given", ["src", "src/", "./src", "src/.", "src//", ".//src/./", "src/deep/.."])
def test_slashes_mean_nothing(here, given):
    assert sent(here, given) == SRC


@pytest.mark.parametrize("given", ["train.py", "./train.py", "src/../train.py", "train.py/"])
def test_a_file_lands_under_its_own_name(here, given):
    assert sent(here, given) == {"train.py": "train"}


def test_a_file_in_a_folder_keeps_the_folder(here):
    assert sent(here, "configs/a.yaml") == {"configs": None, "configs/a.yaml": "one"}
    assert sent(here, "src/deep") == {"src": None, "src/deep": None, "src/deep/b.py": "b"}


@pytest.mark.parametrize("given", [".", "./", "src/.."])
def test_a_dot_is_the_content_of_the_current_folder(here, given):
    configs = {"configs": None, "configs/a.yaml": "one", "configs/b.yaml": "two"}
    assert sent(here, given) == {**SRC, **configs, "train.py": "train"}


def test_absolute_paths_land_under_their_base_name(here, beside):
    assert sent(here, str(beside / "big")) == {"big": None, "big/x.csv": "x", "big/y.csv": "y"}
    assert sent(here, str(beside / "one.csv")) == {"one.csv": "1"}
    assert sent(here, f"{beside}/big/") == {"big": None, "big/x.csv": "x", "big/y.csv": "y"}
    assert sent(here, str(here / "src" / "deep")) == {"deep": None, "deep/b.py": "b"}


def test_paths_that_lead_out_land_under_their_base_name(here):
    plant(here.parent, {"beside/one.csv": "1"})
    assert sent(here, "../beside") == {"beside": None, "beside/one.csv": "1"}
    assert sent(here, "../beside/one.csv") == {"one.csv": "1"}
    assert sent(here, "src/../../beside/one.csv") == {"one.csv": "1"}
    assert sent(here, "../here/src/deep") == {"deep": None, "deep/b.py": "b"}
    assert sent(here / "src", "..")["here/train.py"] == "train"


def test_home_is_known(here, beside, monkeypatch):
    monkeypatch.setenv("HOME", str(beside))
    assert sent(here, "~/one.csv") == {"one.csv": "1"}
    assert sent(here, "~/big/*.csv") == {"x.csv": "x", "y.csv": "y"}


@pytest.mark.parametrize("name", ["..cache", "...", "~", "a b", "ümlaut", "-rf", "a\\b", "[x]", "*", "$HOME", "'"])
def test_odd_names_are_names(here, name):
    plant(here, {f"{name}/f": "1"})
    assert sent(here, f"./{name}") == {name: None, f"{name}/f": "1"}
    assert sent(here, ".")[f"{name}/f"] == "1"


def test_names_that_are_no_utf8_travel(here):
    raw = os.fsdecode(b"caf\xe9")
    plant(here, {raw: "1"})
    assert sent(here, raw) == {raw: "1"}


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "a\x7f"])
def test_control_characters_in_names_are_refused(here, name):
    plant(here, {f"src/{name}": "1"})
    assert "control character" in refusal(here, "src")


def test_a_path_goes_through_links_as_the_system_does(here, beside):
    (here / "link").symlink_to(beside / "big")
    assert sent(here, "link/../one.csv") == {"one.csv": "1"}
    assert sent(here, "link/x.csv") == {"link": None, "link/x.csv": "x"}


# --- mappings ---


def test_a_mapping_renames(here):
    assert sent(here, {"src": "."}) == CONTENT_OF_SRC
    assert sent(here, {"src": "./"}) == CONTENT_OF_SRC
    assert sent(here, {"src/deep": "lib"}) == {"lib": None, "lib/b.py": "b"}
    assert sent(here, {"src/deep": "x/lib/"}) == {"x": None, "x/lib": None, "x/lib/b.py": "b"}
    assert sent(here, {"configs/a.yaml": "conf.yaml"}) == {"conf.yaml": "one"}
    assert sent(here, {"configs/a.yaml": "."}) == {"a.yaml": "one"}
    assert sent(here, {".": "all"})["all/src/a.py"] == "a"


@pytest.mark.parametrize("name", ["..cache", "...", ".hidden", "a..b"])
def test_a_mapping_may_name_what_only_looks_like_a_way_out(here, name):
    assert sent(here, {"train.py": name}) == {name: "train"}


@pytest.mark.parametrize("name", ["/etc", "..", "../x", "a/../../x", "//x"])
def test_a_mapping_cannot_leave_the_working_directory(here, name):
    assert "outside work/" in refusal(here, {"src": name})


def test_what_a_pattern_matches_is_mapped_into_a_folder(here):
    assert sent(here, {"configs/*.yaml": "conf"}) == {"conf": None, "conf/a.yaml": "one", "conf/b.yaml": "two"}
    assert sent(here, {"configs/a*": "conf"}) == {"conf": None, "conf/a.yaml": "one"}
    assert sent(here, {"configs/*": "."}) == {"a.yaml": "one", "b.yaml": "two"}


# --- several uploads ---


def test_uploads_may_overlap(here):
    assert sent(here, ["src", "src/a.py", "src/deep/", "./src"]) == SRC
    assert sent(here, ["src/a.py", "src"]) == SRC
    assert sent(here, {"src": ".", "src/deep": "deep"}) == CONTENT_OF_SRC


def test_folders_of_one_name_become_one(here, beside):
    found = sent(here, {"src": "all", str(beside / "big"): "all"})
    assert found == {"all": None, **{f"all/{name}": what for name, what in CONTENT_OF_SRC.items()}} | {
        "all/x.csv": "x",
        "all/y.csv": "y",
    }


@pytest.mark.parametrize(
    "uploads",
    [
        {"src": "x", "train.py": "x"},
        {"train.py": "x", "src": "x"},
        {"train.py": "x", "configs/a.yaml": "x"},
        {"train.py": "x", "configs/a.yaml": "x/y"},
        {"src": ".", "configs/a.yaml": "a.py"},
    ],
)
def test_two_things_of_one_name_are_refused(here, uploads):
    assert "both" in refusal(here, uploads)


def test_one_file_by_two_paths_is_no_clash(here, beside):
    (here / "data").symlink_to(beside)
    assert sent(here, {"data/one.csv": "one", str(beside / "one.csv"): "one"}) == {"one": "1"}


# --- what is left out ---


def test_some_folders_are_left_out_and_said_so(here):
    kept = sent(here, ".")
    plant(here, {f"{name}/x": "x" for name in (".git", ".venv", "__pycache__", "node_modules")})
    plant(here, {"src/__pycache__/a.pyc": "x", ".github/x": "x"})
    scan = scan_uploads(here, [(".", "")])
    assert picture(scan) == {**kept, ".github": None, ".github/x": "x"}
    assert scan.notes() == ("not uploaded: .git, .venv, __pycache__, node_modules, src/__pycache__",)


def test_a_file_called_git_is_left_out_too(here):
    plant(here, {".git": "gitdir: elsewhere"})
    assert ".git" not in sent(here, ".")


def test_what_is_named_itself_travels(here):
    plant(here, {".git/HEAD": "x", "node_modules/m/index.js": "m", "node_modules/m/node_modules/n": "n"})
    assert sent(here, ".git") == {".git": None, ".git/HEAD": "x"}
    modules = {"node_modules": None, "node_modules/m": None, "node_modules/m/index.js": "m"}
    assert sent(here, "node_modules") == modules
    assert sent(here, "node_modules/m/index.js") == modules


def test_the_results_folder_is_left_out(here):
    kept = sent(here, ".")
    plant(here, {"aspot-results/study/train/stdout": "x", "src/aspot-results/own": "mine"})
    scan = scan_uploads(here, [(".", "")], skip=[here / "aspot-results"])
    assert picture(scan) == {**kept, "src/aspot-results": None, "src/aspot-results/own": "mine"}
    assert scan.notes() == ("not uploaded: aspot-results",)


def test_a_results_folder_is_known_by_what_it_is(here, beside):
    kept = sent(here, ".")
    (here / "results").symlink_to(beside)
    (here / "again").symlink_to("results")
    assert sent(here, ".", skip=[beside]) == kept
    assert sent(here, ".", skip=[here / "results"]) == kept
    assert sent(here, ".", skip=[here / "not" / "there"]) != kept


def test_an_earlier_result_can_be_sent_by_name(here):
    plant(here, {"aspot-results/s/train/out/m.bin": "model"})
    found = sent(here, {"aspot-results/s/train/out/m.bin": "m.bin"}, skip=[here / "aspot-results"])
    assert found == {"m.bin": "model"}


def test_results_in_the_current_folder_do_not_keep_it_here(here):
    assert sent(here, ".", skip=[here]) == sent(here, ".")


def test_notes_are_short_and_harmless():
    from aspot.files.scan import Scan

    assert Scan().notes() == ()
    assert Scan(left_out=["b", "a", "b"]).notes() == ("not uploaded: a, b",)
    assert Scan(left_out=[f"n{number}" for number in range(9)]).notes() == (
        "not uploaded: n0, n1, n2, n3, n4 and 4 more",
    )
    assert Scan(left_out=["\x1b[2J", "\udcff"]).notes() == ("not uploaded: \\udcff, \\x1b[2J",)


def test_sockets_and_fifos_in_folders_are_left_out(here):
    os.mkfifo(here / "src" / "pipe")
    (here / "src" / "alias").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        place = os.getcwd()
        os.chdir(here / "src")  # names of sockets are short
        try:
            server.bind("sock")
        finally:
            os.chdir(place)
        scan = scan_uploads(here, [("src", "")])
    assert picture(scan) == SRC
    left = ("src/alias", "src/pipe", "src/sock")
    assert scan.notes() == (f"not uploaded: {', '.join(f'{name} (neither a file nor a folder)' for name in left)}",)


# --- what is refused ---


@pytest.mark.parametrize("given", ["nothing", "src/nothing", "train.py/x", "", "/no/such/place", "a\0b"])
def test_what_is_not_there_is_refused(here, given):
    assert "is not there" in refusal(here, given)


def test_fifos_and_devices_by_name_are_refused(here):
    os.mkfifo(here / "pipe")
    assert "neither a file nor a folder" in refusal(here, "pipe")
    assert "neither a file nor a folder" in refusal(here, "/dev/null")


@needs_modes
def test_a_folder_that_cannot_be_read_is_refused(here):
    (here / "src" / "deep").chmod(0)
    try:
        assert "deep cannot be read: Permission denied" in refusal(here, "src")
        assert "deep cannot be read: Permission denied" in refusal(here, "src/**/*.py")
        assert "is not there" in refusal(here, "src/deep/b.py")
    finally:
        (here / "src" / "deep").chmod(0o700)


def test_names_too_long_for_linux_are_refused():
    from aspot.files.scan import Entry, Kind, Scan

    for name in ("ü" * 128, "/".join(["x" * 200] * 21)):
        with pytest.raises(Undeliverable, match="too long"):
            Scan().add(Entry(name=name, kind=Kind.FILE, source="x"))
    Scan().add(Entry(name="ü" * 127, kind=Kind.FILE, source="x"))


# --- files ---


def test_executable_bits_are_kept(here):
    (here / "train.py").chmod(0o744)
    (here / "src" / "a.py").chmod(0o655)
    entries = scan_uploads(here, [(".", "")]).entries
    assert entries["train.py"].is_executable
    assert not entries["src/a.py"].is_executable


def test_a_changed_file_has_another_stamp(here):
    def stamp():
        return scan_uploads(here, [("train.py", "")]).entries["train.py"].stamp

    before, times = stamp(), os.stat(here / "train.py")
    assert stamp() == before
    (here / "train.py").write_bytes(b"TRAIN")
    os.utime(here / "train.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stamp() != before


def test_a_base_reached_by_a_link_is_the_same(here, tmp_path):
    (tmp_path / "alias").symlink_to(here)
    assert sent(tmp_path / "alias", ["src", "."]) == sent(here, ".")


def test_a_base_with_wildcards_in_its_name(tmp_path):
    base = plant(tmp_path / "proj[1]*", {"a.txt": "a", "b.txt": "b"})
    assert sent(base, "*.txt") == {"a.txt": "a", "b.txt": "b"}


def test_deep_folders_are_no_problem(tmp_path):
    deep = tmp_path
    for _ in range(400):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "f").write_text("1")
    assert len(scan_uploads(tmp_path, [("d", "")]).entries) == 401


# --- scripts and checkpoints ---


def test_a_script_is_added_once(here):
    scan = scan_uploads(here, [("src", "")])
    scan_script(scan, here / "src" / "a.py", "src/a.py")
    assert picture(scan) == SRC
    scan_script(scan, here / "train.py", "train.py")
    assert picture(scan) == {**SRC, "train.py": "train"}


def test_a_script_cannot_take_the_place_of_an_upload(here):
    scan = scan_uploads(here, [("train.py", "src/a.py")])
    with pytest.raises(Undeliverable, match="both"):
        scan_script(scan, here / "src" / "a.py", "src/a.py")


def test_a_script_behind_a_link_is_there_already(here, tmp_path):
    (here / "alias").symlink_to("src")
    (here / "run.py").symlink_to("src/a.py")
    (tmp_path / "other").symlink_to(here)
    scan = scan_uploads(here, [(".", "")])
    before = picture(scan)
    for name in ("alias/a.py", "run.py", "alias/deep/b.py"):
        scan_script(scan, tmp_path / "other" / name, name)
    assert picture(scan) == before
    assert before["alias"] == Link("src")


def test_a_script_whose_folder_is_left_out_is_sent(here):
    plant(here, {"__pycache__/run.py": "1"})
    scan = scan_uploads(here, [(".", "")])
    scan_script(scan, here / "__pycache__" / "run.py", "__pycache__/run.py")
    assert picture(scan)["__pycache__/run.py"] == "1"


def test_a_script_that_is_gone_is_refused(here):
    scan = scan_uploads(here, [])
    with pytest.raises(Undeliverable) as caught:
        scan_script(scan, here / "gone.py", "gone.py")
    assert caught.value.is_local


def test_a_checkpoint_is_sent_whole(tmp_path):
    tree = {".git": None, ".git/x": "1", "node_modules": None, "node_modules/y": "2", ".aspotignore": "*"}
    tree["latest"] = Link("node_modules/y")
    assert picture(scan_folder(plant(tmp_path / "ckpt", tree))) == dict(sorted(tree.items()))


def test_paths_come_as_path_too(here):
    assert picture(scan_uploads(Path(os.fspath(here)), [("src", "lib")]))["lib/a.py"] == "a"
