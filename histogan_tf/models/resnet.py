"""The classifier: preprocessing, one of keras-hub's networks as backbone, global average pooling and a linear head.

The paper's backbone is ResNet-18: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1, the
column of 18 layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from histogan_tf.config import Config
from histogan_tf.config.feature_layers import stage_numbers
from histogan_tf.machine.gpu import has_gpu
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models.backbone_networks import stage_outputs, stages_of_weights
from histogan_tf.models.backbone_weights import load_backbone, preparation_of
from histogan_tf.models.backbones import BACKBONES, Backbone, Preparation
from histogan_tf.models.cpu_kernels.normalization import fuse_batch_norms
from histogan_tf.models.precision import dtype_policy


@dataclasses.dataclass(frozen=True)
class ResNetClassifier:
    """A classifier of two labels or more, as two parts and as a whole; the parts share their layers with the whole.

    Attributes:
        features: the model from images, uint8 (batch, height, width, channels) in [0, 255], to features,
            float32 (batch, num_features), which is 512 for the last stage. Its batch normalization always uses the
            statistics of the pretraining, because batches of few patches would spoil them.
        head: the layer from features, float32 (batch, num_features), to the logit of label 1, float32 (batch, 1); of
            three labels or more, to the logits of all labels, float32 (batch, num_classes).
        network: the model from images to logits; `sigmoid` of a logit is the probability of label 1, `softmax` of the
            logits of three labels or more are the probabilities of these.
        preparation: how the preprocessing prepares images.
        stages: the number of the backbone's stage that each of its weights is in, from 1, by the weight's id.
    """

    features: keras.Model
    head: layers.Dense
    network: keras.Model
    preparation: Preparation
    stages: Mapping[int, int]

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
        last = max(self.stages[id(variable)] for variable in self.features.variables)
        backbone = [
            variable
            for variable in self.features.trainable_variables
            if fine_tune == "all" or self.stages[id(variable)] == last
        ]
        return [*backbone, *self.head.trainable_variables]


def build_classifier(
    image_shape: tuple[int, int, int],
    *,
    size: int,
    weights: str,
    seed: int,
    backbone: str = "resnet18",
    feature_layer: str | None = None,
    center_crop: bool = False,
    preparation: Preparation | None = None,
    num_classes: int = 2,
    precision: str = "float32",
    cpu_kernels: bool = False,
) -> ResNetClassifier:
    """Builds the classifier; its head returns 0 until it is trained.

    Args:
        image_shape: (height, width, channels) of the images, with 1 or 3 channels.
        size: the side in pixels to which images are resized; pretrained weights expect 224.
        weights: `imagenet`, `random`, or a folder, see `backbone_weights.load_backbone`.
        seed: the seed of random weights.
        backbone: a name in `BACKBONES`.
        feature_layer: the stages whose features are used, such as `stage2+stage3`, pooled and side by side in this
            order; None for the last stage. The stages after them are left out.
        center_crop: whether to cut out the centre, as in the evaluation of the weights on ImageNet.
        preparation: how images are prepared, if the weights will come from elsewhere; None for what the weights say.
        num_classes: the number of labels, at least 2.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`. The features and the head are float32 with both.
        cpu_kernels: whether to use, on a CPU, the batch normalization that is fast there. On a GPU it is Keras's own,
            which with fixed statistics is a scale and a shift: TensorFlow refuses the gradient of the fused operation
            there, because with fixed statistics it is not deterministic.

    Raises:
        UserError: if the weights cannot be loaded, or do not fit the network; if there is no such stage.
    """
    entry = BACKBONES[backbone]
    stages = stage_numbers(feature_layer, entry.num_stages)
    preparation = preparation or preparation_of(weights, backbone)
    options = {"seed": seed, "size": size, "precision": precision, "last_stage": stages[-1]}
    network = load_backbone(weights, backbone=backbone, **options)
    if cpu_kernels and not has_gpu():
        fuse_batch_norms(network)
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # the layer then uses its moving statistics even with training=True
    image = keras.Input(image_shape, dtype="uint8", name="image")
    x = Preprocessing(size, preparation, center_crop=center_crop, name="preprocessing")(image)
    features = keras.Model(image, _pooled(entry, network, x, stages), name="features")
    head = layers.Dense(1 if num_classes == 2 else num_classes, kernel_initializer="zeros", name="head")
    classifier = keras.Model(image, head(features(image)), name="classifier")
    return ResNetClassifier(features, head, classifier, preparation, stages_of_weights(entry, network))


def configured_classifier(config: Config, image_shape: tuple[int, int, int], **options: Any) -> ResNetClassifier:
    """Builds the classifier that the flags describe.

    Args:
        config: the resolved flags, of which --backbone, --weights, --classifier_size, --feature_layer, --center_crop,
            --precision, --seed and --cpu_kernels are used.
        image_shape: (height, width, channels) of the images, with 1 or 3 channels.
        options: arguments of `build_classifier` that win over the flags, or that no flag stands for.

    Raises:
        UserError: as `build_classifier`.
    """
    of_flags = {
        "size": config.classifier_size,
        "backbone": config.backbone,
        "feature_layer": config.feature_layer,
        "center_crop": config.center_crop,
        "weights": config.weights,
        "seed": weight_seeds(config.seed, Purpose.CLASSIFIER_WEIGHTS, 1)[0],
        "cpu_kernels": config.cpu_kernels,
    }
    if "precision" not in options:
        of_flags["precision"] = dtype_policy(config.precision)
    return build_classifier(image_shape, **{**of_flags, **options})


def _pooled(entry: Backbone, network: keras.Model, x: keras.KerasTensor, stages: tuple[int, ...]) -> keras.KerasTensor:
    """Returns the means over all positions of the feature maps of some stages, side by side, float32 (batch, n)."""
    if stages == (entry.num_stages,):
        return layers.GlobalAveragePooling2D(dtype="float32", name="features")(network(x))
    upto_last = keras.Model(network.inputs, stage_outputs(entry, network, stages), name=network.name)
    pooled = [
        layers.GlobalAveragePooling2D(dtype="float32", name=f"stage{stage}")(feature_map)
        for stage, feature_map in zip(stages, keras.tree.flatten(upto_last(x)), strict=True)
    ]
    return pooled[0] if len(pooled) == 1 else layers.Concatenate(dtype="float32", name="stages")(pooled)


@keras.saving.register_keras_serializable("histogan_tf")
class Preprocessing(layers.Layer):
    """The preprocessing that networks trained on ImageNet expect: images become RGB, are resized and normalized.

    The inputs are uint8 (batch, height, width, 1 or 3) in [0, 255], the outputs float32 (batch, size, size, 3).
    Resizing has antialiasing if it shrinks an image; images that are not square are distorted.

    Args:
        size: the side of the outputs, in pixels.
        preparation: how images are resized and normalized; as torchvision's networks if None.
        center_crop: whether to resize images to the size divided by `preparation.crop`, and cut out the centre.
    """

    def __init__(
        self, size: int, preparation: Preparation | None = None, *, center_crop: bool = False, **kwargs: object
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.size, self.preparation, self.center_crop = size, preparation or Preparation(), center_crop
        # The side to which images are resized, and where the centre begins.
        self.resized = round(size / self.preparation.crop) if center_crop else size
        self.margin = (self.resized - size) // 2

    def call(self, images):
        x = ops.cast(images, "float32") / 255.0
        if x.shape[-1] == 1:
            x = ops.repeat(x, 3, axis=-1)
        height, width = x.shape[1:3]
        if (height, width) != (self.resized, self.resized):
            shrinks = max(height, width) > self.resized
            interpolation = self.preparation.interpolation
            x = ops.image.resize(x, (self.resized, self.resized), interpolation=interpolation, antialias=shrinks)
        if self.center_crop:
            centre = slice(self.margin, self.margin + self.size)
            x = x[:, centre, centre]
        return (x - ops.array(self.preparation.mean)) / ops.array(self.preparation.stddev)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.size, self.size, 3)

    def get_config(self):
        preparation = self.preparation.to_json()
        return {"name": self.name, "size": self.size, "preparation": preparation, "center_crop": self.center_crop}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "preparation": Preparation.from_json(config["preparation"])})
