"""The notebook runs from top to bottom, with the model and the photo that its readers see."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.weights
def test_the_notebook_runs(mobile_sam):
    notebook = nbformat.read(ROOT / "examples" / "refine.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}})
    client.execute()
    texts = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "image/png" in str(output)]
    assert len(pictures) == 3
    assert sum(text.count("refined  0.") for text in texts) == 2
