"""What is chosen for a GPU, and for none: the precision of --precision=mixed, and whether XLA compiles a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.machine import device, gpu, replicas
from histogan_tf.machine.gpu import compiles_with_xla, mixed_precision
from histogan_tf.runs.run_directory import recorded_precision


@pytest.mark.parametrize(
    ("capabilities", "cpu_has_bfloat16", "precision"),
    [
        ([(6, 1)], True, "float32"),  # Pascal
        ([(7, 0)], True, "float16"),  # Volta
        ([(7, 5)], False, "float16"),  # Turing
        ([(8, 0)], False, "bfloat16"),  # Ampere
        ([(9, 0)], False, "bfloat16"),  # Hopper
        ([(12, 0)], False, "bfloat16"),  # Blackwell
        ([(9, 0), (7, 5)], False, "float16"),  # all GPUs take part, so the oldest decides
        ([(0, 0)], True, "float32"),  # tells none
        ([], True, "bfloat16"),
        ([], False, "float32"),
    ],
)
def test_mixed_precision_is_what_the_device_has_fast_instructions_for(capabilities, cpu_has_bfloat16, precision):
    assert mixed_precision(capabilities, cpu_has_bfloat16) == precision


def test_compute_capabilities_are_those_that_tensorflow_tells(monkeypatch):
    details = {"a": {"device_name": "A", "compute_capability": (8, 9)}, "b": {"device_name": "B"}}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(details) if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    assert gpu.compute_capabilities() == [(8, 9), (0, 0)]


@pytest.mark.parametrize(
    ("flags", "refused", "on_a_gpu", "on_a_cpu"),
    [
        ([], (), True, False),
        (["--jit_compile"], (), True, True),
        (["--nojit_compile"], (), False, False),
        ([], ("MaxPoolGrad",), False, False),
        (["--deterministic=false"], ("MaxPoolGrad",), True, False),
        (["--deterministic=false", "--jit_compile"], ("MaxPoolGrad",), True, True),
        (["--distribution=mirrored"], (), False, False),
    ],
)
def test_xla_compiles_on_one_gpu_what_it_does_not_refuse(tiny_config, monkeypatch, flags, refused, on_a_gpu, on_a_cpu):
    config = tiny_config("--model=dcgan1", *flags)
    for has_gpu, compiles in ((True, on_a_gpu), (False, on_a_cpu)):
        monkeypatch.setattr(gpu, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        assert compiles_with_xla(config, refused) is compiles


def test_asking_for_what_xla_refuses_is_told(tiny_config):
    with pytest.raises(UserError, match="XLA has no deterministic MaxPoolGrad, .*--deterministic=false"):
        compiles_with_xla(tiny_config("--model=dcgan1", "--jit_compile"), ("MaxPoolGrad",))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--jit_compile", "--distribution=mirrored"], "--jit_compile works on one device"),
        (["--precision=float16", "--distribution=mirrored"], "--precision=float16 trains on one device"),
        (["--precision=float16", "--r1_gamma=1"], "--r1_gamma=1.0: the gradient of its gradient leaves the range"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(tiny_config, flags, words):
    with pytest.raises(UserError, match=words):
        tiny_config("--model=dcgan1", *flags)


class Doubling:
    """A trainer whose step doubles a number."""

    def __init__(self, compiles: bool | None) -> None:
        if compiles is not None:
            self.compiles_with_xla = compiles

    @replicas.on_all_replicas
    def step(self, number: tf.Tensor) -> tf.Tensor:
        """Doubles the number."""
        return 2 * number


@pytest.mark.parametrize("compiles", [True, False, None])
def test_a_step_is_compiled_by_xla_if_its_trainer_says_so(compiles):
    trainer = Doubling(compiles)
    assert int(trainer.step(tf.constant(21))) == 42 and Doubling.step.__name__ == "step"
    definition = trainer.step.get_concrete_function(tf.constant(0)).function_def
    assert definition.attr["_XlaMustCompile"].b is bool(compiles)


class TestPrepare:
    """What `device.prepare` does with --deterministic and --precision=mixed."""

    @pytest.fixture(autouse=True)
    def _spies(self, monkeypatch):
        self.calls = []
        monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: self.calls.append("on"))

    def test_operations_are_deterministic_unless_the_flag_says_no(self, tiny_config):
        device.prepare(tiny_config("--model=dcgan1", "--deterministic=false"))
        assert self.calls == []
        device.prepare(tiny_config("--model=dcgan1"))
        assert self.calls == ["on"]

    def test_mixed_becomes_a_precision_and_others_stay(self, tiny_config, monkeypatch, caplog):
        monkeypatch.setattr(device, "precision_here", lambda: "float16")
        assert device.prepare(tiny_config("--model=dcgan1", "--precision=mixed")).precision == "float16"
        assert "precision: mixed is float16 here" in caplog.text and "is for GPUs" in caplog.text
        config = tiny_config("--model=dcgan1", "--precision=bfloat16")
        assert device.prepare(config) == config
        with pytest.raises(UserError, match="leaves the range of --precision=float16"):
            device.prepare(tiny_config("--model=dcgan1", "--precision=mixed", "--r1_gamma=1"))

    def test_a_run_goes_on_with_the_precision_that_mixed_was(self, tiny_config, monkeypatch):
        config = tiny_config("--model=dcgan1", "--precision=mixed", "--run=one")
        monkeypatch.setattr(device, "precision_here", lambda: "float32")
        assert recorded_precision(config) is None
        record = Path(config.checkpoint_dir) / "one" / "config.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"settings": {"precision": "bfloat16"}}))
        assert device.prepare(config, None, recorded_precision(config)).precision == "bfloat16"
        record.write_text(json.dumps({"settings": {"precision": ["mixed"]}}))
        assert recorded_precision(config) is None
