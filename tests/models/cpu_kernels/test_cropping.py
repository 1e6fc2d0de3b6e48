"""Maps are cropped as by Keras, with a gradient that takes less time."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from histogan_tf.models.cpu_kernels.cropping import PaddedCropping2D
from histogan_tf.models.cyclegan import build_cyclegan_generator


def test_maps_are_cut_in_training_as_in_inference():
    maps = tf.random.stateless_normal((2, 6, 5, 3), (1, 2))
    cut = PaddedCropping2D(((0, 1), (2, 0)))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        in_training = cut(maps, training=True)
    np.testing.assert_array_equal(in_training, maps[:, :5, 2:])
    np.testing.assert_array_equal(in_training, cut(maps))
    gradient = tape.gradient(in_training, maps, output_gradients=in_training)
    np.testing.assert_array_equal(gradient, np.pad(maps[:, :5, 2:], [(0, 0), (0, 1), (2, 0), (0, 0)]))


def test_cyclegans_step_has_no_slow_gradient_of_a_slice_of_maps():
    def operations_of(cpu_kernels: bool) -> set[str]:
        generator = build_cyclegan_generator((33, 34, 3), seed=1, num_filters=2, num_blocks=1, cpu_kernels=cpu_kernels)

        @tf.function
        def gradients(images):
            with tf.GradientTape() as tape:
                outputs = generator(images, training=True)
            return tape.gradient(outputs, generator.trainable_variables)

        graph = gradients.get_concrete_function(tf.TensorSpec((2, 33, 34, 3))).graph
        return {operation.type for operation in graph.get_operations()}

    assert "StridedSliceGrad" in operations_of(cpu_kernels=False)
    assert "StridedSliceGrad" not in operations_of(cpu_kernels=True)
