"""Networks that turn images into feature vectors, for the metrics that compare sets of images.

To add one, write a function that builds a FeatureExtractor, and an entry in `FEATURE_NETWORKS`, from which --features
takes its choices. The table is read for --help, so Keras is imported only where a network is built.
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
from histogan_tf.models.backbone_weights import are_at_hand

if TYPE_CHECKING:
    import keras

    from histogan_tf.config import Config

INCEPTION_SIZE = 299
# The address from which keras.applications downloads the weights, and the digest by which it checks them.
INCEPTION_WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
INCEPTION_WEIGHTS_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"
_OFFLINE = "--features=random and --features=backbone --weights=FOLDER need no network"

# These numbers define `random`: other numbers would make other features, whose distances could not be compared.
_RANDOM_SEED = 20200625
_RANDOM_STAGES = (32, 64, 128)
_RANDOM_SLOPE = 0.2  # of leaky ReLU; without it some features are zero for every image
_MOST_RANDOM_PIXELS = 2**19  # in a batch, which takes 0.18 GB of memory then, whatever the size of its images


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """A function from images, uint8 (num_images, height, width, channels), to features, float32 (num_images, d).

    Attributes:
        name: the name of the features in the names of metrics, with the resizer if there is one: `random`,
            `resnet18-bilinear224`. It has no spaces and no slashes.
        fingerprint: a digest of the weights. Features with equal name and fingerprint can be compared.
        function: a function from uint8 (batch, height, width, 3) to features (batch, d).
        batch_size: the number of images that go through the network at once.
        frechet_name: the name of the Fréchet distance of these features; `fid` if they are InceptionV3's.
    """

    name: str
    fingerprint: str
    function: Callable[[np.ndarray], np.ndarray]
    batch_size: int = 128
    frechet_name: str = "frechet"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns the features of uint8 images with 1 or 3 channels; grey images are turned into RGB.

        Raises:
            UserError: if there is no image.
        """
        assert images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (1, 3), images.shape
        if not len(images):
            raise UserError("there is no image to extract features from: give a folder or dataset that holds some")
        batches = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return np.concatenate([self.function(_as_rgb(batch)) for batch in batches]).astype(np.float32, copy=False)


def weights_fingerprint(network: keras.Model) -> str:
    """Returns the SHA-256 of a network's weights in their order."""
    digest = hashlib.sha256()
    for weights in network.get_weights():
        digest.update(repr((weights.shape, weights.dtype.name)).encode())
        digest.update(np.ascontiguousarray(weights))
    return digest.hexdigest()


def build_random_network() -> keras.Model:
    """Builds a fixed, untrained convolutional network, for images that are far from ImageNet.

    Features of a network with random weights do not favour the classes of ImageNet, and rank generators sensibly where
    trained networks fail (Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020).
    Their network was a VGG16. This one is shallower, so that patches of 50 pixels are not pooled away: three stages of
    two 3x3 convolutions (He normal, no bias) with leaky ReLU, and average pooling by 2 between the stages. The features
    are the mean and the standard deviation over all positions of each stage, at scales of about 5, 14 and 32 pixels.

    Every second kernel of a layer is made to sum to zero over its positions, so that it responds to texture and not to
    brightness. Otherwise colour dominates: for the KID between halves of 364 real patches, one of them blurred by half
    a pixel, the value was 1.0 of its standard deviations over subsets without zero-sum kernels, and 3.9 with them.

    Weights come from NumPy, so that they are the same on every backend and device.

    Returns:
        A model from images, uint8 (batch, height, width, 3), any size from 4 pixels, to features, float32 (batch, 448).
    """
    import keras
    from keras import layers, ops

    rng = np.random.default_rng(_RANDOM_SEED)
    images = keras.Input((None, None, 3), dtype="uint8", name="image")
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
    """Returns the extractor of the features of `build_random_network`."""
    from histogan_tf.models.inference import compiled

    network = build_random_network()
    compute = compiled(network)

    def features(images: np.ndarray) -> np.ndarray:
        most_images = max(1, _MOST_RANDOM_PIXELS // (images.shape[1] * images.shape[2]))
        starts = range(0, len(images), most_images)
        return np.concatenate([compute(images[start : start + most_images]).numpy() for start in starts])

    return FeatureExtractor("random", weights_fingerprint(network), features)


def build_inception_network(weights: Path | None) -> keras.Model:
    """Builds InceptionV3 up to its last pooling, for images of any size.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016; its features are those of
    the FID of Heusel et al., NeurIPS 2017. Images are resized bilinearly to a square, with antialiasing where they
    shrink and without rounding to whole grey levels, and scaled to [-1, 1]. The weights are those of
    keras.applications, not those of the FID's authors. So values can be compared with each other, but not with those in
    papers.

    Args:
        weights: the weights file of keras.applications; None for weights drawn by Keras's global seed.

    Returns:
        A model from images, uint8 (batch, height, width, 3), to features, float32 (batch, 2048).
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
    """Returns the path of InceptionV3's ImageNet weights in Keras's cache; downloads them if they are not there.

    Raises:
        UserError: if they cannot be downloaded, or the digest of the file in the cache is wrong.
    """
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = home / "models" / INCEPTION_WEIGHTS_URL.rsplit("/", 1)[1]
    if path.exists():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() == INCEPTION_WEIGHTS_MD5:
                return path
        raise UserError(
            f"--features=inception: {path} is truncated or not the file {INCEPTION_WEIGHTS_URL}: remove it, so that it "
            f"is downloaded again, or put that file in its place; {_OFFLINE}"
        )
    import keras

    try:
        home.mkdir(parents=True, exist_ok=True)  # otherwise Keras would use a folder in /tmp
        return Path(
            keras.utils.get_file(
                path.name,
                INCEPTION_WEIGHTS_URL,
                file_hash=INCEPTION_WEIGHTS_MD5,
                cache_dir=str(home),
                cache_subdir=path.parent.name,
            )
        )
    except Exception as error:  # Keras raises a bare Exception, whose context is urllib's error
        raise UserError(
            f"--features=inception: {path} is not there, and {INCEPTION_WEIGHTS_URL} cannot be downloaded "
            f"({error.__context__ or error}): download it on a machine with a network and copy it there; {_OFFLINE}"
        ) from error


def inception_extractor() -> FeatureExtractor:
    """Returns the extractor of the features of `build_inception_network`, with weights trained on ImageNet.

    Raises:
        UserError: if the weights cannot be downloaded or are damaged.
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


def backbone_extractor(config: Config, image_shape: tuple[int, int, int]) -> FeatureExtractor:
    """Returns the extractor of the classifier backbone's features, with the weights and image size of the flags.

    Args:
        config: the resolved flags, of which --backbone, --weights, --classifier_size, --feature_layer, --center_crop,
            --seed and --cpu_kernels are used.
        image_shape: the (height, width, channels) of the images; grey images are turned into RGB.

    Raises:
        UserError: if the weights cannot be loaded.
    """
    from histogan_tf.models.inference import INFERENCE_BATCH, compiled
    from histogan_tf.models.resnet import configured_classifier

    classifier = configured_classifier(config, (*image_shape[:2], 3), precision="float32")
    features, interpolation = classifier.features, classifier.preparation.interpolation
    compute = compiled(features)
    untrained = "-untrained" if config.weights == "random" else ""
    layer = "" if config.feature_layer is None else f"-{config.feature_layer}"
    centre = "-centre" if config.center_crop else ""
    return FeatureExtractor(
        name=f"{config.backbone}{untrained}{layer}{centre}-{interpolation}{config.classifier_size}",
        fingerprint=weights_fingerprint(features),
        function=lambda images: compute(images).numpy(),
        batch_size=INFERENCE_BATCH,
    )


def network_of_features(name: str) -> str:
    """Returns the network whose features have a name: a key of `BACKBONES`, `random` or `inception`."""
    return name.split("-")[0]


def resnet_extractor(config: Config, image_shape: tuple[int, int, int]) -> FeatureExtractor:
    """Returns the extractor of the features of a ResNet-18; it takes the arguments of `backbone_extractor`.

    Raises:
        UserError: if the weights cannot be loaded, or --backbone names another network, whose weights they would be.
    """
    if config.backbone != "resnet18":
        raise UserError(
            f"--features=resnet18 and --backbone={config.backbone} contradict each other: give --features=backbone"
        )
    return backbone_extractor(config, image_shape)


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """One value of --features.

    Attributes:
        help: the description of the network in the help of --features.
        build: a function of a resolved Config and the (height, width, channels) of the images that returns the
            extractor; it raises UserError if the weights cannot be loaded.
    """

    help: str
    build: Callable[[Config, tuple[int, int, int]], FeatureExtractor]


FEATURE_NETWORKS: dict[str, FeatureNetwork] = {
    "random": FeatureNetwork(
        "a fixed untrained network, for images that are far from ImageNet",
        lambda config, image_shape: random_extractor(),
    ),
    "backbone": FeatureNetwork("the classifier's --backbone, with the weights of --weights", backbone_extractor),
    "resnet18": FeatureNetwork("the same, where the --backbone is a ResNet-18", resnet_extractor),
    "inception": FeatureNetwork(
        "InceptionV3 trained on ImageNet, whose Fréchet distance is the FID; fetched once by keras.applications",
        lambda config, image_shape: inception_extractor(),
    ),
}


def feature_extractors(config: Config, image_shape: tuple[int, int, int]) -> list[FeatureExtractor]:
    """Returns the extractor that --features asks for; if left out, `random`, and `backbone` if weights are there.

    One feature space is no verdict: random features hardly notice a checkerboard, those of ImageNet see classes.

    Args:
        config: the resolved flags.
        image_shape: the (height, width, channels) of the images.

    Raises:
        UserError: if the weights of an extractor cannot be loaded.
    """
    extractors = [feature_extractor(config, image_shape)]
    if config.features is None and are_at_hand(config.weights, config.backbone):
        extractors.append(backbone_extractor(config, image_shape))
    return extractors


def feature_extractor(config: Config, image_shape: tuple[int, int, int]) -> FeatureExtractor:
    """Returns the extractor that --features asks for; `random` if it is left out.

    Args:
        config: the resolved flags.
        image_shape: the (height, width, channels) of the images.

    Raises:
        UserError: if its weights cannot be loaded.
    """
    return FEATURE_NETWORKS[config.features or "random"].build(config, image_shape)


def _as_rgb(images: np.ndarray) -> np.ndarray:
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
