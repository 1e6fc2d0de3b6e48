"""The classifier: preprocessing, keras-hub's ResNet-18 as backbone, global average pooling and a linear head.

Source: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1, the column of 18 layers.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import layers, ops

from histogan_tf.config.feature_layers import stage_numbers
from histogan_tf.machine.gpu import has_gpu
from histogan_tf.models.cpu_kernels.normalization import fuse_batch_norms
from histogan_tf.models.resnet_weights import IMAGENET_MEAN, IMAGENET_STDDEV, NUM_STAGES, load_backbone

NUM_FEATURES = 512


@dataclasses.dataclass(frozen=True)
class ResNetClassifier:
    """A classifier of two labels, as two parts and as a whole; the parts share their layers with the whole.

    Attributes:
        features: the model from images, uint8 (batch, height, width, channels) in [0, 255], to features,
            float32 (batch, num_features), which is 512 for the last stage. Its batch normalization always uses the
            statistics of the pretraining, because batches of few patches would spoil them.
        head: the layer from features, float32 (batch, num_features), to the logit of label 1, float32 (batch, 1).
        network: the model from images to logits; `sigmoid` of a logit is the probability of label 1.
        last_stage: the number of the backbone's last stage that is used, from 1 to 4.
    """

    features: keras.Model
    head: layers.Dense
    network: keras.Model
    last_stage: int = NUM_STAGES

    def state(self) -> dict[str, object]:
        """Returns the parts that a checkpoint saves, by name: all weights, so that a run needs no other files."""
        return {"features": self.features, "head": self.head}

    def trainable_variables(self, fine_tune: str) -> list[keras.Variable]:
        """Returns the variables that fine-tuning changes.

        Args:
            fine_tune: `last_stage` for the head and the convolutions of the last stage that is used, or `all` for the
                head and all convolutions.
        """
        assert fine_tune in ("last_stage", "all"), fine_tune
        backbone = [
            variable
            for variable in self.features.trainable_variables
            if fine_tune == "all" or variable.path.startswith(f"stack{self.last_stage - 1}_")
        ]
        return [*backbone, *self.head.trainable_variables]


def build_classifier(
    image_shape: tuple[int, int, int],
    *,
    size: int,
    weights: str,
    seed: int,
    feature_layer: str | None = None,
    precision: str = "float32",
    cpu_kernels: bool = False,
) -> ResNetClassifier:
    """Builds the classifier; its head returns 0 until it is trained.

    Args:
        image_shape: (height, width, channels) of the images, with 1 or 3 channels.
        size: the side in pixels to which images are resized; pretrained weights expect 224.
        weights: `imagenet`, `random`, or a folder, see `resnet_weights.load_backbone`.
        seed: the seed of random weights.
        feature_layer: the stages whose features are used, such as `stage2+stage3`, pooled and side by side in this
            order; None for the last stage. The stages after them are left out.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`. The features and the head are float32 with both.
        cpu_kernels: whether to use, on a CPU, the batch normalization that is fast there. On a GPU it is Keras's own,
            which with fixed statistics is a scale and a shift: TensorFlow refuses the gradient of the fused operation
            there, because with fixed statistics it is not deterministic.

    Raises:
        UserError: if the weights cannot be loaded, or do not fit the network; if there is no such stage.
    """
    stages = stage_numbers(feature_layer, NUM_STAGES)
    backbone = load_backbone(weights, seed=seed, size=size, precision=precision, last_stage=stages[-1])
    if cpu_kernels and not has_gpu():
        fuse_batch_norms(backbone)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # the layer then uses its moving statistics even with training=True
    image = keras.Input(image_shape, dtype="uint8", name="image")
    x = Preprocessing(size, name="preprocessing")(image)
    features = keras.Model(image, _pooled(backbone, x, stages), name="features")
    head = layers.Dense(1, kernel_initializer="zeros", name="head")
    network = keras.Model(image, head(features(image)), name="classifier")
    return ResNetClassifier(features, head, network, stages[-1])


def _pooled(backbone: keras.Model, x: keras.KerasTensor, stages: tuple[int, ...]) -> keras.KerasTensor:
    """Returns the means over all positions of the feature maps of some stages, side by side, float32 (batch, n)."""
    if stages == (NUM_STAGES,):
        return layers.GlobalAveragePooling2D(dtype="float32", name="features")(backbone(x))
    maps = list(backbone.pyramid_outputs.values())
    upto_last = keras.Model(backbone.inputs, [maps[stage - 1] for stage in stages], name=backbone.name)
    pooled = [
        layers.GlobalAveragePooling2D(dtype="float32", name=f"stage{stage}")(feature_map)
        for stage, feature_map in zip(stages, keras.tree.flatten(upto_last(x)), strict=True)
    ]
    return pooled[0] if len(pooled) == 1 else layers.Concatenate(dtype="float32", name="stages")(pooled)


@keras.saving.register_keras_serializable("histogan_tf")
class Preprocessing(layers.Layer):
    """The preprocessing that networks trained on ImageNet expect: images become RGB, are resized and normalized.

    The inputs are uint8 (batch, height, width, 1 or 3) in [0, 255], the outputs float32 (batch, size, size, 3).
    Resizing is bilinear, with antialiasing if it shrinks an image; images that are not square are distorted.

    Args:
        size: the side of the outputs, in pixels.
    """

    def __init__(self, size: int, **kwargs: object) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.size = size

    def call(self, images):
        x = ops.cast(images, "float32") / 255.0
        if x.shape[-1] == 1:
            x = ops.repeat(x, 3, axis=-1)
        height, width = x.shape[1:3]
        if (height, width) != (self.size, self.size):
            shrinks = max(height, width) > self.size
            x = ops.image.resize(x, (self.size, self.size), interpolation="bilinear", antialias=shrinks)
        return (x - ops.array(IMAGENET_MEAN)) / ops.array(IMAGENET_STDDEV)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.size, self.size, 3)

    def get_config(self):
        return {"name": self.name, "size": self.size}
