"""The notebook runs from its first cell to its last, and training in a notebook can be interrupted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import nbclient
import nbformat
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel

import histogan_tf as hg
from histogan_tf.config import Config

REPOSITORY = Path(__file__).parents[1]
NOTEBOOK = REPOSITORY / "examples" / "notebook.ipynb"
# In the place of the notebook's first cell of code, whose names these are.
TINY = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
DATA = {"phantom_images": 96, "output_height": 16}
STEPS = 2
PATCHES_PER_LABEL = 16
CLASSIFIER = {"weights": "random", "classifier_size": 32}
RUNS = "runs"
"""


@pytest.fixture(autouse=True)
def _kernels_import_this_checkout(monkeypatch):
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def names_set(source: str) -> set[str]:
    return {line.split(" = ")[0] for line in source.splitlines() if line.split(" = ")[0].isupper()}


def texts(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def num_pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def test_it_is_kept_without_outputs():
    cells = code_cells(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert [cell.execution_count for cell in cells] == [None] * len(cells)
    assert names_set(cells[0].source) == names_set(TINY)


def test_runs_of_the_notebook_in_examples_lie_where_commands_look_for_them(tmp_path: Path, monkeypatch):
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path / "examples")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # the cell sets it if it is not set, which would outlast the test
    names: dict[str, object] = {}
    for _ in range(2):  # a cell may be run again
        exec(code_cells(nbformat.read(NOTEBOOK, as_version=4))[0].source, names)
        assert Path.cwd() == tmp_path
    assert Config().checkpoint_dir == names["RUNS"]


@pytest.mark.slow
def test_it_runs_from_images_to_scores(tmp_path: Path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = code_cells(notebook)
    cells[0].source = TINY
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    _, loading, reals, training, losses, patches, scores, classifiers, best = cells
    assert "<ImageSet phantom: 96 images (48 non-idc, 48 idc), 16x16x3>" in texts(loading)
    assert "2/2" in texts(training), "no progress bar"
    assert "dcgan1 (generator), step 2, images 16x16x3" in texts(training)
    assert [num_pictures(cell) for cell in (reals, losses, patches, best)] == [1, 1, 1, 1]
    assert "kid-random-n32" in texts(scores) and "checkerboard-2px" in texts(scores)
    assert texts(classifiers).count("notebook-both") == 3
    runs = tmp_path / "runs"
    gan, both = hg.load_run("notebook-gan", checkpoint_dir=runs), hg.load_run(runs / "notebook-both")
    assert (gan.step, both.config["train_on"]) == (2, "both")
    assert f"{both.scores['metrics']['recall']['value']:.3f}" in texts(classifiers)


@pytest.mark.slow
def test_the_stop_button_saves_a_checkpoint(tmp_path: Path):
    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        cell = """
import histogan_tf as hg
images = hg.load_images(phantom_images=96, output_height=16)
hg.train(images, model="dcgan1", gf_dim=2, df_dim=2, batch_size=4, max_steps=100_000, epoch=100_000, run="stopped")
"""
        client.execute(cell)
        run = tmp_path / "checkpoints" / "stopped"
        wait_for_losses(manager, run / "metrics.jsonl")
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=120)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    stopped = hg.load_run(run)
    assert 0 < stopped.step < 100_000
    assert stopped.metrics["step"].tolist() == list(range(1, stopped.step + 1))


def wait_for_losses(manager: KernelManager, path: Path) -> None:
    """Waits until the kernel has logged the losses of some steps."""
    deadline = time.monotonic() + 300
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline and manager.is_alive(), "the kernel trains nothing"
        time.sleep(0.2)
