"""Contenders in processes of their own, from set-up to results."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.children import Child, ContenderFailed
from benchmarks.measuring import Measure, child_of, measure
from benchmarks.start import heavy_imports
from benchmarks.workloads import CLASSIFIER_BATCH, WORKLOADS, Contender, Workload
from histogan_tf.models import inference


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def how(tmp_path, lines) -> Measure:
    return Measure(block_seconds=0.1, num_rounds=2, log=tmp_path / "log.txt", tell=lines.append)


@pytest.mark.slow
def test_a_workload_is_checked_and_timed(how, lines):
    plain = Contender("plain", "float32", "sift:PlainClustering", {"num_images": 30}, 30, is_whole=True)
    ours = Contender("ours", "float32", "sift:ParallelClustering", {"num_images": 30, "num_workers": 1}, 30)
    broken = Contender("broken", "float32", "sift:PlainClustering", {"images": 30})
    missing = Contender("missing", "float32", "sift:PlainClustering", {}, needs="no-such-package")
    result = measure(Workload("toy", "Toy", "image", [ours, plain, broken, missing]), how)
    rows = {row.name: row for row in result.contenders}
    assert rows["plain"].blocks.num_calls == 1 and rows["ours"].blocks.num_calls >= 2
    assert all(len(rows[name].blocks.seconds) == 2 for name in ("ours", "plain"))
    assert rows["plain"].difference < 1e-4
    assert 20 < rows["plain"].peak_megabytes < 2000
    assert "TypeError" in rows["broken"].failure and rows["broken"].blocks is None
    assert rows["missing"].failure == "no-such-package is not installed (pip install '.[bench]')"
    assert [line for line in lines if line.startswith("round")][1].startswith("round 1/2  plain, float32: ")


def test_without_the_leader_there_is_nothing_to_measure(how):
    leader = Contender("ours", "float32", "sift:ParallelClustering", {})
    with pytest.raises(ContenderFailed, match="ours, float32: TypeError"):
        measure(Workload("toy", "Toy", "image", [leader]), how)


def test_who_does_other_work_is_left_out(how, lines):
    ours = Contender("ours", "float32", "sift:ParallelClustering", {"num_images": 30, "num_workers": 1}, 30)
    other = Contender("other", "float32", "sift:PlainClustering", {"num_images": 40}, 40, is_whole=True)
    result = measure(Workload("toy", "Toy", "image", [ours, other]), how)
    assert result.contenders[0].blocks and not result.contenders[1].blocks
    assert "does not do the same work" in result.contenders[1].failure
    assert any(line.startswith("other, float32 failed: ") for line in lines)


def test_a_process_that_dies_is_told_from_one_that_works(how):
    with child_of("collections:Counter", {"a": 2, "b": 1}, how.log) as child:
        assert child.ask("most_common", 1) == [("a", 2)]
        with pytest.raises(ContenderFailed, match="TypeError"):
            child.ask("most_common", 1, 2)
        assert child.ask("total") == 3
    with pytest.raises(ContenderFailed, match="its process ended with code 3"):
        Child("os:_exit", {"status": 3}, how.log)


def test_every_factory_is_there():
    names = {
        contender.factory
        for make in WORKLOADS.values()
        for contender in make(["float32", "bfloat16"], True).contenders
        if contender.needs is None
    }
    for module, _, name in (factory.partition(":") for factory in names):
        assert hasattr(importlib.import_module(f"benchmarks.contenders.{module}"), name)


def test_the_classifiers_batch_is_the_programs():
    assert CLASSIFIER_BATCH == inference.INFERENCE_BATCH


def test_help_imports_nothing_heavy():
    assert heavy_imports() == []
