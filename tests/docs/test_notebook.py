"""The notebook of the docs is executed, cell by cell, in a kernel of its own, against a local cloud of its own."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the kernel's client, not ours
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("ASPOT_LOCAL_DIR", str(tmp_path / "cloud"))
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, results, rows, _, stdout, end, _ = (_text(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert "2 succeeded" in results
    assert "0.99" in rows  # each job's own JSON
    assert "hello from" in stdout
    assert "1 succeeded" in end
    assert "Nothing left (checked)." in end


def _text(cell):
    parts = []
    for output in cell.outputs:
        parts.append(output.get("text", ""))
        parts += [str(value) for key, value in output.get("data", {}).items() if key.startswith("text/")]
    return "\n".join(parts)
