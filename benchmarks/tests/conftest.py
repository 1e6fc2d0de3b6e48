"""Our step of each tiny workload, made once for all that are compared with it."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.contenders.ours import OurCycleGAN, OurDCGAN, OurProjected
from benchmarks.workloads import WORKLOADS


@dataclasses.dataclass(frozen=True)
class OurStep:
    """What a contender is compared with."""

    arguments: dict[str, Any]  # config and image_shape
    material: dict[str, Any]
    losses: list[dict[str, float]]
    flops: int
    updated: dict[str, dict[str, np.ndarray]]  # the networks' weights after the steps of the losses


@pytest.fixture(scope="session")
def without_op_determinism() -> Iterator[None]:
    """Keeps our contenders from making TensorFlow deterministic: it could not be undone for the tests that follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
        yield


@pytest.fixture(scope="session")
def our_step(without_op_determinism: None) -> Callable[[str], OurStep]:
    """Makes our step of a tiny workload: `our_step("dcgan1")`."""

    @functools.cache
    def make(name: str) -> OurStep:
        arguments = WORKLOADS[name](["float32"], True).contenders[0].arguments
        kind = {"cyclegan_b1": OurCycleGAN, "tissue": OurProjected}.get(name, OurDCGAN)
        ours = kind(**arguments)
        material = ours.material()
        losses = ours.check(material)
        return OurStep(dict(arguments), material, losses, ours.flops(), ours.weights())

    return make
