"""The notebook's table: its HTML, and that a real kernel updates one output in place."""

import importlib.util
from pathlib import Path

import pytest

from aspot.machine.model import JobStatus
from aspot.ui.notebook import NotebookView, page

CELL = """
import importlib.util, anyio
from aspot.machine import news as nw
from aspot.ui.show import viewer
spec = importlib.util.spec_from_file_location("scenes", {conftest!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
scenes = module.Scenes()
current = scenes.run()
async def news():
    global current
    await anyio.sleep(0.2)
    yield scenes.told(nw.Warned, message="<b>careful</b>")
    yield scenes.told(nw.LogLine, line="<i>epoch 1</i>")
    current = scenes.run([scenes.job("<script>", status=module.JobStatus.QUEUED)])
    await anyio.sleep(0.2)
await viewer(None, logs=True).watch(news(), lambda: current)
"""


def test_page_is_escaped(scenes):
    jobs = [scenes.job(f"{number}{raw}", status=JobStatus.QUEUED) for number, raw in enumerate(scenes.hostile)]
    text = page(scenes.run(jobs, spec={"name": "<b>x</b>"}), scenes.at(61), lines=("<script>alert(1)</script>",))
    assert "<script" not in text
    assert text.startswith("<b>&lt;b&gt;x&lt;/b&gt;  0/15 done, 15 waiting")
    assert text.endswith("<pre>&lt;script&gt;alert(1)&lt;/script&gt;</pre>")
    assert all(character.isprintable() for character in text)


def test_page_is_the_live_view_as_a_table(scenes):
    text = page(scenes.study(), scenes.at(73))
    assert text.count("<tr>") == 9
    assert ">moving: 97 s, saved 4 MB</td>" in text


def test_long_runs_are_cut(scenes):
    jobs = [scenes.job(f"j{number}", status=JobStatus.QUEUED) for number in range(100)]
    text = page(scenes.run(jobs), scenes.at(61))
    assert text.count("<tr>") == 40
    assert "… and 61 more: 61 waiting" in text


def test_no_jobs_have_no_table(scenes):
    assert page(scenes.run(), scenes.at(61)) == "<b>lr-study  no jobs yet, $0.00 now, $0.00/h</b>"


def test_output_is_only_kept_where_it_is_wanted(scenes):
    from aspot.machine import news as nw

    view = NotebookView()
    view.take(scenes.told(nw.LogLine))
    assert not view._output


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.skipif(not importlib.util.find_spec("nbclient"), reason="needs nbclient and ipykernel (group docs)")
def test_a_real_kernel_updates_one_output_in_place(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    source = CELL.format(conftest=str(Path(__file__).with_name("conftest.py")))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(book, timeout=60, kernel_name="python3").execute()
    outputs = book.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data"]
    text = outputs[0].data["text/html"]
    assert "0/1 done, 1 waiting" in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;careful&lt;/b&gt;" in text
    assert "train | &lt;i&gt;epoch 1&lt;/i&gt;" in text
