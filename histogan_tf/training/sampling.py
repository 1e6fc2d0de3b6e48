"""Makes images with a DCGAN's generator, for sample sheets, --mode=generate and --mode=visualize."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.data.pipeline import to_uint8
from histogan_tf.machine.randomness import Purpose
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.latents import LATENT_CHUNK_SIZE, latent_chunk


class Sampler:
    """Runs a generator in batches of one size, with batch norm's moving averages (the original's `sampler`).

    Args:
        generator: a generator made by `build_generator`.
        config: the Config of the run; its batch size and its settings of latents are used.
        num_classes: number of labels of a conditional generator; 0 if the generator is not conditional.
    """

    def __init__(self, generator: keras.Model, config: Config, num_classes: int) -> None:
        self._generator = generator
        self._config = config
        self._num_classes = num_classes

    def images(self, latents: np.ndarray | tf.Tensor, labels: np.ndarray) -> np.ndarray:
        """Returns the images of given latents.

        Args:
            latents: float32 (num_images, z_dim).
            labels: int32 (num_images,); used only if the generator is conditional.

        Returns:
            uint8 (num_images, height, width, channels).
        """
        batches = []
        for start in range(0, len(latents), self._config.batch_size):
            chosen = np.arange(start, start + self._config.batch_size)
            padded = np.minimum(chosen, len(latents) - 1)
            images = self._batch(tf.gather(latents, padded), tf.constant(labels[padded], tf.int32))
            batches.append(images.numpy()[: np.sum(chosen < len(latents))])
        return np.concatenate(batches)

    def numbered(
        self, first: int, num_images: int, seed: int, purpose: Purpose, label: int | np.ndarray | None = None
    ) -> np.ndarray:
        """Returns a part of the endless list of images that `seed` defines; it does not depend on the batch size.

        Args:
            first: number of the first image, from 0.
            num_images: number of images.
            seed: the seed of the list.
            purpose: what the images are for; each purpose has a list of its own.
            label: the label of all images, or that of each, int (num_images,); None lets the labels take turns. Only a
                conditional generator uses it.

        Returns:
            uint8 (num_images, height, width, channels).
        """
        first_chunk, last_chunk = first // LATENT_CHUNK_SIZE, (first + num_images - 1) // LATENT_CHUNK_SIZE
        chunks = [
            latent_chunk(chunk, self._config.z_dim, self._config.z_dist, seed, purpose)
            for chunk in range(first_chunk, last_chunk + 1)
        ]
        offset = first - first_chunk * LATENT_CHUNK_SIZE
        latents = tf.concat(chunks, axis=0)[offset : offset + num_images]
        return self.images(latents, self.numbered_labels(first, num_images, label))

    def numbered_labels(self, first: int, num_images: int, label: int | np.ndarray | None = None) -> np.ndarray:
        """Returns the labels, int32 (num_images,), of the images that `numbered` returns."""
        if label is not None:
            return np.broadcast_to(np.asarray(label, np.int32), (num_images,))
        return np.arange(first, first + num_images, dtype=np.int32) % max(1, self._num_classes)

    @tf.function(reduce_retracing=True)
    def _batch(self, latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return to_uint8(self._generator(named_inputs(self._generator, latents, labels), training=False))
