"""A smoke test of benchmarks/, whose own tests are run by `make test-benchmarks`."""

from __future__ import annotations

import ast
import importlib.util
import math
from pathlib import Path

import pytest
import tensorflow as tf

from benchmarks.contenders.ours import OurDCGAN
from benchmarks.workloads import WORKLOADS

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_all_that_the_benchmarks_import_of_the_program_is_there():
    """Read from the source, for the contenders in PyTorch can be imported only where it is installed."""
    wanted = {
        (node.module, alias.name)
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "histogan_tf"
        for alias in node.names
    }
    assert len(wanted) > 30
    assert [name for name in sorted(wanted) if not is_there(*name)] == []


def is_there(module: str, name: str) -> bool:
    """Whether `from module import name` works: the name of something in the module, or of a module below it."""
    found = importlib.import_module(module)
    is_module = hasattr(found, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None
    return hasattr(found, name) or is_module


def test_our_contender_makes_a_step(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)  # it could not be undone
    ours = OurDCGAN(**WORKLOADS["dcgan1"](["float32"], True).contenders[0].arguments)
    (losses,) = ours.check(ours.material())
    assert losses.keys() == {"d_loss", "d_loss_real", "d_loss_fake", "g_loss"}
    assert losses["d_loss"] == pytest.approx(losses["d_loss_real"] + losses["d_loss_fake"], rel=1e-5)
    assert all(math.isfinite(loss) for loss in losses.values())
    assert ours.flops() > 1_000_000
