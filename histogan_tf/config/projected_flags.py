"""The flags of the projected GAN, and of the pretrained backbone that it shares with the classifier."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class BackboneFlags:
    """The pretrained network whose features the classifier and the projected discriminators use."""

    weights: str = flag(
        "imagenet",
        "Weights of the classifier's --backbone, and of the ResNet-18 whose features the discriminators of projected "
        "use: imagenet (pretrained, from Hugging Face), random (untrained, to try things out), or a folder with a timm "
        "checkpoint of that network (config.json, model.safetensors).",
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
        "Number of groups of similar images, found by clustering the pretrained network's features, of which the "
        "discriminators are told each image's, so that the generator cannot leave out a kind of image. Groups of "
        "4 images are the smallest: of few images, fewer groups are made. 1 turns it off.",
        section="projected",
        minimum=1,
        maximum=4096,
    )
    feature_size: int = flag(
        96,
        "Shorter side in pixels to which images are resized for the pretrained network of the discriminators.",
        section="projected",
        minimum=32,
        maximum=1024,
    )
    feature_stages: tuple[int, ...] = flag(
        (1, 2, 3),
        "Stages of the pretrained network whose features the discriminators see, from fine to coarse.",
        section="projected",
        minimum=1,
        maximum=4,
    )
