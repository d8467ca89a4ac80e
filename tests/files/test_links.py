"""Links in uploads: those that stay inside travel as links, others as what they lead to; none dangles."""

from __future__ import annotations

import os

import pytest

from aspot.files.scan import scan_uploads
from tests.files.project import Link, picture, plant, refusal, sent


@pytest.mark.parametrize("to", ["a.py", "./a.py", "../src/a.py", "deep/../a.py"])
def test_a_link_that_stays_inside_is_a_link(here, to):
    plant(here, {"src/link.py": Link(to)})
    assert sent(here, "src")["src/link.py"] == Link("a.py")
    assert sent(here, {"src": "."})["link.py"] == Link("a.py")


def test_an_absolute_link_that_stays_inside_becomes_relative(here):
    plant(here, {"src/deep/link": Link(str(here / "src" / "a.py")), "src/folder": Link(str(here / "src" / "deep"))})
    found = sent(here, "src")
    assert found["src/deep/link"] == Link("../a.py")
    assert found["src/folder"] == Link("deep")
    assert "src/folder/b.py" not in found


def test_a_chain_of_links_is_cut_short(here):
    plant(here, {"src/one": Link("two"), "src/two": Link("deep"), "src/three": Link("one/b.py")})
    found = sent(here, "src")
    assert (found["src/one"], found["src/two"], found["src/three"]) == (Link("deep"), Link("deep"), Link("deep/b.py"))


def test_a_link_that_leads_out_travels_as_content(here, beside):
    plant(
        here,
        {"src/big": Link(str(beside / "big")), "src/one": Link("../../beside/one.csv"), "src/t": Link("../train.py")},
    )
    found = sent(here, "src")
    assert (found["src/big"], found["src/big/x.csv"], found["src/big/y.csv"]) == (None, "x", "y")
    assert (found["src/one"], found["src/t"]) == ("1", "train")


def test_an_upload_that_is_a_link_travels_as_content(here, beside):
    plant(here, {"data": Link(str(beside / "big")), "file": Link("src/a.py")})
    assert sent(here, "data") == {"data": None, "data/x.csv": "x", "data/y.csv": "y"}
    assert sent(here, "data/") == sent(here, "data")
    assert sent(here, "file") == {"file": "a"}


def test_links_inside_of_what_a_link_leads_to_are_links(here, beside):
    plant(beside, {"big/latest": Link("x.csv"), "big/out": Link("../one.csv")})
    plant(here, {"src/big": Link(str(beside / "big"))})
    found = sent(here, "src")
    assert found["src/big/latest"] == Link("x.csv")
    assert found["src/big/out"] == "1"


def test_a_link_to_what_is_left_out_travels_as_content(here):
    plant(here, {".venv/bin/tool": "tool", "data/big.csv": "x", "src/secret": "s"})
    plant(here, {"tool": Link(".venv/bin/tool"), "best.csv": Link("data/big.csv"), "alias": Link("src/secret")})
    plant(here, {".aspotignore": "data/\n", "src/.aspotignore": "secret\n"})
    found = sent(here, ".")
    assert (found["tool"], found["best.csv"], found["alias"]) == ("tool", "x", "s")
    assert not {".venv", "data", "src/secret"} & found.keys()


def test_a_link_to_an_earlier_result_travels_as_content(here):
    results = here / "aspot-results"
    plant(
        here, {"aspot-results/s/m.bin": "model", "m.bin": Link("aspot-results/s/m.bin"), "s": Link("aspot-results/s")}
    )
    found = sent(here, ".", skip=[results])
    assert (found["m.bin"], found["s"], found["s/m.bin"]) == ("model", None, "model")


@pytest.mark.parametrize("to", ["nowhere", "../nowhere", "/no/such/place", "train.py/x", "src/nowhere"])
def test_a_link_that_leads_nowhere_is_refused(here, to):
    plant(here, {"src/link": Link(to)})
    assert f"src/link is a link to {to!r}, which is not there" in refusal(here, "src")
    assert "which is not there" in refusal(here, "src/link")
    assert "which is not there" in refusal(here, "src/l*")


def test_a_bad_link_that_is_left_out_does_no_harm(here):
    plant(here, {"src/link": Link("nowhere"), "src/self": Link("self"), ".aspotignore": "link\nself\n"})
    assert "src/link" not in sent(here, "src")


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "a/x"}])
def test_a_link_to_itself_is_refused(here, links):
    plant(here, {f"src/{name}": Link(to) for name, to in links.items()})
    assert "leads back to itself" in refusal(here, "src")
    assert "leads back to itself" in refusal(here, "src/a")


def test_a_circle_inside_is_a_link_like_any_other(here):
    plant(here, {"src/deep/up": Link(".."), "src/me": Link("."), "src/deep/again": Link("../deep")})
    found = sent(here, "src")
    assert (found["src/deep/up"], found["src/me"], found["src/deep/again"]) == (Link(".."), Link("."), Link("."))


@pytest.mark.parametrize("to", ["..", "../..", "/"])
def test_a_circle_that_leads_out_is_refused(here, to):
    plant(here, {"src/deep/up": Link(os.path.normpath(here / "src" / to))})
    assert "link to a folder that it lies in" in refusal(here, "src/deep")


def test_a_circle_by_way_of_another_folder_is_refused(here, beside):
    plant(here, {"src/out": Link(str(beside))})
    plant(beside, {"big/back": Link(str(here / "src"))})
    assert "link to a folder that it lies in" in refusal(here, "src")


def test_a_circle_that_misses_the_upload_itself_is_refused(here, beside):
    plant(here, {"src/deep/out": Link(str(beside))})
    plant(beside, {"back": Link(str(here / "src" / "deep"))})
    assert "link to a folder that it lies in" in refusal(here, "src")


@pytest.mark.parametrize("uploads", [[".", "alias/a.py"], ["alias/a.py", "."]])
def test_what_is_named_behind_a_link_goes_where_the_link_leads(here, uploads):
    plant(here, {"alias": Link("src")})
    found = sent(here, uploads)
    assert found["alias"] == Link("src")
    assert found == sent(here, ".")


@pytest.mark.parametrize("uploads", [[".", "alias"], ["alias", "."]])
def test_a_link_that_is_named_itself_travels_as_content(here, uploads):
    plant(here, {"alias": Link("src")})
    found = sent(here, uploads)
    assert (found["alias"], found["alias/a.py"]) == (None, "a")


def test_a_mapping_may_land_behind_a_link(here):
    plant(here, {"alias": Link("src")})
    assert sent(here, {".": ".", "configs/a.yaml": "alias/new/a.yaml"})["src/new/a.yaml"] == "one"
    assert "both" in refusal(here, {".": ".", "configs/a.yaml": "alias/a.py"})
    assert "both" in refusal(here, {".": ".", "configs": "alias/a.py"})


def test_nothing_ever_lies_behind_a_link(here, beside):
    plant(here, {"alias": Link("src"), "src/deep/more": Link("../empty"), "out": Link(str(beside))})
    found = picture(
        scan_uploads(here, [("alias/deep/b.py", ""), (".", ""), ("src", "alias/copy"), ("src/deep/more", "")])
    )
    links = [name for name, what in found.items() if isinstance(what, Link)]
    assert links
    assert not [name for name in found for link in links if name.startswith(f"{link}/")]
