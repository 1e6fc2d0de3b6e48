"""Counts the floating-point operations of a TensorFlow graph.

Only convolutions and matrix products count; they are nearly all of the work. A product of m x k by k x n counts
2 m n k. A convolution counts every tap of its kernel, also those on the padding. So do its two gradients; a transposed
convolution is the gradient by the input. Operations that the results do not need are not counted, because TensorFlow
prunes them before it runs the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import tensorflow as tf

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def flops_of_function(function: tf.types.experimental.ConcreteFunction) -> int:
    """Counts the operations of one call.

    Args:
        function: a function whose convolutions and products all have static shapes.
    """
    graph = function.graph
    return flops_of_graph([*(output.op for output in graph.outputs), *graph.control_outputs])


def flops_of_graph(targets: Iterable[tf.Operation]) -> int:
    """Counts the operations that it takes to run `targets` once."""
    pending, seen, total = list(targets), set(), 0
    while pending:
        operation = pending.pop()
        if operation in seen:
            continue
        seen.add(operation)
        total += _flops(operation)
        pending += [tensor.op for tensor in operation.inputs]
        pending += operation.control_inputs
    return total


def _flops(operation: tf.Operation) -> int:
    kind, inputs = operation.type, operation.inputs
    if kind in _CALLS:
        called = operation.graph._get_function(operation.get_attr("f").name).graph  # no public way to look it up
        return flops_of_graph([*(output.op for output in called.outputs), *called.control_outputs])
    if kind == "Conv2D":
        return _convolution(operation.outputs[0].shape, inputs[1].shape)
    if kind == "Conv2DBackpropInput":
        return _convolution(inputs[2].shape, inputs[1].shape)
    if kind == "Conv2DBackpropFilter":
        return _convolution(inputs[2].shape, operation.outputs[0].shape)
    if kind == "MatMul":
        rows = inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
        return 2 * math.prod(operation.outputs[0].shape) * rows
    if kind in ("BatchMatMul", "BatchMatMulV2"):
        rows = inputs[0].shape[-2 if operation.get_attr("adj_x") else -1]
        return 2 * math.prod(operation.outputs[0].shape) * rows
    return 0


def _convolution(out_shape: Iterable[int], kernel_shape: Iterable[int]) -> int:
    """Counts 2 for each output value, kernel pixel and input channel; kernel_shape is (height, width, in, out)."""
    return 2 * math.prod(out_shape) * math.prod(list(kernel_shape)[:3])
