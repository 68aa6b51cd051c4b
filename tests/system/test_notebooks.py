"""Each task has a notebook, and each notebook runs in a kernel of its own, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tutelage.task import task_names

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("examples/notebooks/*.ipynb"))


def test_each_task_has_one() -> None:
    assert {notebook.stem for notebook in NOTEBOOKS} == set(task_names())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells), "stored with outputs: clear them"
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    assert all(cell.execution_count for cell in cells)
    told = [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"]
    assert not any("Traceback" in output.text for output in told)
