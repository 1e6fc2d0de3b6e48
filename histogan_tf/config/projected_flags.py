"""The flags of the projected GAN, and of the pretrained backbone that it shares with the classifier."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import Table, flag

_BACKBONES = Table("histogan_tf.models.backbones:BACKBONES")


@dataclasses.dataclass(frozen=True)
class BackboneFlags:
    """The pretrained network whose features the classifier and the projected discriminators use."""

    backbone: str = flag(
        "resnet18",
        "Network whose features the classifier, the discriminators of projected and --features=backbone use. "
        "{entries}. It sees whole images: the crop_pct of its weights' config.json counts with --center_crop alone.",
        section="backbone",
        choices=_BACKBONES,
        described=_BACKBONES,
    )
    weights: str = flag(
        "imagenet",
        "Weights of the --backbone: imagenet (pretrained, from Hugging Face), random (untrained, to try things out), "
        "or a folder with a timm checkpoint of that network (config.json, model.safetensors).",
        section="backbone",
    )


@dataclasses.dataclass(frozen=True)
class ProjectedFlags:
    """The flags of a projected GAN's networks."""

    max_gf_dim: int = flag(
        128,
        "Most channels of a feature map of the generator; they double from --gf_dim with each halving of the size.",
        section="projected",
        minimum=1,
        maximum=4096,
    )
    num_modes: int = flag(
        128,
        "Number of groups of similar images, found by clustering the --backbone's features, of which the "
        "discriminators are told each image's, so that the generator cannot leave out a kind of image. Of few "
        "images, fewer groups are made: at most a quarter of the number of images (of each label, if --conditional), "
        "rounded up. 1 turns it off.",
        section="projected",
        minimum=1,
        maximum=4096,
    )
    feature_size: int = flag(
        96,
        "Shorter side in pixels to which images are resized for the --backbone of the discriminators.",
        section="projected",
        minimum=32,
        maximum=1024,
    )
    feature_stages: tuple[int, ...] | None = flag(
        None,
        "Stages of the --backbone whose features the discriminators see, from fine to coarse: from 1 to 4 of a ResNet "
        "or DenseNet, whose first stage halves the side of images twice; from 1 to 5 of the others, whose first stage "
        "halves it once. The three before the last if left out: 1,2,3 or 2,3,4.",
        section="projected",
        minimum=1,
        maximum=5,
    )
