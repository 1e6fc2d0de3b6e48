"""The cores are shared out between networks that compute side by side."""

from __future__ import annotations

import pytest
import tensorflow as tf

from histogan_tf.machine import device


@pytest.fixture
def threads(monkeypatch):
    """What TensorFlow is told of its threads, by name; TensorFlow itself is left alone, for it has begun."""
    told = {}
    for name in ("intra_op", "inter_op"):
        setter = f"set_{name}_parallelism_threads"
        monkeypatch.setattr(tf.config.threading, setter, lambda count, name=name: told.__setitem__(name, count))
    return told


@pytest.mark.parametrize(("num_cores", "intra_op"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_each_generator_of_cyclegan_gets_its_share_of_the_cores(tiny_config, threads, monkeypatch, num_cores, intra_op):
    monkeypatch.setattr(device, "num_usable_cores", lambda: num_cores)
    device.prepare(tiny_config("--model=cyclegan"))
    assert threads == {"intra_op": intra_op, "inter_op": 2}


@pytest.mark.parametrize("flags", [["--model=dcgan3"], ["--model=cyclegan", "--mode=translate"]])
def test_all_cores_belong_to_one_network(tiny_config, threads, flags):
    device.prepare(tiny_config(*flags))
    assert threads == {}


def test_threads_that_cannot_be_set_any_more_are_told_of(tiny_config, monkeypatch, caplog):
    tf.zeros(1)  # TensorFlow has begun
    monkeypatch.setattr(device, "num_usable_cores", lambda: 6)
    device.prepare(tiny_config("--model=dcgan3"))
    assert "has begun" not in caplog.text
    device.prepare(tiny_config("--model=cyclegan"))
    assert "has begun with a thread on each core for an operation, where this training takes 3 threads" in caplog.text
    caplog.clear()
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 1)
    device.prepare(tiny_config("--model=dcgan3"))
    assert "has begun with one thread for an operation, where this training takes a thread on each core" in caplog.text


@pytest.mark.parametrize(("recorded", "num_cores", "intra_op"), [(4, 2, 4), (1, 2, 1), (2, 2, None)])
def test_a_run_goes_on_with_the_threads_that_it_was_begun_with(
    tiny_config, threads, monkeypatch, recorded, num_cores, intra_op
):
    monkeypatch.setattr(device, "num_usable_cores", lambda: num_cores)
    device.prepare(tiny_config("--model=dcgan3"), {"threads": recorded})
    assert threads == ({} if intra_op is None else {"intra_op": intra_op})


def test_the_bytes_of_a_run_do_not_change_where_it_goes_on_with_the_same_threads(tiny_config, threads, monkeypatch):
    monkeypatch.setattr(device, "num_usable_cores", lambda: 8)
    device.prepare(tiny_config("--model=cyclegan"), {"threads": 4})
    assert threads == {"intra_op": 4, "inter_op": 2}


def test_the_networks_of_a_distributed_run_share_no_cores_when_it_goes_on(tiny_config, threads, monkeypatch):
    config = tiny_config("--model=cyclegan", "--distribution=mirrored", "--num_replicas=2")
    for recorded in (None, {"threads": 4}):
        threads.clear()
        monkeypatch.setattr(device, "num_usable_cores", lambda: 4)
        device.prepare(config, recorded)
        assert threads == {}
