"""A box over the cells of a real notebook: a kernel of its own, top-level await, a cell that is interrupted."""

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    'from aspot import Instance\nbox = await Instance("dev", profile="t2.micro").start()',
    'await box.upload("train.py")\n(await box.run("ls")).stdout',
    '(await box.run_script("train.py", 3, stream=True)).exit_code',
    'await box.run("exit 3", check=True)',
    '(await box.run("echo still here", check=True)).stdout',
    "(box.state, round(box.cost, 2), box.cores > 0)",
    "await box.terminate()\nbox",
]


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the kernel's client, not ours
def test_a_box_works_over_several_cells(cloud, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    (tmp_path / "here" / "train.py").write_text("import sys\nprint('epoch', sys.argv[1])\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path / "here")}})
    client.allow_errors = True
    client.execute()
    told = [_text(cell) for cell in notebook.cells]
    assert "ends itself after 2 h without use" in told[0]
    assert "train.py" in told[1]
    assert told[2] == "epoch 3\n0"  # below the cell that asked for it
    assert "CommandFailed" in told[3]  # an error in a cell leaves the box as it is
    assert "still here" in told[4]
    assert "'ssh-ready', 0.0, True" in told[5]
    assert "Nothing left (checked)" in told[6]
    assert "terminated" in told[6]


def _text(cell):
    parts = []
    for output in cell.outputs:
        parts.append(output.get("text", "") or output.get("ename", ""))
        parts += [str(value) for key, value in output.get("data", {}).items() if key == "text/plain"]
    return "".join(parts)
