"""What is known of TensorFlow's operations on a GPU while they must be deterministic.

TensorFlow has no such list of its own. `REFUSED` holds the operations whose GPU kernels raise UnimplementedError then.
It was made from all messages about determinism in the library of TensorFlow 2.21.0, libtensorflow_cc.so.2, which is
built with CUDA, and from the kernels' sources that hold these messages, below tensorflow/core/kernels in TensorFlow's
repository. `DETERMINISTIC` holds the operations that are in our steps, under the reason why each gives the same bytes
in every run. An operation in neither is to be looked up before it is added.
"""

from __future__ import annotations

from collections.abc import Mapping

# Under the source that holds the message.
REFUSED: Mapping[str, tuple[str, ...]] = {
    "adjust_contrast_op.cc": ("AdjustContrast", "AdjustContrastv2"),
    "bincount_op_gpu.cu.cc": ("Bincount", "DenseBincount"),
    "crop_and_resize_op.cc": ("CropAndResizeGradBoxes", "CropAndResizeGradImage"),
    "debug_ops.h": ("DebugNumericSummaryV2",),
    "dilation_ops.cc": ("Dilation2DBackpropFilter", "Dilation2DBackpropInput"),
    "fake_quant_ops.cc": ("FakeQuantWithMinMaxVarsGradient", "FakeQuantWithMinMaxVarsPerChannelGradient"),
    "maxpooling_op.cc": ("MaxPoolGradWithArgmax",),
    "resize_nearest_neighbor_op.cc": ("ResizeNearestNeighborGrad",),
    "scatter_op.cc": ("ScatterAdd", "ScatterDiv", "ScatterMul", "ScatterSub", "ScatterUpdate"),
    "segment_reduction_ops_impl.h": (
        *("SegmentMax", "SegmentMean", "SegmentMin", "SegmentProd", "SegmentSum"),
        *("UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd", "UnsortedSegmentSum"),
    ),
    "sparse_tensor_dense_matmul_op_gpu.cu.cc": ("SparseTensorDenseMatMul",),
    "sparse_xent_op.cc": ("SparseSoftmaxCrossEntropyWithLogits",),
    "svd_op_gpu.cu.cc": ("Svd",),
    "xent_op.cc": ("SoftmaxCrossEntropyWithLogits",),
}
# These raise only if the attribute is_training is false: fused_batch_norm_op.cc.
REFUSED_IN_INFERENCE = ("FusedBatchNormGrad", "FusedBatchNormGradV2", "FusedBatchNormGradV3")
# Refused by XLA on a GPU: tensorflow/compiler/tf2xla/kernels/pooling_ops.cc.
REFUSED_BY_XLA = ("MaxPoolGrad", "MaxPoolGradV2")

DETERMINISTIC: Mapping[str, tuple[str, ...]] = {
    "each output is computed by one thread, from the inputs at its own place": (
        *("Abs", "AddV2", "BiasAdd", "Bitcast", "BitwiseAnd", "Cast", "Equal", "Erf", "Erfinv", "Exp", "Floor"),
        *("FloorDiv", "FloorMod", "Greater", "GreaterEqual", "IsFinite", "LeakyRelu", "LeakyReluGrad", "Less"),
        *("LessEqual", "Log", "Log1p", "LogicalAnd", "LogicalNot", "Maximum", "Minimum", "Mul", "Neg", "OneHot", "Pow"),
        *("RealDiv", "Reciprocal", "Relu", "ReluGrad", "Round", "Rsqrt", "RsqrtGrad", "Select", "SelectV2", "Sigmoid"),
        *("SigmoidGrad", "Sign", "Softplus", "SoftplusGrad", "Sqrt", "Square", "SquaredDifference", "Sub", "Tanh"),
        *("TanhGrad", "ZerosLike"),
    ),
    "copies values": (
        *("ConcatV2", "ExpandDims", "Fill", "GatherV2", "Identity", "IdentityN", "MirrorPad", "Pack", "Pad"),
        *("PreventGradient", "Range", "Reshape", "ReverseV2", "Slice", "Split", "Squeeze", "StopGradient"),
        *("StridedSlice", "StridedSliceGrad", "Tile", "Transpose", "Unpack"),
    ),
    "adds up parts of the array one after another (mirror_pad_op.cc)": ("MirrorPadGrad",),
    "reduces in a tree whose shape depends on the array's shape alone (reduction_gpu_kernels.cu.h, argmax_op.cc)": (
        *("All", "ArgMin", "Max", "Mean", "Prod", "Sum"),
    ),
    "reduces by a matrix or row reduction, without atomic additions, where determinism is asked for (bias_op.cc)": (
        "BiasAddGrad",
    ),
    "cuDNN, which is asked for a deterministic algorithm (xla/stream_executor/cuda/cuda_dnn.cc)": (
        *("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "MaxPool", "MaxPoolGrad"),
        *("FusedBatchNormV3", "FusedBatchNormGradV3"),
    ),
    "cuBLAS, whose results are the same in every run on GPUs of one kind (cuBLAS, 'Results Reproducibility')": (
        *("BatchMatMulV2", "Einsum", "MatMul"),
    ),
    "a kernel of its own where determinism is asked for (image/resize_bilinear_op_gpu.cu.cc)": (
        *("ResizeBilinear", "ResizeBilinearGrad"),
    ),
    "draws numbers from a counter, not from a state": (
        *("StatelessRandomGetKeyCounter", "StatelessRandomNormalV2", "StatelessRandomUniformFullIntV2"),
        *("StatelessRandomUniformIntV2", "StatelessRandomUniformV2"),
    ),
    "reads or changes a variable, place by place": (
        *("AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "ReadVariableOp", "ResourceApplyAdam"),
    ),
    "is computed on the host, from shapes": (
        *("BroadcastGradientArgs", "ConcatOffset", "Const", "InvertPermutation", "NoOp", "Placeholder", "Shape"),
        "ShapeN",
    ),
    "calls a function whose operations are looked at too": (
        *("PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf"),
    ),
    "is one of two summands at most; of more the order would depend on the moment (aggregate_ops.cc)": ("AddN",),
}
