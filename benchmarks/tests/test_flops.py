"""Floating-point operations against counts by hand."""

from __future__ import annotations

import tensorflow as tf

from benchmarks.flops import flops_of_function, flops_of_graph

# 3x3 kernels from 2 to 5 channels at stride 2, on 2 images of 8x6: maps of 4x3.
CONV = 2 * (2 * 4 * 3 * 5) * (3 * 3 * 2)
IMAGES, KERNEL, MAPS = (2, 8, 6, 2), (3, 3, 2, 5), (2, 4, 3, 5)


def counted(function, *shapes: tuple[int, ...]) -> int:
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return flops_of_function(tf.function(function).get_concrete_function(*specs))


def conv(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(images, kernel, 2, "SAME")


def test_a_convolution_counts_each_tap():
    assert counted(conv, IMAGES, KERNEL) == CONV == 4320


def test_a_transposed_convolution_counts_what_the_convolution_does():
    assert counted(lambda maps, kernel: tf.nn.conv2d_transpose(maps, kernel, IMAGES, 2), MAPS, KERNEL) == CONV


def test_both_gradients_count_what_the_convolution_does():
    def step(images: tf.Tensor, kernel: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            loss = tf.reduce_sum(conv(images, kernel) ** 2)
        return tape.gradient(loss, [images, kernel])

    assert counted(step, IMAGES, KERNEL) == 3 * CONV


def test_products_count_rows_by_columns_by_inner():
    assert counted(tf.matmul, (3, 4), (4, 5)) == 2 * 3 * 4 * 5
    assert counted(lambda a, b: tf.matmul(a, b, transpose_a=True), (4, 3), (4, 5)) == 2 * 3 * 4 * 5
    assert counted(tf.matmul, (7, 3, 4), (7, 4, 5)) == 7 * 2 * 3 * 4 * 5


def test_what_is_not_fetched_does_not_count():
    def step(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        conv(images, kernel)
        return conv(images, kernel + 1.0)

    assert counted(step, IMAGES, KERNEL) == CONV


def test_what_only_an_assignment_needs_counts():
    total = tf.Variable(tf.zeros((3, 5)))

    def step(a: tf.Tensor, b: tf.Tensor) -> None:
        total.assign_add(tf.matmul(a, b))

    assert counted(step, (3, 4), (4, 5)) == 120


def test_a_function_within_counts_at_each_call():
    inner = tf.function(tf.matmul, autograph=False)
    assert counted(lambda a, b: inner(inner(a, b), b), (4, 4), (4, 4)) == 2 * 128


def test_a_graph_counts_its_targets():
    with tf.Graph().as_default():
        product = tf.matmul(tf.ones((3, 4)), tf.ones((4, 5)))
        tf.matmul(product, tf.ones((5, 6)))
    assert flops_of_graph([product.op]) == 120
