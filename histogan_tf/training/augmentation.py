"""Differentiable augmentation of the images that a discriminator sees, for small sets: DiffAugment and ADA.

To add a policy, write a function of images and a seed, and a line in `POLICIES`, from which --diffaugment takes its
choices. The flag reads the table, so TensorFlow is imported only when images are augmented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from histogan_tf.machine import replicas
from histogan_tf.machine.lazy_module import tensorflow as tf

if TYPE_CHECKING:
    from histogan_tf.config import Config

Policy = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]

_ADA_INTERVAL = 4  # steps between changes of p (Karras et al. 2020, section 3.1)
# Number of images in which p can go from 0 to 1. The paper has 500,000. Its code has 100,000 for the short runs of
# transfer learning (stylegan2-ada's train.py), which are as long as runs of this program.
_ADA_IMAGES = 100_000


def color(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns each image with its brightness, saturation and contrast changed at random.

    Brightness moves by -0.5 to 0.5, saturation is multiplied by 0 to 2, contrast by 0.5 to 1.5.

    Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, section 4 and its code.

    Args:
        images: float32 (batch, height, width, channels), in [-1, 1].
        seed: int (2,), the seed on which all random draws depend.

    Returns:
        The changed images, of the same shape and type; `color` may leave the range [-1, 1].
    """
    brightness, saturation, contrast = _per_image(images, 3, seed)
    images = images + (brightness - 0.5)
    grey = tf.reduce_mean(images, axis=-1, keepdims=True)
    images = grey + 2.0 * saturation * (images - grey)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (0.5 + contrast) * (images - mean)


def random_shift(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns each image moved at random by up to an eighth of its size along each axis (Zhao et al. 2020).

    The pixels that come in at the edge are 0, mid-grey. Arguments and result are those of `color`.
    """
    offsets = _uniform(images, 2, seed)
    # A product with rows of a unit matrix, because the gradient of a gather is not deterministic on a GPU.
    rows, columns = (_moved(offset, size) for offset, size in zip(offsets, images.shape[1:3], strict=True))
    return tf.einsum("nyh,nhwc,nxw->nyxc", rows, images, columns)


def reflected_shift(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns each image moved as by `random_shift`; the pixels that come in at the edge are mirrored ones.

    A generator that is trained against images with empty margins may learn to draw such margins. Arguments and result
    are those of `color`.
    """
    offsets = _uniform(images, 2, seed)
    rows, columns = (
        _moved(offset, size, is_reflected=True) for offset, size in zip(offsets, images.shape[1:3], strict=True)
    )
    return tf.einsum("nyh,nhwc,nxw->nyxc", rows, images, columns)


def cutout(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns each image with a window of half its size, at a random place, set to 0, mid-grey (Zhao et al. 2020).

    The window may reach beyond the edge. Arguments and result are those of `color`.
    """
    places = _uniform(images, 2, seed)
    is_in_rows, is_in_columns = (_window(place, size) for place, size in zip(places, images.shape[1:3], strict=True))
    is_in_window = is_in_rows[:, :, None, None] & is_in_columns[:, None, :, None]
    return tf.where(is_in_window, tf.zeros_like(images), images)


def dihedral(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns each image flipped or turned by one of the eight symmetries of a square, all equally likely.

    Tissue looks the same in each of them. Images that are not square get one of the four that keep their shape.
    Arguments and result are those of `color`.
    """
    is_mirrored, is_upside_down, is_transposed = (chance < 0.5 for chance in _uniform(images, 3, seed))
    images = _chosen(is_mirrored, tf.reverse(images, [2]), images)
    images = _chosen(is_upside_down, tf.reverse(images, [1]), images)
    if images.shape[1] != images.shape[2]:
        return images
    return _chosen(is_transposed, tf.transpose(images, (0, 2, 1, 3)), images)


def stain(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns each image with the amounts of haematoxylin, eosin and DAB changed at random, as another laboratory might
    have stained it (Tellez et al., IEEE TMI 2018). Arguments and result are those of `color`.

    Raises:
        UserError: if the images have no three channels.
    """
    from histogan_tf.data.stain import jitter_stains

    return 2.0 * jitter_stains((images + 1.0) / 2.0, seed) - 1.0


POLICIES: Mapping[str, Policy] = {
    "dihedral": dihedral,
    "color": color,
    "translation": random_shift,
    "reflected_translation": reflected_shift,
    "cutout": cutout,
    "stain": stain,
}


class Augmentation:
    """Applies policies to every image, in the order of the table.

    Args:
        names: the names of the policies.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._policies = [policy for name, policy in POLICIES.items() if name in names]

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns the augmented images, which the discriminator sees.

        Args:
            images: float32 (batch, height, width, channels), in [-1, 1].
            seed: int64 (2,), the seed on which all random draws depend.
        """
        for number, policy in enumerate(self._policies):
            images = self._apply(policy, images, tf.random.fold_in(seed, number))
        return images

    def _apply(self, policy: Policy, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return policy(images, seed)

    def adapt(self, step: tf.Tensor, real_logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Is called with each step's logits of real images; returns values to log by name. Here there are none."""
        return {}

    def state(self) -> dict[str, tf.Variable]:
        """Returns the variables that a checkpoint must hold; here none."""
        return {}


class AdaptiveAugmentation(Augmentation):
    """Applies each policy to each image with a probability p, which grows while the discriminator overfits.

    Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3.1: every four
    minibatches, p grows or shrinks by a constant amount, by the sign of r_t - target, where r_t = E[sign(D(real))].

    Args:
        names: the names of the policies.
        target: the value of r_t at which p stays, in (0, 1].
        batch_size: the number of images in a step, over all replicas.
    """

    def __init__(self, names: Sequence[str], target: float, batch_size: int) -> None:
        super().__init__(names)
        self._target = target
        self._increment = _ADA_INTERVAL * batch_size / _ADA_IMAGES
        self.probability = tf.Variable(0.0, trainable=False)
        self._sum_of_signs = tf.Variable(0.0, trainable=False)  # over the steps since p changed

    def _apply(self, policy: Policy, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        policy_seed, chance_seed = tf.unstack(tf.random.split(seed, 2))
        is_chosen = _uniform(images, 1, chance_seed)[0] < self.probability
        # The gradients of a policy that uses its images twice are added up before that of the images themselves:
        # TensorFlow adds three or more tensors in an order that depends on the moment.
        return _chosen(is_chosen, policy(tf.identity(images), policy_seed), images)

    def adapt(self, step: tf.Tensor, real_logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Adds up the signs of this step's logits, and changes p in every fourth step.

        Args:
            step: int64 scalar, the number of steps made before.
            real_logits: the logits of augmented real images.

        Returns:
            The values to log: `ada_p`, which is p, and `ada_sign`, this step's mean sign.
        """
        sign = replicas.mean(tf.reduce_mean(tf.sign(tf.cast(real_logits, tf.float32))))
        sum_of_signs = self._sum_of_signs + sign
        is_due = tf.equal((step + 1) % _ADA_INTERVAL, 0)
        change = self._increment * tf.sign(sum_of_signs / _ADA_INTERVAL - self._target)
        self.probability.assign(tf.clip_by_value(self.probability + tf.where(is_due, change, 0.0), 0.0, 1.0))
        self._sum_of_signs.assign(tf.where(is_due, 0.0, sum_of_signs))
        return {"ada_p": self.probability.read_value(), "ada_sign": sign}

    def state(self) -> dict[str, tf.Variable]:
        """Returns the variables that a checkpoint must hold."""
        return {"ada_probability": self.probability, "ada_sum_of_signs": self._sum_of_signs}


def augmentation_of(config: Config) -> Augmentation:
    """Returns the augmentation that --diffaugment and --ada_target ask for."""
    if config.ada_target:
        return AdaptiveAugmentation(config.diffaugment, config.ada_target, config.batch_size)
    return Augmentation(config.diffaugment or ())


def _uniform(images: tf.Tensor, num_draws: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Returns `num_draws` uniform draws from [0, 1), each float32 (batch,)."""
    shape = (num_draws, tf.shape(images)[0])
    return tf.unstack(replicas.drawn(lambda shape: tf.random.stateless_uniform(shape, seed), shape, axis=1))


def _per_image(images: tf.Tensor, num_draws: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """Returns `num_draws` uniform draws from [0, 1), each float32 (batch, 1, 1, 1)."""
    return [draws[:, None, None, None] for draws in _uniform(images, num_draws, seed)]


def _chosen(is_first: tf.Tensor, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns each image of `first` where `is_first`, bool (batch,), says so, and that of `second` elsewhere."""
    # It copies whole images. tf.where, with a condition for each pixel, takes four times as long on a CPU.
    return tf.raw_ops.Select(condition=is_first, x=first, y=second)


def _moved(uniform: tf.Tensor, size: int, is_reflected: bool = False) -> tf.Tensor:
    """Returns matrices (batch, size, size) that shift: row y holds a 1 at y - shift.

    If that is outside, the 1 is at the mirrored place, or, unless `is_reflected`, the row holds only 0.
    """
    furthest = _half_up(size / 8)
    shift = tf.cast(tf.floor(uniform * (2 * furthest + 1)), tf.int32) - furthest
    pixels = tf.range(size) - shift[:, None]
    if is_reflected:
        pixels = (size - 1) - tf.abs((size - 1) - tf.abs(pixels))
    return tf.one_hot(pixels, size)


def _half_up(number: float) -> int:
    """Returns a positive number rounded as in DiffAugment's code, int(number + 0.5); round() takes 2.5 to 2."""
    return int(number + 0.5)


def _window(uniform: tf.Tensor, size: int) -> tf.Tensor:
    """Returns bool (batch, size): whether a pixel is in a window of half the size, centred on a random pixel."""
    width = _half_up(size / 2)
    first = tf.cast(tf.floor(uniform * (size + (1 - width % 2))), tf.int32)[:, None] - width // 2
    pixels = tf.range(size)
    return (first <= pixels) & (pixels < first + width)
