"""Changes by command: what was not meant stays to the letter, and nothing broken is written."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.errors import ConfigError
from aspot.profiles.edit import change, values_of
from aspot.profiles.read import read

TEXT = """\
# Mine.

[train] # the big one
# bids are for others
max_price = 2   # not more
types = [
  "g5.xlarge",  # A10G
]

# for the notebook
[dev]
user = 'me'
"""


def put(path, source, name, **values):
    change(path, source, name, values, check=list)


def test_comments_order_and_layout_stay(user):
    path = user(TEXT)
    put(path, "user", "train", max_price=1.5, region="eu-west-1")
    wanted = TEXT.replace("max_price = 2 ", "max_price = 1.5 ").replace(
        "]\n\n# for", ']\nregion = "eu-west-1"\n\n# for'
    )
    assert path.read_text() == wanted
    put(path, "user", "train", region=None, nothing=None)
    put(path, "user", "train", max_price=2)
    assert path.read_text() == TEXT


def test_a_table_in_one_line_and_one_that_another_follows_are_changed_too(user, project):
    path = user('gpu = { user = "me" } # short\n')
    put(path, "user", "gpu", max_price=1)
    assert read(path, "user")[0].options == {"user": "me", "max_price": 1.0}
    assert path.read_text().endswith("} # short\n")
    path = project('[profiles.a]\nuser = "me"\n[profiles.b]\nuser = "b"\n')
    put(path, "project", "a", disk="9 GB")
    assert path.read_text() == '[profiles.a]\nuser = "me"\ndisk = "9 GB"\n[profiles.b]\nuser = "b"\n'


def test_a_new_profile_in_a_new_file_in_a_new_folder(user, tmp_path):
    path = tmp_path / "deep" / "er" / "profiles.toml"
    put(path, "user", "train", extends="gpu", types=["g5.xlarge"])
    put(path, "user", "c7g.large", max_price=0.5)
    assert path.read_text() == '[train]\nextends = "gpu"\ntypes = ["g5.xlarge"]\n\n["c7g.large"]\nmax_price = 0.5\n'
    assert [entry.name for entry in read(path, "user")] == ["train", "c7g.large"]
    assert [item.name for item in path.parent.iterdir()] == ["profiles.toml"]


def test_a_project_s_profile(project):
    path = project("# ours\n")
    put(path, "project", "train", max_price=1)
    put(path, "project", "gpu", max_price=2)
    assert path.read_text().startswith("# ours\n")
    assert {entry.name: entry.options for entry in read(path, "project")} == {
        "train": {"max_price": 1.0},
        "gpu": {"max_price": 2.0},
    }


@pytest.mark.parametrize(
    ("text", "name", "values", "words"),
    [
        ("[a]\nuser = \n", "a", {"user": "me"}, "profiles.toml:2: invalid value"),
        ("[a]\ndisk = 'x'\n", "b", {"user": "me"}, "profiles.toml:2: "),
        ("a = 3\n", "a", {"user": "me"}, "profiles.toml:1: 'a' stands outside of a profile"),
        ("[a]\n", "a b", {"user": "me"}, "'a b' cannot name a profile"),
        ("[a]\n", "a", {"max_price": -1}, "max_price"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(text, name, values, words, user):
    path = user(text)
    with pytest.raises(ConfigError, match=words):
        put(path, "user", name, **values)
    assert path.read_text() == text


def test_what_is_refused_is_not_written(user):
    path = user(TEXT)

    def refuse(entries):
        raise ConfigError(f"{len(entries)} profiles")

    with pytest.raises(ConfigError, match="3 profiles"):
        change(path, "user", "new", {"user": "me"}, check=refuse)
    assert path.read_text() == TEXT


def test_a_wrong_value_is_mended_by_setting_it(user):
    path = user("[a]\ndisk = 'big' # GB\n")
    put(path, "user", "a", disk="30 GB")
    assert path.read_text() == '[a]\ndisk = "30 GB" # GB\n'


def test_links_and_rights_of_the_file_stay(user, tmp_path):
    path = user("")
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    real.chmod(0o600)
    path.unlink()
    path.symlink_to(real)
    put(path, "user", "a", user="me")
    assert path.is_symlink()
    assert real.read_text() == '[a]\nuser = "me"\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


LINES = {
    "user": 'user = "me"  # why',
    "disk": "disk = 20",
    "types": "types = [  # several\n  'c7g.large',\n]",
    "setup": 'setup = """\n# not a comment\n[not.a.table]\n"""',
    "max_price": "  max_price = 0.5",
}
BETWEEN = st.sampled_from(["", "", "# a comment", "  # [x]", "\t"])
BODY = st.permutations(sorted(LINES)).flatmap(lambda keys: st.integers(0, 5).map(lambda count: keys[:count]))
NEW = {
    "user": "you",
    "disk": "9 GB",
    "types": ["m5.large", "c5.large"],
    "region": "eu-west-1",
    "max_price": None,
    "setup": None,
}


@given(st.data())
def test_whatever_the_file_looks_like_only_what_was_meant_changes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("edit") / "profiles.toml"
    text = ""
    for name in ("first", "train", "last"):
        keys = data.draw(BODY)
        text += "".join(
            f"{line}\n" for line in [f"[{name}]", *(LINES[key] + "\n" + data.draw(BETWEEN) for key in keys)]
        )
    path.write_text(text)
    before = {entry.name: entry.options for entry in read(path, "user")}
    key = data.draw(st.sampled_from(sorted(NEW)))
    put(path, "user", "train", **{key: NEW[key]})
    after = {entry.name: entry.options for entry in read(path, "user")}
    wanted = {name: value for name, value in before["train"].items() if name != key}
    assert (after["first"], after["last"]) == (before["first"], before["last"])
    assert {name: value for name, value in after["train"].items() if name != key} == wanted
    assert (key in after["train"]) == (NEW[key] is not None)
    comments = [line for line in text.splitlines() if line.strip().startswith("#")]
    kept = [line for line in path.read_text().splitlines() if line.strip().startswith("#")]
    lost = ["# not a comment"] if key == "setup" and "setup" in before["train"] else []
    assert sorted(kept + lost) == sorted(comments)


def test_windows_line_ends_stay(user):
    path = user("")
    path.write_bytes(b"[a]\r\nuser = 'me' # x\r\n\r\n[b]\r\n")
    put(path, "user", "a", user="you")
    assert path.read_bytes() == b'[a]\r\nuser = "you" # x\r\n\r\n[b]\r\n'


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written: (Not a directory|File exists)"):
        put(tmp_path / "file" / "profiles.toml", "user", "a", user="me")


def test_changes_at_once_are_all_kept(user):
    path = user("")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: put(path, "user", f"p{number}", user=f"u{number}"), range(24)))
    assert {entry.name for entry in read(path, "user")} == {f"p{number}" for number in range(24)}


def test_words_become_values(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.sh").write_text("true\n")
    words = ["types=c7g.large, m7g.large", "max-price=$0.5", "disk=20 GB", "user=", "zones=us-east-1a", "setup=s.sh"]
    rules = ["firewall=10.0.0.0/8,tcp:8888:203.0.113.7/32"]
    assert values_of(words + rules, folder=tmp_path / "config") == {
        "types": ["c7g.large", "m7g.large"],
        "max_price": 0.5,
        "disk": "20 GB",
        "user": None,
        "zones": ["us-east-1a"],
        "setup": str(tmp_path / "s.sh"),
        "firewall": ["10.0.0.0/8", ["tcp", 8888, "203.0.113.7/32"]],
    }


def test_a_script_beside_the_file_is_named_from_there(tmp_path, monkeypatch):
    below = tmp_path / "below"
    below.mkdir()
    (below / "s.sh").write_text("true\n")
    monkeypatch.chdir(below)
    assert values_of(["setup=s.sh"], folder=tmp_path) == {"setup": "below/s.sh"}
    assert values_of(["setup=s.sh"], folder=tmp_path / "config") == {"setup": str(below / "s.sh")}


@pytest.mark.parametrize(
    ("word", "words", "fix"),
    [
        ("user", "'user' is not KEY=VALUE", "user=VALUE"),
        ("usr=me", "no option 'usr'", "'user'"),
        ("max_price=cheap", "max_price", "leave max_price out"),
        ("types=c7", "'c7' is not an instance type", "c7i.large"),
        ("setup=none.sh", "setup: no such file: none.sh", "name a shell script"),
        ("firewall=me", "firewall", "203.0.113.7/32"),
        ("market=bid", "market", "leave market out"),
    ],
)
def test_a_word_that_cannot_work_is_refused(word, words, fix, tmp_path):
    with pytest.raises(ConfigError) as caught:
        values_of([word], folder=tmp_path)
    assert words in str(caught.value)
    assert fix in caught.value.fix
