"""Differentiable augmentation of what a discriminator sees, for few images: DiffAugment, and ADA on top of it.

To add a policy, write a function of images and a seed and a line in `POLICIES`, from which --diffaugment takes its
choices. The flag reads the table, so TensorFlow is only imported when images are augmented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from histogan_tf.machine import replicas
from histogan_tf.machine.lazy_module import tensorflow as tf

Policy = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]

_ADA_INTERVAL = 4  # steps between changes of p (Karras et al. 2020, section 3.1)
# Images in which p can go from 0 to 1. The paper has 500,000, and its code 100,000 for the short runs of transfer
# learning (stylegan2-ada's train.py), which are as long as ours.
_ADA_IMAGES = 100_000


def color(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Brightness moved by up to 0.5 of a range of 2, saturation times 0 to 2, contrast times 0.5 to 1.5.

    Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, section 4 and its code.

    Args:
        images: float32 (batch, height, width, channels), [-1, 1]; results may lie outside.
        seed: int (2,), of stateless operations; all randomness is its function.
    """
    brightness, saturation, contrast = _per_image(images, 3, seed)
    images = images + (brightness - 0.5)
    grey = tf.reduce_mean(images, axis=-1, keepdims=True)
    images = grey + 2.0 * saturation * (images - grey)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (0.5 + contrast) * (images - mean)


def random_shift(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Moved by up to an eighth of the size along each axis; what comes in is 0, mid-grey (Zhao et al. 2020).

    Takes and returns what `color` does.
    """
    offsets = _uniform(images, 2, seed)
    # A product with rows of a unit matrix, for a gather's gradient adds up in any order on a GPU.
    rows, columns = (_moved(offset, size) for offset, size in zip(offsets, images.shape[1:3], strict=True))
    return tf.einsum("nyh,nhwc,nxw->nyxc", rows, images, columns)


def cutout(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A window of half the size, at a random place and cut by the edge, set to 0, mid-grey (Zhao et al. 2020).

    Takes and returns what `color` does.
    """
    places = _uniform(images, 2, seed)
    is_in_rows, is_in_columns = (_window(place, size) for place, size in zip(places, images.shape[1:3], strict=True))
    is_in_window = is_in_rows[:, :, None, None] & is_in_columns[:, None, :, None]
    return tf.where(is_in_window, tf.zeros_like(images), images)


def dihedral(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the eight flips and quarter turns, each as likely, to which tissue is indifferent; of four, if not square.

    Takes and returns what `color` does.
    """
    is_mirrored, is_upside_down, is_transposed = (chance < 0.5 for chance in _per_image(images, 3, seed))
    images = tf.where(is_mirrored, tf.reverse(images, [2]), images)
    images = tf.where(is_upside_down, tf.reverse(images, [1]), images)
    if images.shape[1] != images.shape[2]:
        return images
    return tf.where(is_transposed, tf.transpose(images, (0, 2, 1, 3)), images)


POLICIES: Mapping[str, Policy] = {
    "dihedral": dihedral,
    "color": color,
    "translation": random_shift,
    "cutout": cutout,
}


class Augmentation:
    """Applies policies to every image, in the order of the table.

    Args:
        names: names of the policies.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._policies = [policy for name, policy in POLICIES.items() if name in names]

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images as the discriminator shall see them.

        Args:
            images: float32 (batch, height, width, channels), [-1, 1].
            seed: int64 (2,); all randomness is its function.
        """
        for number, policy in enumerate(self._policies):
            images = self._apply(policy, images, tf.random.fold_in(seed, number))
        return images

    def _apply(self, policy: Policy, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return policy(images, seed)

    def adapt(self, step: tf.Tensor, real_logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Called with each step's logits of real images; returns values to log by name, which are none here."""
        return {}

    def state(self) -> dict[str, tf.Variable]:
        """What a checkpoint must hold."""
        return {}


class AdaptiveAugmentation(Augmentation):
    """Each policy applied to each image with the probability p, which follows the discriminator's overfitting.

    Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3.1: p grows or
    shrinks by a constant amount every four minibatches, by the sign of r_t - target, where r_t = E[sign(D(real))].

    Args:
        names: names of the policies.
        target: value of r_t at which p stays, in (0, 1].
        batch_size: images a step, of all replicas.
    """

    def __init__(self, names: Sequence[str], target: float, batch_size: int) -> None:
        super().__init__(names)
        self._target = target
        self._increment = _ADA_INTERVAL * batch_size / _ADA_IMAGES
        self.probability = tf.Variable(0.0, trainable=False)
        self._sum_of_signs = tf.Variable(0.0, trainable=False)  # over the steps since p changed

    def _apply(self, policy: Policy, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        policy_seed, chance_seed = tf.unstack(tf.random.split(seed, 2))
        is_chosen = _per_image(images, 1, chance_seed)[0] < self.probability
        return tf.where(is_chosen, policy(images, policy_seed), images)

    def adapt(self, step: tf.Tensor, real_logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Counts a step's signs, and moves p in every fourth.

        Args:
            step: int64 scalar, the number of steps made before.
            real_logits: of augmented real images.

        Returns:
            `ada_p` and `ada_sign`, this step's mean sign.
        """
        sign = replicas.mean(tf.reduce_mean(tf.sign(tf.cast(real_logits, tf.float32))))
        sum_of_signs = self._sum_of_signs + sign
        is_due = tf.equal((step + 1) % _ADA_INTERVAL, 0)
        change = self._increment * tf.sign(sum_of_signs / _ADA_INTERVAL - self._target)
        self.probability.assign(tf.clip_by_value(self.probability + tf.where(is_due, change, 0.0), 0.0, 1.0))
        self._sum_of_signs.assign(tf.where(is_due, 0.0, sum_of_signs))
        return {"ada_p": self.probability.read_value(), "ada_sign": sign}

    def state(self) -> dict[str, tf.Variable]:
        """What a checkpoint must hold."""
        return {"ada_probability": self.probability, "ada_sum_of_signs": self._sum_of_signs}


def _uniform(images: tf.Tensor, num_draws: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Draws from [0, 1), float32 (batch,) each."""
    shape = (num_draws, tf.shape(images)[0])
    return tf.unstack(replicas.drawn(lambda shape: tf.random.stateless_uniform(shape, seed), shape, axis=1))


def _per_image(images: tf.Tensor, num_draws: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Draws from [0, 1), float32 (batch, 1, 1, 1) each."""
    return [draws[:, None, None, None] for draws in _uniform(images, num_draws, seed)]


def _moved(uniform: tf.Tensor, size: int) -> tf.Tensor:
    """(batch, size, size): row y holds a 1 at y - shift, and nothing where that lies outside."""
    furthest = round(size / 8)
    shift = tf.cast(tf.floor(uniform * (2 * furthest + 1)), tf.int32) - furthest
    return tf.one_hot(tf.range(size) - shift[:, None], size)


def _window(uniform: tf.Tensor, size: int) -> tf.Tensor:
    """Bool (batch, size): the pixels in a window of half the size, around any of them."""
    width = round(size / 2)
    first = tf.cast(tf.floor(uniform * (size + (1 - width % 2))), tf.int32)[:, None] - width // 2
    pixels = tf.range(size)
    return (first <= pixels) & (pixels < first + width)
