"""`aspot profiles` from a shell: what is shown, written and refused; and a run with a profile of a file."""

import json
import os
import stat
from pathlib import Path

import pytest
from local_world import json_lines, write
from processes import OnTerminal

from aspot.profiles.builtin import BUILT_IN, COMMON


@pytest.fixture
def mine(cloud, tmp_path, monkeypatch):
    """Return where the user's file is, or would be."""
    monkeypatch.setenv("ASPOT_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config" / "profiles.toml"


def test_a_run_with_a_profile_of_a_file(aspot, mine):
    write(mine, '[house]\nsetup = "s.sh"\n[mine]\nextends = "house"\ntypes = ["m7g.large"]\nzones = ["us-east-1b"]\n')
    write(mine.parent / "s.sh", 'echo "set up" > "$HOME/made"\n')
    code, out, err = aspot("run", write("a.sh", 'cat "$HOME/made"; uname -m\n'), "-p", "mine", "-n", "file", "--json")
    assert code == 0, err
    (result,) = json_lines(out)[-1]["results"]
    (attempt,) = result["attempts"]
    assert (attempt["type"], attempt["zone"]) == ("m7g.large", "us-east-1b")
    assert Path(result["stdout"]).read_text().startswith("set up\n")


def test_a_profile_says_where(aspot, mine):
    write(mine, '[default]\nregion = "us-west-2"\ntypes = ["c7g.large", "c7i.large"]\nmarket = "on-demand"\n')
    code, out, err = aspot("run", write("a.sh", "true\n"), "-n", "west", "--json")
    assert code == 0, err
    assert json_lines(out)[-1]["results"][0]["attempts"][0]["zone"].startswith("us-west-2")
    assert "west" in aspot("ls", "--all")[1]


def test_the_ancestor_s_price_still_works(aspot, mine, cloud):
    code, out, err = aspot(
        "run", write("a.sh", "true\n"), "-p", "t2.micro", "--price", "0.0111", "-n", "dear", "--json"
    )
    assert code == 0, err
    machine = json_lines(out)[-1]["results"][0]["attempts"][0]["instance_id"]
    requests = cloud.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"]
    assert [float(item["SpotPrice"]) for item in requests if item["InstanceId"] == machine] == [0.0111]


def test_the_project_s_file_is_found_from_below_and_words_count_most(aspot, mine, monkeypatch):
    write("aspot.toml", '[profiles.default]\ntypes = ["m5.large"]\nmarket = "on-demand"\n')
    Path("deep").mkdir()
    monkeypatch.chdir("deep")
    code, out, _ = aspot("run", write("a.sh", "true\n"), "-n", "below", "--type", "c5.large", "--json")
    assert code == 0
    (instance,) = json_lines(out)[-1]["results"][0]["attempts"]
    assert instance["type"] == "c5.large"
    assert json.loads(aspot("profiles", "show", "default", "--json")[1])["options"]["market"] == "on-demand"


def test_the_ancestor_s_p2_xlarge_stands_for_what_ec2_has_today(aspot, mine):
    code, out, err = aspot("run", write("a.sh", "true\n"), "-p", "p2.xlarge", "-n", "old", "--json")
    assert code == 0, err
    assert json_lines(out)[-1]["results"][0]["attempts"][0]["type"] in ("g4dn.xlarge", "g5.xlarge", "g6.xlarge")


def test_a_wrong_file_stops_a_run_before_anything_is_launched(aspot, mine, cloud):
    write(mine, "[mine]\nmax_prise = 1\n")
    code, _, err = aspot("run", write("a.sh", "true\n"), "-p", "mine")
    assert code == 2
    assert err == f"error: {mine}:2: [mine] there is no option 'max_prise'\nfix:   did you mean 'max_price'?\n"
    assert cloud.launches() == 0


def test_ls_shows_what_there_is_and_from_where(aspot, mine):
    write(mine, "[gpu]\nmax_price = 1.5\n[train]\nextends = 'gpu'\n")
    code, out, _ = aspot("profiles", "ls")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert {"NAME", "train", *BUILT_IN} <= set(rows)
    assert "user + built-in" in rows["gpu"]
    assert "$1.5" in rows["train"]
    assert "c7g.large" not in rows
    assert "t2.micro" in aspot("profiles", "ls", "--all")[1]
    found = json.loads(aspot("profiles", "ls", "--all", "--json")[1])
    assert {item["name"] for item in found} == {"train", *BUILT_IN, *COMMON}


def test_show_says_who_says_so(aspot, mine):
    write(mine, "[default]\nregion = 'eu-west-1'\n[train]\nextends = 'gpu'\nmax_price = 1.5\n")
    code, out, _ = aspot("profiles", "show", "train")
    assert code == 0
    assert out.splitlines()[0] == "train extends gpu"
    where = {line.split()[0]: line.split()[-2:] for line in out.splitlines()[1:]}
    assert where["max_price"] == [f"{mine}:5", "[train]"]
    assert where["region"] == [f"{mine}:2", "[default]"]
    assert where["types"] == ["built-in", "gpu"]
    found = json.loads(aspot("profiles", "show", "train", "--json")[1])
    assert (found["name"], found["extends"], found["options"]["max_price"]) == ("train", "gpu", 1.5)
    assert found["from"]["max_price"] == f"{mine}:5"


def test_show_of_nothing_names_the_nearest(aspot, mine):
    code, _, err = aspot("profiles", "show", "gpuu")
    assert (code, err) == (2, "error: there is no profile 'gpuu'\nfix:   did you mean 'gpu'?\n")


def test_set_writes_and_says_where(aspot, mine):
    write(mine, "# mine\n[train]\ndisk = 20 # GB\n")
    code, out, _ = aspot("profiles", "set", "train", "extends=gpu", "max_price=1.5", "disk=")
    assert code == 0
    assert out.splitlines() == [f"{mine}: [train]", "  extends = gpu", "  max_price = $1.5", "  disk taken away"]
    assert mine.read_text().startswith("# mine\n[train]\n")
    assert aspot("profiles", "set", "trane", "user=me")[1].startswith(f"{mine}: [trane], a new profile\n")
    assert aspot("profiles", "set", "gpu", "user=me")[1].startswith(f"{mine}: [gpu]\n")
    assert aspot("profiles", "set", "train", "user=me", "--project", "-q") == (0, "", "")
    assert Path("aspot.toml").read_text() == '[profiles.train]\nuser = "me"\n'


@pytest.mark.parametrize(
    ("words", "said", "fix"),
    [
        (["extends=gpuu"], "there is no profile 'gpuu'", "'gpu'"),
        (["extends=train"], "train → train", "take one away"),
        (["zones=us-east-1a", "region=eu-west-1"], "us-east-1a is not in eu-west-1", "zones"),
        (["max_prize=1"], "no option 'max_prize'", "'max_price'"),
        (["max_price=free"], "not 'free'", "leave max_price out"),
    ],
)
def test_set_refuses_what_could_not_be_used_and_writes_nothing(words, said, fix, aspot, mine):
    code, _, err = aspot("profiles", "set", "train", *words)
    assert code == 2
    assert said in err
    assert fix in err
    assert not mine.exists()


# --- edit ---


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Return a function that makes an editor of a few lines of shell; `$1` is the file."""

    def make(text, variable="EDITOR"):
        path = Path(write(tmp_path / "my editor", f"#!/bin/sh\n{text}\n"))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(variable, f"'{path}' --wait")

    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    return make


def test_edit_opens_the_file_and_checks_it(aspot, mine, editor):
    editor("printf '[train]\\nmax_price = 1\\n' >\"$2\"")
    code, out, _ = aspot("profiles", "edit")
    assert (code, out) == (0, f"{mine}: every profile works\n")
    editor("echo 'max_prise = 2' >>\"$2\"")
    code, _, err = aspot("profiles", "edit")
    assert code == 2
    assert err.startswith(f"error: {mine}:3: [train] there is no option 'max_prise'")
    editor('printf \'[a]\\nextends = "b"\\n\' >"$2"', "VISUAL")
    assert f"{mine}:2: [a] extends a profile that is not there" in aspot("profiles", "edit")[2]


def test_edit_of_nothing_leaves_nothing(aspot, mine, editor):
    editor('grep -q "aspot profiles show" "$2"')
    assert aspot("profiles", "edit")[:2] == (0, f"{mine}: nothing was written\n")
    assert not mine.exists()
    editor('grep -q "profiles.train" "$2" && echo "[profiles.a]" >>"$2"')
    assert aspot("profiles", "edit", "--project", "-q") == (0, "", "")
    assert Path("aspot.toml").exists()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (None, "neither VISUAL nor EDITOR is set"),
        ("/no/such/editor", "No such file or directory (/no/such/editor)"),
        ("'", "EDITOR cannot be read"),
        ("false", "the editor false ended with exit code 1"),
    ],
)
def test_an_editor_that_does_not_work_is_named(chosen, said, aspot, mine, editor, monkeypatch):
    if chosen:
        monkeypatch.setenv("EDITOR", chosen)
    code, _, err = aspot("profiles", "edit")
    assert code == 2
    assert said in err
    assert "fix:" in err
    assert not mine.exists()


# --- reset ---


def test_reset_from_a_script(aspot, mine):
    write(mine, "# mine\n[default]\nmax_price = 1 # mine\nzones = ['us-east-1a']\n[train]\nzones = ['us-east-1b']\n")
    code, out, err = aspot("profiles", "reset", "--region", "eu-west-1", "--image", "ubuntu-24.04")
    assert code == 0, err
    assert out.splitlines() == [f"{mine}: [default]", "  region = eu-west-1", "  image = ubuntu-24.04"]
    assert "max_price = 1 # mine" in mine.read_text()
    assert f"{mine}:7: [train] keeps its own: zones us-east-1b" in err
    options = json.loads(aspot("profiles", "show", "t3.micro", "--json")[1])["options"]
    assert (options["region"], options["image"], options.get("zones")) == ("eu-west-1", "ubuntu-24.04", None)
    code, out, err = aspot("profiles", "reset", "--yes", "-q")
    assert (code, out) == (0, "")
    assert err == f"{mine}:6: [train] does not work now: zone us-east-1b is not in eu-west-1\n"
    assert 'region = "eu-west-1"' in mine.read_text(), "the usual is what is set already"


@pytest.mark.parametrize(
    ("words", "code", "said", "fix"),
    [
        ((), 2, "no terminal to ask", "--region and --image"),
        (("--region", "eu-west-1"), 2, "no terminal to ask", "--yes"),
        (("--region", "eu-vest-1", "--yes"), 2, "no region 'eu-vest-1'", "'eu-west-1'"),
        (("--region", "cn-north-1", "--yes"), 2, "no region 'cn-north-1'", ""),
        (("--image", "ubunto-24.04", "--yes"), 2, "no image 'ubunto-24.04'", "'ubuntu-24.04'"),
        (("--image", "ami-0123456789", "--yes"), 2, "no image ami-0123456789 in us-east-1", "belongs to one region"),
        (("--image", "/aws/service/no/such", "--yes"), 2, "no SSM parameter /aws/service/no/such", "al2023"),
    ],
)
def test_a_reset_that_cannot_work_changes_nothing(words, code, said, fix, aspot, mine):
    found = aspot("profiles", "reset", *words)
    assert found[0] == code
    assert said in found[2]
    assert fix in found[2]
    assert not mine.exists()


def test_ctrl_c_while_reset_asks_changes_nothing(mine, request):
    asked = OnTerminal("profiles", "reset")
    request.addfinalizer(asked.kill)
    asked.says("Region [us-east-1]: ")
    asked.ctrl_c()
    assert asked.end() == 130
    assert not mine.exists()


def test_reset_without_credentials_says_so(aspot, mine, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, _, err = aspot("profiles", "reset", "--yes")
    assert code == 3
    assert err.startswith("error: there are no AWS credentials\nfix:")


def test_reset_asks_region_and_then_image(mine, request):
    write(mine, "[train]\nmax_price = 2\n")
    asked = OnTerminal("profiles", "reset")
    request.addfinalizer(asked.kill)
    asked.says("Region [us-east-1]: ")
    asked.press("eu-vest-1\r")
    asked.says("There is no region eu-vest-1: did you mean 'eu-west-1'")
    asked.press("eu-west-1\r")
    asked.says("Image [al2023]: ")
    asked.press("2\r")
    assert asked.end() == 0, asked.said
    assert "1 al2023  (usual)" in asked.said
    assert mine.read_text() == '[train]\nmax_price = 2\n\n[default]\nregion = "eu-west-1"\nimage = "ubuntu-24.04"\n'


def test_a_file_that_cannot_be_read_is_named(aspot, mine):
    write(mine, "")
    mine.chmod(0)
    if os.geteuid() == 0:
        mine.unlink()
        mine.mkdir()
    for words in (["ls"], ["show", "gpu"], ["set", "a", "user=me"], ["reset", "--yes"]):
        code, _, err = aspot("profiles", *words)
        assert code == 2
        assert f"{mine} cannot be read" in err
