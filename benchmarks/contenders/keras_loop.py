"""Trains as Keras's examples do: a model with `train_step`, called by `train_on_batch`, that reuses no computation.

With `run_eagerly`, TensorFlow runs the step eagerly, without a graph. XLA, which Keras would choose by default, is off,
because it makes a step on a CPU several times slower.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contenders.keras_networks import (
    copy_weights,
    cyclegan_discriminator,
    cyclegan_generator,
    dcgan_discriminator,
    dcgan_generator,
)
from benchmarks.contenders.ours import random_images
from benchmarks.flops import flops_of_function
from histogan_tf.config import Config
from histogan_tf.models.precision import dtype_policy

_entropy = keras.losses.BinaryCrossentropy(from_logits=True)


class _KerasLoop:
    """A model with `train_step`, and one batch that it is trained on in every step."""

    def __init__(self, model: keras.Model, batch: dict[str, np.ndarray], is_eager: bool) -> None:
        model.compile(run_eagerly=is_eager, jit_compile=False)
        self._model, self._batch, self._is_eager = model, batch, is_eager

    def check(self, material: dict[str, Any]) -> list[dict[str, float]]:
        """Returns the losses of the first steps with the weights, images and random draws of `material`."""
        for name, weights in material["weights"].items():
            copy_weights(self._model.networks[name], weights)
        inputs = dict(zip(self._batch, material["batch"], strict=True))
        inputs |= {f"draw{number}": draw for number, draw in enumerate(material["draws"])}
        steps = [self._model.train_on_batch(inputs, return_dict=True) for _ in range(material["num_steps"])]
        return [{name: float(loss) for name, loss in losses.items()} for losses in steps]

    def run(self, count: int) -> None:
        """Makes `count` steps."""
        for _ in range(count):
            self._model.train_on_batch(self._batch, return_dict=True)

    def flops(self) -> int | None:
        """Returns the operations of a step; None if it runs eagerly, without a graph to count them in."""
        if self._is_eager:
            return None
        batch = {name: tf.convert_to_tensor(value) for name, value in self._batch.items()}
        return flops_of_function(tf.function(self._model.train_step).get_concrete_function(batch))


class KerasDCGAN(_KerasLoop):
    """Trains a DCGAN by Keras's loop.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
        is_eager: whether the step runs eagerly, without tf.function.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], is_eager: bool) -> None:
        images = random_images(config.batch_size, image_shape, seed=0)
        super().__init__(_DCGAN(config, image_shape), {"images": images}, is_eager)


class KerasCycleGAN(_KerasLoop):
    """Trains CycleGAN by Keras's loop.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
        is_eager: whether the step runs eagerly, without tf.function.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], is_eager: bool) -> None:
        batch = {f"images_{domain}": random_images(config.batch_size, image_shape, ord(domain)) for domain in "ab"}
        super().__init__(_CycleGAN(config, image_shape), batch, is_eager)


class _DCGAN(keras.Model):
    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        policy = dtype_policy(config.precision)
        self.config, self.random = config, tf.random.Generator.from_seed(0)
        self.generator = dcgan_generator(config, image_shape, policy)
        self.discriminator = dcgan_discriminator(config, image_shape, policy)
        self.networks = {network.name: network for network in (self.generator, self.discriminator)}
        self.d_optimizer, self.g_optimizer = _adam(config), _adam(config)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.built = True

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        inputs = keras.utils.unpack_x_y_sample_weight(data)[0]
        images = tf.cast(inputs["images"], tf.float32) / 127.5 - 1.0
        z = inputs.get("draw0", self.random.uniform((images.shape[0], self.config.z_dim), -1.0, 1.0))
        with tf.GradientTape() as tape:
            real = self.discriminator(self._noisy(images, inputs, 1), training=True)
            fake = self.discriminator(self._noisy(self.generator(z, training=True), inputs, 2), training=True)
            d_loss_real = _entropy(tf.fill(real.shape, self.config.label_smoothing), real)
            d_loss_fake = _entropy(tf.zeros_like(fake), fake)
            d_loss = d_loss_real + d_loss_fake
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, variables), variables, strict=True))
        for update in range(self.config.generator_updates):
            with tf.GradientTape() as tape:
                seen = self._noisy(self.generator(z, training=True), inputs, 3 + update)
                fake = self.discriminator(seen, training=True)
                g_loss = _entropy(tf.ones_like(fake), fake)
            variables = self.generator.trainable_variables
            self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, variables), variables, strict=True))
        return {"d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake, "g_loss": g_loss}

    def _noisy(self, images: tf.Tensor, inputs: dict[str, tf.Tensor], draw: int) -> tf.Tensor:
        if not self.config.instance_noise:
            return images
        noise = self.random.normal(images.shape, stddev=self.config.instance_noise)
        return images + inputs.get(f"draw{draw}", noise)


class _CycleGAN(keras.Model):
    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        policy = dtype_policy(config.precision)
        self.config = config
        self.g_ab, self.g_ba = (
            cyclegan_generator(config, image_shape, policy, f"generator_{direction}") for direction in ("A2B", "B2A")
        )
        self.d_a, self.d_b = (
            cyclegan_discriminator(config, image_shape, policy, f"discriminator_{domain}") for domain in "AB"
        )
        self.networks = {network.name: network for network in (self.g_ab, self.g_ba, self.d_a, self.d_b)}
        self.optimizers = {name: _adam(config) for name in self.networks}
        for name, network in self.networks.items():
            self.optimizers[name].build(network.trainable_variables)
        self.built = True

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        inputs = keras.utils.unpack_x_y_sample_weight(data)[0]
        real_a, real_b = (tf.cast(inputs[f"images_{domain}"], tf.float32) / 127.5 - 1.0 for domain in "ab")
        cycle = self.config.lambda_cycle
        identity = cycle * self.config.lambda_identity
        with tf.GradientTape(persistent=True) as tape:
            fake_b, fake_a = self.g_ab(real_a, training=True), self.g_ba(real_b, training=True)
            cycled_a, cycled_b = self.g_ba(fake_b, training=True), self.g_ab(fake_a, training=True)
            same_a, same_b = self.g_ba(real_a, training=True), self.g_ab(real_b, training=True)
            judged_real_a, judged_fake_a = self.d_a(real_a, training=True), self.d_a(fake_a, training=True)
            judged_real_b, judged_fake_b = self.d_b(real_b, training=True), self.d_b(fake_b, training=True)
            terms = {
                "G_A2B": tf.reduce_mean(tf.square(judged_fake_b - 1.0)),
                "G_B2A": tf.reduce_mean(tf.square(judged_fake_a - 1.0)),
                "cycle_A": tf.reduce_mean(tf.abs(cycled_a - real_a)),
                "cycle_B": tf.reduce_mean(tf.abs(cycled_b - real_b)),
                "identity_A": tf.reduce_mean(tf.abs(same_a - real_a)),
                "identity_B": tf.reduce_mean(tf.abs(same_b - real_b)),
                "D_A": _judge_loss(judged_real_a, judged_fake_a),
                "D_B": _judge_loss(judged_real_b, judged_fake_b),
            }
            both = cycle * (terms["cycle_A"] + terms["cycle_B"])
            losses = {
                "generator_A2B": terms["G_A2B"] + both + identity * terms["identity_B"],
                "generator_B2A": terms["G_B2A"] + both + identity * terms["identity_A"],
                "discriminator_A": terms["D_A"],
                "discriminator_B": terms["D_B"],
            }
        gradients = {name: tape.gradient(loss, self._variables(name)) for name, loss in losses.items()}
        for name, of_network in gradients.items():
            self.optimizers[name].apply_gradients(zip(of_network, self._variables(name), strict=True))
        return terms

    def _variables(self, name: str) -> list[keras.Variable]:
        return self.networks[name].trainable_variables


def _judge_loss(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    return 0.5 * (tf.reduce_mean(tf.square(real - 1.0)) + tf.reduce_mean(tf.square(fake)))


def _adam(config: Config) -> keras.optimizers.Adam:
    return keras.optimizers.Adam(config.learning_rate, beta_1=config.beta1, beta_2=0.999, epsilon=1e-8)
