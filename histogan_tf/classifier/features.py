"""Features of a frozen backbone: computed once, kept on disk by content."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.perturbations import perturbed_view
from histogan_tf.errors import UserError
from histogan_tf.files import written_aside
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.progress import Progress
from histogan_tf.randomness import Purpose, stateless_seed

logger = logging.getLogger(__name__)

BATCH = 64  # images that go through the backbone at once


class FeatureCache:
    """Features of image sets, each in a file that is named after all they depend on.

    That is the backbone's weights, its preprocessing and precision, the pixels, and the perturbations with their seed.
    A file that is damaged is computed anew.

    Args:
        directory: of the files.
        network: from uint8 (batch, height, width, channels) to float32 (batch, num_features).
        settings: whatever else than the weights decides what the network computes, such as sizes and precision.
        seed: of the perturbations.
    """

    def __init__(self, directory: Path, network: keras.Model, settings: Sequence[object], seed: int) -> None:
        self._directory, self._seed = directory, seed
        self._backbone = f"{weights_fingerprint(network)} {list(settings)}"
        self._compute = compiled(network)

    def views(self, image_set: ImageSet, perturbations: Collection[str] = (), num_views: int = 0) -> np.ndarray:
        """Features of the images and of their perturbed views.

        Returns:
            float32 (1 + num_views, num_images, num_features); the first are those of the images themselves.
        """
        perturbations = sorted(perturbations)
        fingerprint = image_set.fingerprint()
        wanted = [self._path(fingerprint, perturbations, view) for view in range(1 + num_views)]
        features = [_read(path, len(image_set)) for path in wanted]
        missing = [view for view, found in enumerate(features) if found is None]
        if not missing:
            return np.stack(features)
        logger.info("features of %d images, view %s", len(image_set), ", ".join(map(str, missing)))
        with Progress(len(missing) * len(image_set), 0, "image") as progress:
            for number, view in enumerate(missing):
                features[view] = self._view(image_set, perturbations, view, progress, number * len(image_set))
                with written_aside(wanted[view]) as aside, aside.open("wb") as file:
                    np.save(file, features[view], allow_pickle=False)
        return np.stack(features)

    def _path(self, fingerprint: str, perturbations: Sequence[str], view: int) -> Path:
        how = [perturbations, view, self._seed] if view else []
        content = f"{self._backbone} {fingerprint} {how}"
        return self._directory / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.npy"

    def _view(
        self, image_set: ImageSet, perturbations: Sequence[str], view: int, progress: Progress, done: int
    ) -> np.ndarray:
        batches = []
        for start in range(0, len(image_set), BATCH):
            batch = tf.constant(_read_batch(image_set, start))
            if view:
                seed = stateless_seed(self._seed, Purpose.CLASSIFIER_VIEWS, start)
                batch = perturbed_view(batch, perturbations, view, seed)
            batches.append(self._compute(batch).numpy())
            progress.update(done + start + len(batch))
        return np.concatenate(batches)


def compiled(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """The network in inference mode as one graph for all batch sizes, on uint8 images."""

    @tf.function(input_signature=[tf.TensorSpec(network.input.shape, tf.uint8)])
    def compute(images: tf.Tensor) -> tf.Tensor:
        return network(images, training=False)

    return compute


def _read_batch(image_set: ImageSet, start: int) -> np.ndarray:
    """A batch of images; lazy ones are read now, and none may stand in for one that cannot be: its label is another."""
    stop = min(start + BATCH, len(image_set))
    if not image_set.is_lazy:
        return image_set.images[start:stop]
    images, taken = image_set.images.take(np.arange(start, stop))
    replaced = start + np.flatnonzero(taken != np.arange(start, stop))
    if len(replaced):
        name = str(image_set.ids[replaced[0]])
        raise UserError(
            f"{name!r} cannot be used, and the set is too large to be read beforehand: remove what the warnings name, "
            f"or raise --memory_budget_gb"
        )
    return images


def _read(path: Path, num_images: int) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s is damaged (%s): computing these features anew", path, error)
        return None
    assert features.ndim == 2 and len(features) == num_images, (path, features.shape)
    return features
