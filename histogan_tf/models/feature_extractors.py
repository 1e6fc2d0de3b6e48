"""Networks that turn images into feature vectors, for the metrics that compare sets of images.

To add one: a function that builds a FeatureExtractor, and a line in `_BUILDERS`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from histogan_tf.errors import UserError

# Part of what `random` means: other numbers would make other features, and their distances could not be compared.
_RANDOM_SEED = 20200625
_RANDOM_STAGES = (32, 64, 128)
_RANDOM_SLOPE = 0.2  # of leaky ReLU; without it some features are zero for every image


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """A network as the metrics see it: from uint8 (num_images, height, width, channels) to float32 (num_images, d).

    Attributes:
        name: of the features in the names of metrics, with the resizer if there is one: `random`,
            `resnet18-bilinear224`. It has no spaces and no slashes.
        fingerprint: a digest of the weights: features are interchangeable if name and fingerprint are equal.
        function: from uint8 (batch, height, width, 3) to (batch, d).
        batch_size: images that go through the network at once.
    """

    name: str
    fingerprint: str
    function: Callable[[np.ndarray], np.ndarray]
    batch_size: int = 128

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images with 1 or 3 channels; grey ones are seen as RGB.

        Raises:
            UserError: if there is no image.
        """
        assert images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (1, 3), images.shape
        if not len(images):
            raise UserError("there is no image to extract features from: give a folder or dataset that holds some")
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return np.concatenate([self.function(_as_rgb(batch)) for batch in batches]).astype(np.float32, copy=False)


def extractor(name: str) -> FeatureExtractor:
    """The feature extractor of that name, as in --features.

    Raises:
        UserError: if there is none.
    """
    if name not in _BUILDERS:
        raise UserError(f"--features={name}: choose one of {', '.join(_BUILDERS)}")
    return _BUILDERS[name]()


def weights_fingerprint(network: keras.Model) -> str:
    """SHA-256 of a network's weights in their order."""
    digest = hashlib.sha256()
    for weights in network.get_weights():
        digest.update(repr((weights.shape, weights.dtype.name)).encode())
        digest.update(np.ascontiguousarray(weights))
    return digest.hexdigest()


def build_random_network() -> keras.Model:
    """A fixed, untrained convolutional network, for images that are far from ImageNet.

    Features of a network with random weights carry no taste for the classes of ImageNet, and rank generators sensibly
    where trained ones fail (Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020).
    They took a VGG16; this is a shallower network of the same kind, so that patches of 50 pixels are not pooled away:
    three stages of two 3x3 convolutions (He normal, no bias) with leaky ReLU, halved between by averaging. The features
    are mean and standard deviation over the positions of each stage, at scales of about 5, 14 and 32 pixels.

    Every second kernel of a layer is made to sum to zero over its positions, so that it answers to texture and not to
    brightness. Without that, colour drowns all else: between halves of 364 real patches, the KID of a blur of half a
    pixel was 1.0 of its deviations over subsets, and with it 3.9.

    Weights come from NumPy, so that they are the same on every backend and device.

    Returns:
        A model from uint8-valued (batch, height, width, 3), any size from 4 pixels, to float32 (batch, 448).
    """
    rng = np.random.default_rng(_RANDOM_SEED)
    images = keras.Input((None, None, 3), name="image")
    hidden = layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    features, kernels = [], []
    for stage, filters in enumerate(_RANDOM_STAGES):
        if stage:
            hidden = layers.AveragePooling2D(2)(hidden)
        for _ in range(2):
            fan_in = 9 * hidden.shape[-1]
            kernel = rng.normal(0.0, np.sqrt(2 / fan_in), (3, 3, hidden.shape[-1], filters))
            kernel[..., ::2] -= kernel[..., ::2].mean(axis=(0, 1), keepdims=True)
            kernels.append(kernel)
            hidden = layers.Conv2D(filters, 3, padding="same", use_bias=False)(hidden)
            hidden = layers.LeakyReLU(_RANDOM_SLOPE)(hidden)
        features += [layers.GlobalAveragePooling2D()(hidden), ops.std(hidden, axis=(1, 2))]
    network = keras.Model(images, layers.Concatenate()(features), name="random_features")
    network.set_weights(kernels)
    return network


def _random_extractor() -> FeatureExtractor:
    network = build_random_network()

    def features(images: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(network(images.astype(np.float32), training=False))

    return FeatureExtractor("random", weights_fingerprint(network), features)


_BUILDERS: dict[str, Callable[[], FeatureExtractor]] = {"random": _random_extractor}


def _as_rgb(images: np.ndarray) -> np.ndarray:
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
