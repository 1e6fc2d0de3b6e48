"""Loads a backbone's weights from Hugging Face or a folder, never a pickle, or draws them by a seed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.models.backbones import BACKBONES, Backbone, Preparation
from histogan_tf.models.timm_checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    checked_folder,
    read_preparation,
    take_in_weights,
)

if TYPE_CHECKING:
    import keras


def load_backbone(
    weights: str,
    *,
    seed: int,
    size: int | tuple[int, int],
    precision: str = "float32",
    backbone: str = "resnet18",
    last_stage: int | None = None,
) -> keras.Model:
    """Builds one of keras-hub's networks with its weights.

    Args:
        weights: `imagenet`, which is downloaded from Hugging Face and kept in its cache; `random`, drawn with `seed`;
            or a folder with a timm checkpoint of the network, config.json and model.safetensors.
        seed: the seed of random weights.
        size: the side of the input images, or their height and width, in pixels.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`.
        backbone: a name in `BACKBONES`.
        last_stage: the number of the last stage whose features are used, from 1; None for the network's last. A
            folder's convolutions up to there must not be zeros.

    Returns:
        A model from normalized RGB images, float (batch, height, width, 3), to feature maps, (batch, height / 32,
        width / 32, num_features), rounded up or down as the network does.

    Raises:
        UserError: if Hugging Face cannot be reached, the folder does not exist, or its files are damaged or hold
            another network.
    """
    from histogan_tf.models.backbone_networks import build_network

    entry = BACKBONES[backbone]
    folder = None if weights == "random" else _folder(weights, entry)
    network = build_network(entry, size, precision)
    if folder is None:
        _draw_weights(network, seed)
    else:
        take_in_weights(folder, backbone, network, last_stage or entry.num_stages)
    return network


def preparation_of(weights: str, backbone: str = "resnet18") -> Preparation:
    """Returns how the images of a backbone's training were prepared: as the weights' config.json says.

    Args:
        weights: as in `load_backbone`. Random weights have no config.json, and get what most of the network's have.
        backbone: a name in `BACKBONES`.

    Raises:
        UserError: as `load_backbone`.
    """
    entry = BACKBONES[backbone]
    if weights == "random":
        return entry.preparation
    return read_preparation(_folder(weights, entry), entry)


def downloaded_imagenet(backbone: str = "resnet18") -> Path | None:
    """Returns the folder of Hugging Face's cache that holds the weights `imagenet`; None if they are not downloaded."""
    from huggingface_hub import try_to_load_from_cache

    repository = BACKBONES[backbone].repository
    found = [try_to_load_from_cache(repository, name) for name in (CONFIG_FILE, WEIGHTS_FILE)]
    folders = {Path(path).parent for path in found if isinstance(path, str)}
    return folders.pop() if len(folders) == 1 and all(isinstance(path, str) for path in found) else None


def are_at_hand(weights: str, backbone: str = "resnet18") -> bool:
    """Returns whether pretrained weights can be loaded without a download.

    Args:
        weights: as in `load_backbone`. A folder counts even if nothing is there: loading it then says what is missing.
            `random` does not count, because those weights are not pretrained.
        backbone: a name in `BACKBONES`.
    """
    return weights != "random" and (weights != "imagenet" or downloaded_imagenet(backbone) is not None)


def _folder(weights: str, entry: Backbone) -> Path:
    """Returns the folder with the checkpoint, checked; the weights `imagenet` are downloaded if they are not there."""
    if weights != "imagenet":
        return checked_folder(Path(weights).expanduser(), entry)
    import huggingface_hub

    try:
        paths = [huggingface_hub.hf_hub_download(entry.repository, name) for name in (CONFIG_FILE, WEIGHTS_FILE)]
    except Exception as error:  # Hugging Face's client raises errors of many types
        raise UserError(
            f"--weights=imagenet: Hugging Face cannot be reached or read; download {CONFIG_FILE} and {WEIGHTS_FILE} "
            f"from https://huggingface.co/{entry.repository} on a machine that has a network, put both into one "
            f"folder, and give it with --weights=FOLDER"
        ) from error
    return checked_folder(Path(paths[0]).parent, entry)


def _draw_weights(network: keras.Model, seed: int) -> None:
    """Draws the weights of the convolutions as torchvision does: He's normal distribution with the fan-out.

    Batch normalization keeps Keras's initial weights, with which it is the identity. Source: He et al., "Delving Deep
    into Rectifiers" (ICCV 2015), section 2.2.
    """
    generator = np.random.default_rng(seed)
    for variable in network.variables:
        if variable.name == "kernel":
            height, width, _, num_filters = variable.shape
            stddev = math.sqrt(2 / (height * width * num_filters))
            variable.assign(generator.standard_normal(variable.shape, np.float32) * np.float32(stddev))
