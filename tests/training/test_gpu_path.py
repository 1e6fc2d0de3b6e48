"""What can be proved of a GPU without one: the operations of every training step, by the kernels that they have there.

TensorFlow is told here that there is a GPU, so that networks are built as for one; nothing is computed. Beside the
kernels' names, see `gpu_operations`, the library itself tells which kernels it has: it is built with CUDA.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.python.framework import kernels
from tensorflow.python.util import _pywrap_determinism

from histogan_tf.classifier import fine_tuning
from histogan_tf.classifier.fine_tuning import FineTuner
from histogan_tf.data.image_set import ImageSet
from histogan_tf.models import cpu_kernels, projected_generator, projector, resnet
from histogan_tf.training.augmentation import POLICIES
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.projected_step import ProjectedTrainer
from tests.training.gpu_operations import DETERMINISTIC, REFUSED, REFUSED_BY_XLA, REFUSED_IN_INFERENCE

SHAPE = (16, 16, 3)
ALL_POLICIES = f"--diffaugment={','.join(POLICIES)}"
PROJECTED = ("--model=projected", "--weights=random", "--feature_size=32", "--num_modes=2", "--max_gf_dim=4")
CLASSIFIER = ("--model=resnet18", "--weights=random", "--classifier_size=32", "--perturbations=rotation,noise,flips")
# The training of a head is scikit-learn's, on the processor; on the GPU it only needs features.
STEPS = {
    "dcgan2 conditional": ("--model=dcgan2", "--conditional", "--adversarial_loss=least_squares"),
    "dcgan3 all policies, ADA": ("--model=dcgan3", ALL_POLICIES, "--ada_target=0.6", "--ema_decay=0.9"),
    "dcgan1 spectral, resized": (
        *("--model=dcgan1", "--spectral_norm", "--upsampling=resize", "--adversarial_loss=hinge"),
        *("--precision=bfloat16", "--diffaugment=translation"),
    ),
    "dcgan1 float16": ("--model=dcgan1", "--precision=float16", "--adversarial_loss=relativistic"),
    "cyclegan": ("--model=cyclegan", "--num_blocks=1"),
    "cyclegan resized": ("--model=cyclegan", "--num_blocks=1", "--upsampling=resize", "--precision=bfloat16"),
    "projected": PROJECTED,
    "projected conditional, all policies": (
        *(*PROJECTED, "--conditional", "--adversarial_loss=relativistic", ALL_POLICIES, "--ada_target=0.6"),
        "--precision=bfloat16",
    ),
    "fine-tuning last_stage": (*CLASSIFIER, "--fine_tune=last_stage"),
    "fine-tuning all": (*CLASSIFIER, "--fine_tune=all", "--precision=bfloat16"),
}
# What XLA makes of the gradients of max pooling, and of bilinear resizing: a projected step is not compiled by default.
SCATTERS = {"projected": {"scatter", "select-and-scatter"}}


def image_set(num_images: int) -> ImageSet:
    labels = np.arange(num_images, dtype=np.int32) % 2
    ids = np.array([str(number) for number in range(num_images)])
    images = np.random.default_rng(0).integers(0, 256, (num_images, *SHAPE), np.uint8)
    return ImageSet(images=images, labels=labels, ids=ids, groups=None, name="x", class_names=("a", "b"))


def trainer_of(config: Any) -> tuple[Any, tuple[Any, ...]]:
    """The trainer of a model, and the batch that its step takes."""
    images, labels = tf.zeros((4, *SHAPE), tf.uint8), tf.zeros(4, tf.int32)
    if config.model == "cyclegan":
        samples = [np.zeros((1, 32, 32, 3), np.uint8)] * 2
        images = tf.zeros((1, 32, 32, 3), tf.uint8)
        return CycleGANTrainer(config, (32, 32, 3), 1, samples), (images, images)
    if config.model == "projected":
        training = image_set(8)
        trainer = ProjectedTrainer(config, training.images, training.labels, 2 if config.conditional else 0)
        return trainer, (images, labels)
    if config.model == "resnet18":
        classifier = resnet.build_classifier(SHAPE, size=32, weights="random", seed=0, cpu_kernels=config.cpu_kernels)
        return FineTuner(config, classifier, image_set(8), image_set(4)), (images, labels)
    return DCGANTrainer(config, SHAPE, 2), (images, labels)


@pytest.fixture
def _determinism_stays() -> Iterator[None]:
    """Leaves the switch of TensorFlow's deterministic operations as it was."""
    was_on = _pywrap_determinism.is_enabled()
    yield
    _pywrap_determinism.enable(was_on)


@pytest.fixture(params=STEPS)
def step(request, monkeypatch, tiny_config) -> tuple[str, Any, tuple[Any, ...]]:
    """Each step as it is built for a GPU: its name, its trainer and its arguments."""
    for module in (cpu_kernels, projected_generator, projector, resnet, fine_tuning):
        monkeypatch.setattr(module, "has_gpu", lambda: True)
    flags = ("--jit_compile", "--deterministic=false")  # XLA would refuse some steps
    trainer, batch = trainer_of(tiny_config(*STEPS[request.param], *flags))
    return request.param, trainer, (tf.constant(0, tf.int64), *batch)


@pytest.mark.usefixtures("_determinism_stays")
def test_every_operation_of_every_step_is_deterministic_on_a_gpu_and_compiles(step):
    name, trainer, arguments = step
    compiled = trainer._train_step if isinstance(trainer, FineTuner) else trainer.train_step
    function = compiled.get_concrete_function(*arguments)
    graph = function.graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    known, refused = (set(itertools.chain(*table.values())) for table in (DETERMINISTIC, REFUSED))
    found = {node.op for node in nodes}
    assert found & refused == set()
    assert found - known == set(), "look up their GPU kernels in TensorFlow's sources, then add them to the table"
    assert [node.name for node in nodes if node.op in REFUSED_IN_INFERENCE and not node.attr["is_training"].b] == []
    assert [node.name for node in nodes if node.op == "AddN" and is_long_sum(node)] == []
    assert (found & set(REFUSED_BY_XLA) != set()) == (name.startswith("projected") or name == "fine-tuning all")
    if tf.sysconfig.get_build_info()["is_cuda_build"]:
        assert {(node.op, node.attr["T"].type) for node in nodes if not has_gpu_kernel(node)} == set()
    if found & set(REFUSED_BY_XLA):
        _pywrap_determinism.enable(True)
        with pytest.raises(ValueError, match="do not yet have a deterministic XLA implementation"):
            program_of(compiled, arguments)
    _pywrap_determinism.enable(False)
    # XLA takes every operation. Where it makes a scatter of one, it would not be deterministic on a GPU, or slow.
    program = program_of(compiled, arguments)
    scatters = {kind for kind in ("scatter", "select-and-scatter") if has_operation(program, kind)}
    assert scatters == SCATTERS.get(name.split()[0], set() if name != "fine-tuning all" else {"select-and-scatter"})


def program_of(compiled: Any, arguments: tuple[Any, ...]) -> bytes:
    """The program that XLA makes of a step: a serialized HloModuleProto."""
    device = tf.zeros(1).device  # without it, TensorFlow looks for one with a draw that has no seed
    return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo_serialized", device_name=device)


def has_operation(program: bytes, name: str) -> bool:
    """Whether a program of XLA, a serialized HloModuleProto, has an operation: field 2 of an HloInstructionProto."""
    return b"\x12" + bytes([len(name)]) + name.encode() in program


def is_long_sum(node: node_def_pb2.NodeDef) -> bool:
    """Whether a node adds up three or more arrays; that of scalars is left out, whose order the host decides."""
    return node.attr["N"].i > 2 and any(len(shape.dim) for shape in node.attr["_output_shapes"].list.shape)


def has_gpu_kernel(node: node_def_pb2.NodeDef) -> bool:
    """Whether the library has a kernel for a GPU, or for any device, that takes the node's types."""
    return any(
        kernel.device_type in ("GPU", "DEFAULT")
        and all(
            node.attr[constraint.name].type in constraint.allowed_values.list.type for constraint in kernel.constraint
        )
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
    )


def test_the_fused_gradient_with_fixed_statistics_which_a_gpu_refuses_is_taken_on_a_cpu_alone(monkeypatch):
    def kinds(has_gpu: bool) -> set[str]:
        monkeypatch.setattr(resnet, "has_gpu", lambda: has_gpu)
        network = resnet.build_classifier(SHAPE, size=32, weights="random", seed=0, cpu_kernels=True).features
        backbone = next(layer for layer in network.layers if "backbone" in layer.name)
        return {type(layer).__name__ for layer in backbone.layers if "BatchNorm" in type(layer).__name__}

    assert kinds(has_gpu=True) == {"BatchNormalization"}
    assert kinds(has_gpu=False) == {"FusedBatchNormalization"}


def test_xla_makes_the_steps_that_the_graph_makes(tiny_config):
    """Without perturbations, because XLA draws other numbers than TensorFlow's kernels from the same seed."""
    images = tf.constant(image_set(4).images)
    losses = []
    for flag in ("--nojit_compile", "--jit_compile"):
        trainer, (_, labels) = trainer_of(tiny_config(*CLASSIFIER[:-1], "--fine_tune=last_stage", flag))
        batches = [(tf.constant(step, tf.int64), images, labels) for step in range(3)]
        losses.append([float(trainer._train_step(*batch).losses["log_loss"]) for batch in batches])
    assert losses[0][0] == pytest.approx(np.log(2)) and losses[0][2] < 0.68
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
