"""The pool of earlier translations that CycleGAN's discriminators see in place of some new ones."""

from __future__ import annotations

import tensorflow as tf

from histogan_tf.machine import replicas


class ImagePool(tf.Module):
    """A store of earlier generated images; showing them again keeps a discriminator from forgetting them.

    Source: Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", CVPR
    2017, section 2.3, in the form of CycleGAN (Zhu et al. 2017, section 4: 50 images). The state is two variables,
    which tf.train.Checkpoint saves and restores exactly.

    Each replica has a copy of the pool. It queries its copy with the whole global batch, gathered from all replicas,
    and returns its share of the result. So all copies stay equal, and equal to the pool of a single replica.

    Attributes:
        capacity: number of images in a full pool; 0 for no pool.
        images: float32 variable (capacity, height, width, channels), stored images; rows from `count` on are zeros.
        count: int64 variable (), the number of stored images.
    """

    def __init__(self, capacity: int, image_shape: tuple[int, int, int], name: str = "image_pool") -> None:
        super().__init__(name=name)
        assert capacity >= 0, capacity
        self.capacity = capacity
        self.images = tf.Variable(tf.zeros((capacity, *image_shape)), name="images", trainable=False)
        self.count = tf.Variable(0, dtype=tf.int64, name="count", trainable=False)

    def query(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Exchanges some of the new images for stored ones.

        The images are taken one after the other, as in the original's loop. While the pool is filling, each is stored
        and returned. Once it is full, each is returned as it is with probability 0.5; otherwise a stored image is
        returned and the new one takes its place. No gradient flows through the result.

        Args:
            images: float32 (batch, height, width, channels), the new images of this replica; any batch size from 1 up.
            seed: int (2,), the seed of this call's random draws.

        Returns:
            float32, in the shape of `images`: for each new image, itself or the stored one returned instead.
        """
        images = tf.stop_gradient(images)
        if self.capacity == 0:
            return images
        images = replicas.gathered(images)
        order = tf.range(tf.shape(images, tf.int64)[0])
        # One draw decides both: the lower half of its range is the place to exchange, the upper half means no exchange.
        draws = tf.random.stateless_uniform(tf.shape(order), seed, 0, 2 * self.capacity, tf.int64)
        filling = self.count + order < self.capacity
        places = tf.where(filling, self.count + order, draws)

        # This computes the original's loop without a loop. Stored and new images are rows of one table, newer ones in
        # higher rows. So the image that was put into a place last is the highest row that was put there.
        history = tf.concat([self.images, images], axis=0)
        rows = self.capacity + order
        put_earlier = (places[:, None] == places) & (order[:, None] > order)
        held = tf.reduce_max(tf.where(put_earlier, rows, places[:, None]), axis=1)
        exchanged = ~filling & (places < self.capacity)
        returned = tf.gather(history, tf.where(exchanged, held, rows))

        all_places = tf.range(self.capacity, dtype=tf.int64)
        left = tf.reduce_max(tf.where(places[:, None] == all_places, rows[:, None], all_places), axis=0)
        self.images.assign(tf.gather(history, left))
        self.count.assign(tf.minimum(self.count + tf.size(order, tf.int64), self.capacity))
        return replicas.share(returned)
