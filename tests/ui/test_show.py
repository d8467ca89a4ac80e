import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from aspot.machine import news as nw
from aspot.ui.show import SilentView, in_notebook, on_terminal, viewer


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that puts a terminal at standard error: pytest's capture sets its own before each test."""
    main, side = os.openpty()
    with open(side, "w", encoding="utf-8", closefd=False) as stream:

        def use(term="xterm"):
            monkeypatch.setattr(sys, "stderr", stream)
            monkeypatch.setenv("TERM", term)

        yield use
    os.close(main)
    os.close(side)


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))


def kind(*args, **options):
    return type(viewer(*args, **options)).__name__


def test_a_pipe_gets_plain_lines_only_when_asked():
    assert kind(True) == "PlainView"
    assert kind(None) == "SilentView"


def test_a_terminal_gets_the_live_view(terminal):
    terminal()
    assert kind(None) == kind(True) == "LiveView"
    assert kind(False) == kind(True, quiet=True) == "SilentView"
    assert kind(None, json=True) == "NdjsonView"


def test_who_wants_output(terminal):
    terminal()
    assert viewer(None).wants_logs
    assert viewer(None, json=True).wants_logs
    assert not viewer(False).wants_logs
    terminal("dumb")
    assert [viewer(True, logs=logs).wants_logs for logs in (False, True)] == [False, True]


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_without_a_cursor_gets_plain_lines(terminal, term):
    terminal(term)
    assert not on_terminal()
    assert kind(True) == "PlainView"


@pytest.mark.usefixtures("kernel")
def test_a_notebook_gets_its_table():
    assert in_notebook()
    assert kind(None) == "NotebookView"


def test_ipython_on_a_terminal_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


async def test_the_silent_view_takes_all_news(scenes):
    taken = []

    async def news():
        for number in range(3):
            taken.append(number)
            yield scenes.told(nw.Warned)

    await SilentView().watch(news(), scenes.run)
    assert taken == [0, 1, 2]


def test_choosing_imports_neither_rich_nor_ipython():
    program = (
        "import sys, aspot.ui.show as s; s.viewer(None); sys.exit(any(m in sys.modules for m in ('rich', 'IPython')))"
    )
    assert subprocess.run([sys.executable, "-c", program], stderr=subprocess.DEVNULL, check=False).returncode == 0
