"""Networks that turn images into feature vectors, for the metrics that compare sets of images.

To add one: a function that builds a FeatureExtractor, and an entry in `FEATURE_NETWORKS`, from which --features takes
its choices. The table is read for --help, so Keras is imported only where a network is built.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, weight_seeds

if TYPE_CHECKING:
    import keras

    from histogan_tf.config import Config

INCEPTION_SIZE = 299
# As keras.applications fetches them, and the digest by which it knows them.
INCEPTION_WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
INCEPTION_WEIGHTS_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
_OFFLINE = "--features=random and --features=resnet18 --weights=FOLDER need no network"

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
        frechet_name: what the Fréchet distance of these features is called; `fid` if they are InceptionV3's.
    """

    name: str
    fingerprint: str
    function: Callable[[np.ndarray], np.ndarray]
    batch_size: int = 128
    frechet_name: str = "frechet"

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
    import keras
    from keras import layers, ops

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


def random_extractor() -> FeatureExtractor:
    """The features of `build_random_network`."""
    from keras import ops

    network = build_random_network()

    def features(images: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(network(images.astype(np.float32), training=False))

    return FeatureExtractor("random", weights_fingerprint(network), features)


def build_inception_network(weights: Path | None) -> keras.Model:
    """InceptionV3 up to its last pooling, from images of any size.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016; the features of the FID of
    Heusel et al., NeurIPS 2017. Images are resized bilinearly, with antialiasing where they shrink and without rounding
    to whole grey levels, squeezed if they are not square, and scaled to [-1, 1]. Weights are those of
    keras.applications, trained by others than the network of the FID's authors: values compare with each other, not
    with those in papers.

    Args:
        weights: the file that keras.applications has; None for weights drawn by Keras's global seed.

    Returns:
        A model from uint8 (batch, height, width, 3) to float32 (batch, 2048).
    """
    import keras
    from keras import layers, ops

    images = keras.Input((None, None, 3), dtype="uint8", name="image")
    size = (INCEPTION_SIZE, INCEPTION_SIZE)
    resized = ops.image.resize(ops.cast(images, "float32"), size, interpolation="bilinear", antialias=True)
    inception = keras.applications.InceptionV3(
        include_top=False, weights=weights and str(weights), input_shape=(*size, 3), pooling="avg"
    )
    return keras.Model(images, inception(layers.Rescaling(1 / 127.5, offset=-1.0)(resized)), name="inception_features")


def inception_weights() -> Path:
    """InceptionV3's ImageNet weights in Keras's cache, downloaded if they are not there yet; known by their digest.

    Raises:
        UserError: if there is no network, or the file is another one than keras.applications has.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "models" / INCEPTION_WEIGHTS_URL.rsplit("/", 1)[1]
    if path.exists():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() == INCEPTION_WEIGHTS_MD5:
                return path
        raise UserError(
            f"--features=inception: {path} is truncated or another file than {INCEPTION_WEIGHTS_URL}: remove it, so "
            f"that it is downloaded anew, or put that file in its place; {_OFFLINE}"
        )
    import keras

    try:
        home.mkdir(parents=True, exist_ok=True)  # Keras would turn to a folder in /tmp
        return Path(
            keras.utils.get_file(
                path.name,
                INCEPTION_WEIGHTS_URL,
                file_hash=INCEPTION_WEIGHTS_MD5,
                cache_dir=str(home),
                cache_subdir=path.parent.name,
            )
        )
    except Exception as error:  # Keras raises it bare, from what urllib raised
        raise UserError(
            f"--features=inception: {path} is not there, and {INCEPTION_WEIGHTS_URL} cannot be downloaded "
            f"({error.__context__ or error}): put that file there from a machine that has a network; {_OFFLINE}"
        ) from error


def inception_extractor() -> FeatureExtractor:
    """The features of `build_inception_network` with the weights of ImageNet.

    Raises:
        UserError: if the weights cannot be had.
    """
    from histogan_tf.models.inference import compiled

    network = build_inception_network(inception_weights())
    compute = compiled(network)
    return FeatureExtractor(
        name=f"inception-bilinear{INCEPTION_SIZE}",
        fingerprint=weights_fingerprint(network),
        function=lambda images: compute(images).numpy(),
        batch_size=32,
        frechet_name="fid",
    )


def resnet_extractor(config: Config, image_shape: tuple[int, int, int]) -> FeatureExtractor:
    """The features of the classifier's backbone, with the weights and the preprocessing that the flags ask for.

    Args:
        config: --weights, --classifier_size and --seed.
        image_shape: (height, width, channels) of the images; grey ones are seen as RGB.

    Raises:
        UserError: if the weights cannot be had.
    """
    from histogan_tf.models.inference import INFERENCE_BATCH, compiled
    from histogan_tf.models.resnet import build_classifier

    features = build_classifier(
        (*image_shape[:2], 3),
        size=config.classifier_size,
        weights=config.weights,
        seed=weight_seeds(config.seed, Purpose.CLASSIFIER_WEIGHTS, 1)[0],
        cpu_kernels=config.cpu_kernels,
    ).features
    compute = compiled(features)
    untrained = "-untrained" if config.weights == "random" else ""
    return FeatureExtractor(
        name=f"resnet18{untrained}-bilinear{config.classifier_size}",
        fingerprint=weights_fingerprint(features),
        function=lambda images: compute(images).numpy(),
        batch_size=INFERENCE_BATCH,
    )


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """One value of --features.

    Attributes:
        help: what it is, for the help of --features.
        build: from a resolved Config and the (height, width, channels) of the images to the extractor; it raises
            UserError if the weights cannot be had.
    """

    help: str
    build: Callable[[Config, tuple[int, int, int]], FeatureExtractor]


FEATURE_NETWORKS: dict[str, FeatureNetwork] = {
    "random": FeatureNetwork(
        "a fixed untrained network, for images that are far from ImageNet",
        lambda config, image_shape: random_extractor(),
    ),
    "resnet18": FeatureNetwork("the classifier's backbone, with the weights of --weights", resnet_extractor),
    "inception": FeatureNetwork(
        "InceptionV3 trained on ImageNet, whose Fréchet distance is the FID; fetched once by keras.applications",
        lambda config, image_shape: inception_extractor(),
    ),
}


def feature_extractor(config: Config, image_shape: tuple[int, int, int]) -> FeatureExtractor:
    """The extractor that --features asks for.

    Args:
        config: resolved.
        image_shape: (height, width, channels) of the images.

    Raises:
        UserError: if its weights cannot be had.
    """
    return FEATURE_NETWORKS[config.features].build(config, image_shape)


def _as_rgb(images: np.ndarray) -> np.ndarray:
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
