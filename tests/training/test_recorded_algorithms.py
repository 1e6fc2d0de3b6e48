import errno
import json

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.errors import UserError, doing, interrupted_activity
from histogan_tf.models.cpu_kernels import algorithm_timing
from histogan_tf.models.cpu_kernels.algorithm_choice import algorithms_chosen_by
from histogan_tf.models.cpu_kernels.algorithms import ConvolutionShape, estimated_algorithm
from histogan_tf.models.cpu_kernels.convolutions import FastConv2D
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of
from histogan_tf.runs.checkpoints import checkpoint_folders
from histogan_tf.training import jobs
from histogan_tf.training.recorded_algorithms import RecordedAlgorithms, algorithms_of_run

SHAPE = ConvolutionShape(axes_of((7, 7), (4, 4), (5, 5), (2, 2), "SAME"), 64, 256, 512, "float32")
BY_CONVOLUTION = "kernel_gradient_by_convolution"


def _never(shape):
    raise AssertionError(f"{shape} is recorded")


def test_what_is_chosen_once_is_recorded(tmp_path):
    path = tmp_path / "convolutions.json"
    choose = RecordedAlgorithms(path, lambda shape: BY_CONVOLUTION)
    assert choose(SHAPE) == BY_CONVOLUTION
    assert json.loads(path.read_text()) == {str(SHAPE): BY_CONVOLUTION}
    again = RecordedAlgorithms(path, _never)
    assert again(SHAPE) == BY_CONVOLUTION
    with pytest.raises(AssertionError, match="bfloat16 .* is recorded"):
        again(SHAPE._replace(dtype="bfloat16"))


@pytest.mark.parametrize("content", ["{", "1", json.dumps({str(SHAPE): "fast"})])
def test_a_damaged_record_is_an_error(content, tmp_path):
    path = tmp_path / "convolutions.json"
    path.write_text(content)
    with pytest.raises(UserError, match="convolutions.json cannot be read .*--restart"):
        RecordedAlgorithms(path, _never)(SHAPE)
    assert path.read_text() == content


def _called_in_a_step(choose):
    """Calls a convolution as the first step of a training does, while TensorFlow traces it."""
    layer = FastConv2D(4, 3, padding="same")
    step = tf.function(lambda maps: layer(maps, training=True), autograph=False)
    with algorithms_chosen_by(choose), doing("training step 1"):
        step(tf.ones((2, 8, 8, 3)))


def test_an_error_of_the_system_in_a_step_keeps_its_number(tmp_path, monkeypatch):
    def full_disk(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("histogan_tf.runs.files.write_json", full_disk)
    path = tmp_path / "convolutions.json"
    with pytest.raises(OSError, match="No space left") as caught:
        _called_in_a_step(RecordedAlgorithms(path, estimated_algorithm))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert interrupted_activity(caught.value) == "training step 1"


def test_a_damaged_record_is_told_in_a_step_as_elsewhere(tmp_path):
    path = tmp_path / "convolutions.json"
    _called_in_a_step(RecordedAlgorithms(path, estimated_algorithm))
    (name,) = json.loads(path.read_text())
    path.write_text(json.dumps({name: "fast"}))
    with pytest.raises(UserError) as caught:
        _called_in_a_step(RecordedAlgorithms(path, _never))
    assert str(caught.value) == (
        f"{path} cannot be read ('fast' is no algorithm for {name}): put a good copy in its place, or --restart"
    )


def test_a_run_without_a_record_goes_on_by_estimate(tiny_config, tmp_path):
    assert algorithms_of_run(tiny_config(), tmp_path, 5) is estimated_algorithm
    assert isinstance(algorithms_of_run(tiny_config(), tmp_path, 0), RecordedAlgorithms)
    (tmp_path / "convolutions.json").write_text("{}")
    assert isinstance(algorithms_of_run(tiny_config(), tmp_path, 5), RecordedAlgorithms)
    for flag in ("--distribution=mirrored", "--jit_compile"):
        assert algorithms_of_run(tiny_config(flag), tmp_path, 0) is estimated_algorithm


def test_a_run_goes_on_with_its_own_algorithms(tiny_config, tmp_path, monkeypatch):
    """And ends in the same bytes, even if measurements have changed their mind."""
    monkeypatch.setattr(algorithm_timing, "_LEAST_MULTIPLICATIONS", 0)

    def train(folder, fastest, *flags):
        cache = tmp_path / f"cache_{fastest}_{folder}_{len(flags)}"
        monkeypatch.setenv("HISTOGAN_CACHE", str(cache))
        monkeypatch.setattr(
            algorithm_timing, "time_algorithms", lambda _, names: {name: 2.0 - (name == fastest) for name in names}
        )
        config = tiny_config("--model=dcgan1", "--batch_size=14", f"--run={folder}", *flags)
        jobs.train_dcgan(config)
        return tmp_path / folder

    whole = train("whole", BY_CONVOLUTION, "--max_steps=3", "--epoch=9")
    train("stopped", BY_CONVOLUTION, "--max_steps=1", "--epoch=9")
    stopped = train("stopped", "plain", "--max_steps=3", "--epoch=9")
    records = [json.loads((folder / "convolutions.json").read_text()) for folder in (whole, stopped)]
    assert records[0] == records[1]
    assert BY_CONVOLUTION in records[0].values()
    whole_state, stopped_state = (
        tf.train.load_checkpoint(str(checkpoint_folders(folder / "ckpt")[-1] / "state")) for folder in (whole, stopped)
    )
    names = [
        name for name in whole_state.get_variable_to_shape_map() if name.startswith(("generator", "discriminator"))
    ]
    assert names
    for name in names:
        np.testing.assert_array_equal(whole_state.get_tensor(name), stopped_state.get_tensor(name), err_msg=name)
