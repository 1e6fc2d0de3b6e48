"""Features of a frozen backbone: computed once, kept on disk by content."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.perturbations import perturbed_view
from histogan_tf.errors import UserError, counted
from histogan_tf.machine import replicas
from histogan_tf.machine.progress import Progress
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.machine.workers import is_chief, of_all_workers
from histogan_tf.models.backbones import Preparation
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.models.inference import INFERENCE_BATCH, compiled
from histogan_tf.runs.array_cache import ArrayCache

logger = logging.getLogger(__name__)


class FeatureCache:
    """Features of image sets, each in a file that is named after all they depend on.

    That is the backbone's weights, its preprocessing and precision, the pixels, and the perturbations with their seed.
    A file that is damaged is computed anew. Batches take turns on the replicas of the strategy in scope; each worker
    reads the images of its own.

    Args:
        directory: of the files.
        network: from uint8 (batch, height, width, channels) to float32 (batch, num_features).
        settings: whatever else than the weights decides what the network computes, such as sizes and precision.
        seed: of the perturbations.
    """

    def __init__(self, directory: Path, network: keras.Model, settings: Sequence[object], seed: int) -> None:
        self._files, self._seed = ArrayCache(directory), seed
        self._backbone = f"{weights_fingerprint(network)} {list(settings)}"
        self._network, self._compute = network, compiled(network)

    def views(self, image_set: ImageSet, perturbations: Collection[str] = (), num_views: int = 0) -> np.ndarray:
        """Returns the features of the images and of their perturbed views.

        Returns:
            float32 (1 + num_views, num_images, num_features); the first are those of the images themselves.
        """
        perturbations = sorted(perturbations)
        fingerprint = image_set.fingerprint()
        wanted = [self._name(fingerprint, perturbations, view) for view in range(1 + num_views)]
        features = [self._files.read(name) for name in wanted]
        # What one worker cannot read, all of them compute.
        is_missing = of_all_workers(np.array([found is None for found in features], np.int64)).any(axis=0)
        missing = np.flatnonzero(is_missing).tolist()
        if not missing:
            return np.stack(features)
        logger.info("features of %s, view %s", counted(len(image_set), "image"), ", ".join(map(str, missing)))
        with Progress(len(missing) * len(image_set), 0, "image") as progress:
            for number, view in enumerate(missing):
                features[view] = self._view(image_set, perturbations, view, progress, number * len(image_set))
                if is_chief():
                    self._files.write(wanted[view], features[view])
        return np.stack(features)

    def _name(self, fingerprint: str, perturbations: Sequence[str], view: int) -> str:
        how = [perturbations, view, self._seed] if view else []
        content = f"{self._backbone} {fingerprint} {how}"
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    def _view(
        self, image_set: ImageSet, perturbations: Sequence[str], view: int, progress: Progress, done: int
    ) -> np.ndarray:
        def batch_from(start: int) -> tf.Tensor:
            batch = tf.constant(_read_batch(image_set, start))
            if not view:
                return batch
            seed = stateless_seed(self._seed, Purpose.CLASSIFIER_VIEWS, start)
            return perturbed_view(batch, perturbations, view, seed)

        starts = range(0, len(image_set), INFERENCE_BATCH)
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        features = []
        for first in range(0, len(starts), num_replicas):
            turn = starts[first : first + num_replicas]
            is_alone = len(turn) == 1
            features.append(self._compute(batch_from(turn[0])).numpy() if is_alone else self._turn(batch_from, turn))
            progress.update(min(turn[-1] + INFERENCE_BATCH, len(image_set)) + done)
        return np.concatenate(features)[: len(image_set)]

    def _turn(self, batch_from: Callable[[int], tf.Tensor], starts: Sequence[int]) -> np.ndarray:
        """Returns the features of as many batches as there are replicas; the last stands in for missing ones."""
        strategy = tf.distribute.get_strategy()
        batches = strategy.experimental_distribute_values_from_function(
            lambda context: batch_from(starts[min(context.replica_id_in_sync_group, len(starts) - 1)])
        )
        return strategy.experimental_local_results(self._compute_on_replicas(batches))[0].numpy()

    @tf.function(autograph=False)
    def _compute_on_replicas(self, batches: tf.distribute.DistributedValues) -> tf.distribute.DistributedValues:
        def compute(batch: tf.Tensor) -> tf.Tensor:
            features = self._network(batch, training=False)
            return replicas.gathered(tf.pad(features, [[0, INFERENCE_BATCH - tf.shape(batch)[0]], [0, 0]]))

        return tf.distribute.get_strategy().run(compute, args=(batches,))


def _read_batch(image_set: ImageSet, start: int) -> np.ndarray:
    """A batch of images; lazy ones are read now, and none may stand in for one that cannot be: its label is another."""
    stop = min(start + INFERENCE_BATCH, len(image_set))
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


def feature_cache(config: Config, features: keras.Model, directory: Path) -> FeatureCache:
    """Returns the cache of features in a folder."""
    preparation = features.get_layer("preprocessing").preparation
    # What is as it was before there were flags for it is left out, so that older files are found.
    changed = [
        value
        for value, default in (
            (config.backbone, "resnet18"),
            (config.feature_layer, None),
            (config.center_crop, False),
            (preparation, Preparation()),
        )
        if value != default
    ]
    settings = (config.classifier_size, config.precision, *changed)
    return FeatureCache(directory, features, settings, config.seed)
