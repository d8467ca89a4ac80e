"""Lines of keys, against documents whose lines are known because they were put together line by line."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from aspot.profiles.toml_lines import line_of, lines_of

VALUES = (
    "1",
    '"plain"',
    '"a \\" b # no comment [ ] { } ="',
    "'literal \\'",
    '"""one\n[not.a.table]\nkey = 1\n\\""" still\n"""',
    '"""ends with a quote""""',
    "'''\n# text\n'''",
    '[\n  "a", # [\n  "]",\n]',
    "[[1,\n2], [3]]",
    '{ x = 1, y = "}" }',
    '""',
    "1979-05-27",
)
KEYS = st.sampled_from(["a", "b-c", '"c7g.large"', "'d e'", 'x."y.z"', "m . n"])
LINES = st.one_of(
    st.sampled_from(["", "# comment [x]", "   ", "\t# y = 1"]),
    st.tuples(KEYS, st.sampled_from(VALUES), st.sampled_from(["", "  # why = [", " "])),
)


@given(
    st.lists(st.tuples(st.sampled_from(["t", '"u.v"', "w.x"]), st.lists(LINES)), max_size=3, unique_by=lambda t: t[0])
)
def test_each_key_is_found_on_its_line(tables):
    text, wanted = "", {}
    for name, lines in tables:
        table = _path(name)
        wanted[table] = text.count("\n") + 1
        text += f"  [{name}]  # [z]\n"
        seen = set()
        for line in lines:
            if isinstance(line, str):
                text += line + "\n"
                continue
            key, value, after = line
            if _path(key) in seen:
                continue
            seen.add(_path(key))
            wanted[table + _path(key)] = text.count("\n") + 1
            text += f"{key} = {value}{after}\n"
    tomllib.loads(text)
    found = lines_of(text)
    assert {path: found[path] for path in wanted} == wanted
    assert lines_of(text.rstrip("\n")).keys() == found.keys()


def _path(key):
    data, path = tomllib.loads(f"{key} = 1"), ()
    while isinstance(data, dict):
        (name,) = data
        path, data = (*path, name), data[name]
    return path


def test_what_has_no_line_of_its_own_has_that_of_what_holds_it():
    lines = lines_of("\n\ngpu = { types = 3 }\n[[many]]\nx = 1\n[[many]]\nx = 2\n")
    assert line_of(lines, ("gpu", "types")) == 3
    assert line_of(lines, ("nothing",)) == 1
    assert lines["many",] == 6
