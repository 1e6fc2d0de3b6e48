"""A step gives the same bytes however busy the machine is: no sum in it has an order that the moment decides.

TensorFlow's AddN begins with whichever of its inputs has a buffer that nobody else holds. Of two inputs that changes
nothing; of three or more it changes the last bits.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.training import losses
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.projected_step import ProjectedTrainer


def long_sums(trainer, *batch: tf.Tensor) -> list[str]:
    """The names of the sums of three or more tensors, scalars left out, in the graph of a training step."""
    step = tf.function(lambda number, *batch: trainer.train_step(number, *batch).losses)
    graph = step.get_concrete_function(tf.constant(0, tf.int64), *batch).graph
    definition = graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    found = [node for node in nodes if node.op == "AddN" and node.attr["N"].i > 2]
    return [node.name for node in found if any(len(shape.dim) for shape in node.attr["_output_shapes"].list.shape)]


@pytest.mark.parametrize(
    "flags",
    [
        ["--model=dcgan1"],
        ["--model=dcgan3"],
        ["--model=dcgan2", "--conditional", "--precision=bfloat16"],
        ["--model=dcgan1", "--adversarial_loss=hinge"],
        ["--model=dcgan1", "--adversarial_loss=hinge", "--spectral_norm"],
        ["--model=dcgan1", "--adversarial_loss=relativistic", "--diffaugment=dihedral,color", "--ema_decay=0.9"],
    ],
)
def test_a_dcgans_step_has_no_sum_whose_order_the_moment_decides(tiny_config, flags):
    images, labels = tf.zeros((4, 16, 16, 3), tf.uint8), tf.zeros(4, tf.int32)
    assert long_sums(DCGANTrainer(tiny_config(*flags), (16, 16, 3), 2), images, labels) == []


@pytest.mark.parametrize(
    "flags", [[], ["--conditional", "--adversarial_loss=relativistic"], ["--num_modes=1", "--generator_updates=2"]]
)
def test_a_projected_step_has_no_sum_whose_order_the_moment_decides(tiny_config, flags):
    tiny = ["--model=projected", "--weights=random", "--feature_size=32", "--num_modes=2"]
    images, labels = np.zeros((8, 16, 16, 3), np.uint8), np.arange(8, dtype=np.int32) % 2
    trainer = ProjectedTrainer(tiny_config(*tiny, *flags), images, labels, 2 if "--conditional" in flags else 0)
    assert long_sums(trainer, tf.constant(images[:4]), tf.constant(labels[:4])) == []


def test_a_cyclegans_step_has_no_sum_whose_order_the_moment_decides(tiny_config):
    config = tiny_config("--model=cyclegan", "--num_blocks=1")
    images = tf.zeros((1, 32, 32, 3), tf.uint8)
    samples = [np.zeros((1, 32, 32, 3), np.uint8)] * 2
    assert long_sums(CycleGANTrainer(config, (32, 32, 3), 1, samples), images, images) == []


def test_tensorflows_own_cross_entropy_has_such_a_sum_and_ours_the_same_gradient():
    logits = tf.constant([[-3.0], [-0.5], [0.0], [2.0]])

    def gradient(loss):
        @tf.function
        def compute(logits):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(logits)
            return tape.gradient(value, logits)

        graph = compute.get_concrete_function(logits).graph
        return compute(logits), [len(op.inputs) for op in graph.get_operations() if op.type == "AddN"]

    labels = tf.fill(tf.shape(logits), 0.9)
    theirs, their_sums = gradient(
        lambda logits: tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
    )
    mine, my_sums = gradient(lambda logits: losses.sigmoid_cross_entropy(logits, 0.9))
    assert (their_sums, my_sums) == ([4], [])
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(mine, (1 / (1 + np.exp(-logits.numpy())) - 0.9) / 4, rtol=1e-5)
