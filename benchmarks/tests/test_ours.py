"""Our contenders are the program as it is configured."""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.agreement import check_agreement
from benchmarks.contenders.frozen_features import FeaturesOnce
from benchmarks.contenders.ours import OurCycleGAN, OurDCGAN, OurProjected
from benchmarks.workloads import WORKLOADS
from histogan_tf.cli import command_line

TINY = ("--gf_dim=4", "--df_dim=4", "--num_blocks=1", "--batch_size=4")


@pytest.mark.parametrize(("ours", "model", "side"), [(OurDCGAN, "dcgan1", 20), (OurCycleGAN, "cyclegan", 34)])
def test_the_cpu_kernels_are_on_by_default_and_the_flag_turns_them_off(without_op_determinism, ours, model, side):
    is_fast = {}
    for flag in ("", "--cpu_kernels", "--nocpu_kernels"):
        config = command_line.parse(["main.py", f"--model={model}", *TINY, *filter(None, [flag])])
        trainer = ours(config, (side, side, 3))._trainer
        is_fast[flag] = {kind.startswith(("Fast", "Fused")) for kind in _normalizations(trainer)}
    assert is_fast == {"": {True}, "--cpu_kernels": {True}, "--nocpu_kernels": {False}}


def test_a_projected_step_in_bfloat16_is_told_the_modes_of_float32(our_step):
    ours = our_step("tissue")
    config = dataclasses.replace(ours.arguments["config"], precision="bfloat16")
    other = OurProjected(config, ours.arguments["image_shape"])
    other._trainer.mode_of_features.centres.assign(tf.zeros_like(other._trainer.mode_of_features.centres))
    check_agreement("ours", "bfloat16", ours.losses, other.check(ours.material))
    weights = {weight.name: weight.numpy() for weight in other._trainer.mode_of_features.weights}
    for name, values in weights.items():
        np.testing.assert_array_equal(values, ours.material["weights"]["modes"][name])


def test_frozen_features_come_from_the_backbone_of_the_configured_kernels():
    arguments = WORKLOADS["frozen_features"](["float32"], True).contenders[0].arguments
    assert arguments["cpu_kernels"] is True
    make = functools.partial(FeaturesOnce, num_images=4, size=32, precision="float32")
    fused, plain = (make(cpu_kernels=cpu_kernels).classifier.features for cpu_kernels in (True, False))
    assert set(_batch_norms(fused)) == {"FusedBatchNormalization"}
    assert set(_batch_norms(plain)) == {"BatchNormalization"}


def _normalizations(trainer) -> list[str]:
    kinds = (keras.layers.BatchNormalization, keras.layers.GroupNormalization)
    layers = [layer for network in trainer.networks for layer in network._flatten_layers()]
    return [type(layer).__name__ for layer in layers if isinstance(layer, kinds)]


def _batch_norms(network: keras.Model) -> list[str]:
    layers = network._flatten_layers()
    return [type(layer).__name__ for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
