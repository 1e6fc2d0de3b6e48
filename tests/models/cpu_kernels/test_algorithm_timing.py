import json

import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels import algorithm_timing
from histogan_tf.models.cpu_kernels.algorithm_timing import MeasuredAlgorithms, cache_folder, time_algorithms
from histogan_tf.models.cpu_kernels.algorithms import ConvolutionShape
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of

SHAPE = ConvolutionShape(axes_of((7, 7), (4, 4), (5, 5), (2, 2), "SAME"), 64, 256, 512, "float32")
SMALL = SHAPE._replace(channels=3, filters=3)


@pytest.fixture
def times(monkeypatch):
    """The times that algorithms seem to take, and the shapes that were measured."""
    seeming, measured = {"plain": 9.0, "winograd_4": 9.0, "winograd_2": 9.0}, []

    def time_algorithms(shape, algorithms):
        measured.append(shape)
        return {algorithm: seeming.get(algorithm, 9.0) for algorithm in algorithms}

    monkeypatch.setattr(algorithm_timing, "time_algorithms", time_algorithms)
    return seeming, measured


def test_convolutions_and_both_gradients_are_timed_while_a_step_is_traced(monkeypatch):
    graphs = []
    of_run = algorithm_timing._run_of
    monkeypatch.setattr(algorithm_timing, "_run_of", lambda *args: graphs.append(args[0]) or of_run(*args))
    shape = SHAPE._replace(num_images=16, channels=32, filters=32)
    monkeypatch.setattr(algorithm_timing, "_LEAST_MULTIPLICATIONS", 0)
    found = {}

    @tf.function
    def step(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            result = value * value
            found.update(MeasuredAlgorithms(cache_folder() / "traced")._measure(shape))
        return tape.gradient(result, value)

    assert step(tf.constant(3.0)) == 6.0
    assert set(found["milliseconds"]) == set(graphs) >= {"plain", "kernel_gradient_by_convolution"}
    assert min(found["milliseconds"].values()) > 0
    assert not any(
        "Conv2D" in node.type for node in step.get_concrete_function(tf.constant(3.0)).graph.get_operations()
    )


def test_an_algorithm_that_cannot_be_the_fastest_is_measured_once(monkeypatch):
    calls, clock = [], [0.0]
    costs = {"plain": 0.1, "winograd_4": 0.02, "winograd_2": 0.025, "winograd_3": 0.032}

    def run_of(algorithm, shape, tensors):
        def run():
            calls.append(algorithm)
            clock[0] += costs[algorithm]

        return run

    monkeypatch.setattr(algorithm_timing, "_run_of", run_of)
    monkeypatch.setattr(algorithm_timing.time, "process_time", lambda: clock[0])
    times = time_algorithms(SHAPE, list(costs))
    assert times == pytest.approx({name: 1000 * cost for name, cost in costs.items()})
    # Each runs once more before, to be compiled.
    assert [calls.count(name) - 1 for name in costs] == [1, 5, 5, 2]


def test_the_fastest_is_taken_if_it_is_clearly_faster(times, tmp_path):
    seeming, measured = times
    seeming["winograd_2"] = 8.5
    assert MeasuredAlgorithms(tmp_path / "a")(SHAPE) == "winograd_4"  # the estimate
    seeming["winograd_2"] = 5.0
    assert MeasuredAlgorithms(tmp_path / "b")(SHAPE) == "winograd_2"
    assert measured == [SHAPE, SHAPE]


def test_a_shape_is_measured_once_on_a_processor(times, tmp_path, monkeypatch, caplog):
    seeming, measured = times
    seeming["plain"] = 5.0
    choose = MeasuredAlgorithms(tmp_path)
    assert [choose(SHAPE), choose(SHAPE), MeasuredAlgorithms(tmp_path)(SHAPE)] == ["plain"] * 3
    assert choose(SHAPE._replace(num_images=32)) == "plain"
    assert len(measured) == 2
    assert caplog.text.count("measuring which convolutions are fastest") == 1
    (path,) = tmp_path.glob("*.json")
    kept = json.loads(path.read_text())
    assert kept["convolutions"][str(SHAPE)]["milliseconds"]["plain"] == 5.0
    assert kept["machine"]["threads"] > 0
    monkeypatch.setattr(algorithm_timing, "processor_name", lambda: "another")
    MeasuredAlgorithms(tmp_path)(SHAPE)
    assert len(measured) == 3


def test_large_maps_are_measured_on_fewer_images(times, tmp_path):
    _, measured = times
    large = ConvolutionShape(axes_of((50, 50), (50, 50), (5, 5), (1, 1), "SAME"), 64, 64, 32, "float32")
    MeasuredAlgorithms(tmp_path)(large)
    assert measured == [large._replace(num_images=14)]
    (path,) = tmp_path.glob("*.json")
    assert list(json.loads(path.read_text())["convolutions"]) == [str(large)]


def test_small_convolutions_are_estimated(times, tmp_path):
    _, measured = times
    assert MeasuredAlgorithms(tmp_path)(SMALL) == "plain"
    assert not measured
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[]", '{"convolutions": 1}', '{"convolutions": {"a": 1}}'])
def test_a_damaged_file_is_measured_again(content, times, tmp_path, caplog):
    MeasuredAlgorithms(tmp_path)(SHAPE)
    (path,) = tmp_path.glob("*.json")
    path.write_text(content)
    assert MeasuredAlgorithms(tmp_path)(SHAPE) == "winograd_4"
    assert "is damaged" in caplog.text
    assert str(SHAPE) in json.loads(path.read_text())["convolutions"]


def test_an_algorithm_that_is_not_known_is_measured_again(times, tmp_path):
    _, measured = times
    MeasuredAlgorithms(tmp_path)(SHAPE)
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text().replace('"winograd_4"', '"winograd_99"'))
    assert MeasuredAlgorithms(tmp_path)(SHAPE) == "winograd_4"
    assert len(measured) == 2


def test_where_nothing_can_be_kept_algorithms_are_estimated(times, tmp_path, caplog):
    seeming, measured = times
    seeming["plain"] = 5.0
    (tmp_path / "taken").write_text("a file")
    choose = MeasuredAlgorithms(tmp_path / "taken")
    assert [choose(SHAPE), choose(SHAPE)] == ["winograd_4"] * 2
    assert not measured
    assert caplog.text.count("cannot be written") == 1


def test_the_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("HISTOGAN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HISTOGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "histogan_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "histogan_tf"
