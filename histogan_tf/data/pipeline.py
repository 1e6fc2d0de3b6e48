"""Makes batches for training from an ImageSet; the only place that turns uint8 into float32 in [-1, 1] and back."""

from __future__ import annotations

import tensorflow as tf

from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError, counted

_READERS = 2  # batches that are assembled at the same time; each decodes lazy images on all cores
_BATCHES_AHEAD = 4


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Returns images, uint8 in [0, 255], any shape, as float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Returns images, float in [-1, 1], any shape, as uint8 in [0, 255]: rounded to the nearest, then clipped."""
    levels = tf.round((tf.cast(images, tf.float32) + 1.0) * 127.5)
    return tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Returns the number of full batches in a set. The images left over are not used in that epoch.

    Each epoch has another order, so other images are left over.

    Raises:
        UserError: if the set is smaller than a batch.
    """
    if num_images < batch_size:
        raise UserError(
            f"{counted(num_images, 'image')} cannot fill a batch of {batch_size}: give more images, or "
            f"--batch_size={max(num_images, 1)} or less"
        )
    return num_images // batch_size


def batches(
    image_set: ImageSet,
    batch_size: int,
    seed: int,
    start_step: int,
    stop_step: int,
    part: int = 0,
    num_parts: int = 1,
) -> tf.data.Dataset:
    """Returns the batches of the global steps start_step, …, stop_step - 1.

    Step s belongs to epoch s // steps_per_epoch. Each epoch has a random order of the whole set, which depends only on
    the seed and the epoch. So a run that resumes at any step gets the batches that it would have got without a stop.

    Args:
        image_set: the images. Those in memory are not copied; lazy ones are read batch by batch, a few batches ahead.
        batch_size: the number of images in a batch, over all workers.
        seed: the seed of the order.
        start_step: the first global step, counted from 0.
        stop_step: the global step before which to stop.
        part: the part of each batch to read, in [0, num_parts); other workers read the other parts.
        num_parts: the number of equal parts of a batch.

    Returns:
        A dataset of (step, images, labels): int64 (), uint8 (batch_size / num_parts, height, width, channels) and int32
        (batch_size / num_parts,). Labels are 0 if the set is unlabelled.

    Raises:
        UserError: if the set is smaller than a batch.
    """
    num_images, num_steps = len(image_set), steps_per_epoch(len(image_set), batch_size)
    part_size = batch_size // num_parts
    assert part_size * num_parts == batch_size, (batch_size, num_parts)
    with tf.device("CPU:0"):
        labels = tf.zeros(num_images, tf.int32) if image_set.labels is None else tf.constant(image_set.labels)

    def index_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        # tf.random.experimental.index_shuffle would need no memory, but makes only 256 orders for each first seed.
        order = tf.random.experimental.stateless_shuffle(tf.range(num_images, dtype=tf.int64), [seed, epoch])
        indices = tf.reshape(order[: num_steps * batch_size], (num_steps, num_parts, part_size))[:, part]
        return tf.data.Dataset.from_tensor_slices((epoch * num_steps + tf.range(num_steps, dtype=tf.int64), indices))

    def read(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # NumPy gathers as fast as TensorFlow, which would first copy the whole array.
        images, taken = tf.numpy_function(image_set.take, [indices], (tf.uint8, tf.int64), stateful=False)
        images.set_shape((part_size, *image_set.image_shape))
        taken.set_shape((part_size,))
        return step, images, tf.gather(labels, taken)

    first_epoch, steps_made = divmod(start_step, num_steps)
    epochs = tf.data.Dataset.range(first_epoch, stop_step // num_steps + 1)
    steps = epochs.flat_map(index_batches).skip(steps_made).take(max(stop_step - start_step, 0))
    # The number of batches ahead is fixed: a number that TensorFlow tunes may grow until memory is full.
    dataset = steps.map(read, num_parallel_calls=_READERS, deterministic=True).prefetch(_BATCHES_AHEAD)
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False  # they gain nothing here
    return dataset.with_options(options)


def two_domain_batches(
    set_a: ImageSet,
    set_b: ImageSet,
    batch_size: int,
    seed: int,
    start_step: int,
    stop_step: int,
    part: int = 0,
    num_parts: int = 1,
) -> tf.data.Dataset:
    """Returns unpaired batches of two sets, which may differ in length; each set has its own order and its own epochs.

    Args:
        set_a: the images of domain A.
        set_b: the images of domain B.
        batch_size: the number of images of each domain in a batch, over all workers.
        seed: the seed of both orders, in [0, 2**31).
        start_step: the first global step, counted from 0.
        stop_step: the global step before which to stop.
        part: the part of each batch to read, in [0, num_parts); other workers read the other parts.
        num_parts: the number of equal parts of a batch.

    Returns:
        A dataset of (step, images of A, images of B): int64 () and twice uint8 (batch_size / num_parts, height, width,
        channels).

    Raises:
        UserError: if a set is smaller than a batch.
    """
    # Domain B has seeds from 2**31 on: with one seed, two sets of equal length would always form the same pairs.
    batches_a = batches(set_a, batch_size, seed, start_step, stop_step, part, num_parts)
    batches_b = batches(set_b, batch_size, seed + 2**31, start_step, stop_step, part, num_parts)
    return tf.data.Dataset.zip(batches_a, batches_b).map(lambda of_a, of_b: (*of_a[:2], of_b[1]))
