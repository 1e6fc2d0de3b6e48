"""Trains as DCGAN-tensorflow's `train` does: with a graph and a session, and a session call for each update.

A step updates the discriminator once and the generator twice. Then it evaluates errD_fake, errD_real and errG anew for
the log line, each with forward passes of its own (lines 170 to 240 of its model.py). What DCGAN2 and DCGAN3 add stands
where the study put it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compat import v1

from benchmarks.contenders.ours import random_images
from benchmarks.flops import flops_of_graph
from histogan_tf.config import Config
from histogan_tf.models.dcgan import feature_sizes


class OriginalDCGAN:
    """The original's graph in float32, the only precision that it has.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        self._config, self._image_shape = config, image_shape
        self._images = random_images(config.batch_size, image_shape, seed=0).astype(np.float32) / 127.5 - 1.0
        self._random = np.random.default_rng(0)
        self._graph = tf.Graph()
        with self._graph.as_default():
            self._build()
            self._session = v1.Session()
            self._session.run(v1.global_variables_initializer())

    def check(self, material: dict[str, Any]) -> list[dict[str, float]]:
        """Returns the losses of the first step with the weights, images and random draws of `material`."""
        with self._graph.as_default():
            for weights in material["weights"].values():
                for name in weights.keys() & self._weights.keys():  # this graph has no moving statistics
                    self._weights[name].load(weights[name], self._session)
        images = material["batch"][0].astype(np.float32) / 127.5 - 1.0
        z, *noise = material["draws"]
        feeds = {self._inputs: images, self._z: z} | dict(zip(self._noises, noise, strict=False))
        _, d_loss_real, d_loss_fake = self._session.run([self._d_optim, self._d_loss_real, self._d_loss_fake], feeds)
        for update in range(self._config.generator_updates):
            if self._noises:
                feeds[self._noises[1]] = noise[2 + update]
            _, g_loss = self._session.run([self._g_optim, self._g_loss], feeds)
        return [{"d_loss_real": float(d_loss_real), "d_loss_fake": float(d_loss_fake), "g_loss": float(g_loss)}]

    def run(self, count: int) -> None:
        """Makes `count` steps."""
        for _ in range(count):
            z = self._random.uniform(-1, 1, (self._config.batch_size, self._config.z_dim)).astype(np.float32)
            for fetch, is_fed_images in self._calls():
                self._session.run(fetch, {self._z: z} | ({self._inputs: self._images} if is_fed_images else {}))

    def flops(self) -> int:
        """Returns the operations of a step, summed over its session calls."""
        fetches = [fetch if isinstance(fetch, tf.Operation) else fetch.op for fetch, _ in self._calls()]
        return sum(flops_of_graph([fetch]) for fetch in fetches)

    def _calls(self) -> list[tuple[Any, bool]]:
        """Returns what each session call of a step runs, in order, and whether the call is fed images."""
        updates = [(self._d_optim, True), *[(self._g_optim, False)] * self._config.generator_updates]
        return [*updates, (self._d_loss_fake, False), (self._d_loss_real, True), (self._g_loss, False)]

    def _build(self) -> None:
        config = self._config
        self._weights: dict[str, v1.Variable] = {}
        self._noises: list[tf.Tensor] = []
        self._inputs = v1.placeholder(tf.float32, (config.batch_size, *self._image_shape))
        self._z = v1.placeholder(tf.float32, (config.batch_size, config.z_dim))
        real = self._discriminator(self._noisy(self._inputs))
        fake = self._discriminator(self._noisy(self._generator()))
        self._d_loss_real = _entropy(real, config.label_smoothing)
        self._d_loss_fake = _entropy(fake, 0.0)
        self._g_loss = _entropy(fake, 1.0)
        self._d_optim = self._minimize(self._d_loss_real + self._d_loss_fake, "d_")
        self._g_optim = self._minimize(self._g_loss, "g_")

    def _minimize(self, loss: tf.Tensor, prefix: str) -> tf.Operation:
        variables = [variable for name, variable in self._weights.items() if name.startswith(prefix)]
        return v1.train.AdamOptimizer(self._config.learning_rate, beta1=self._config.beta1).minimize(
            loss, None, variables
        )

    def _noisy(self, images: tf.Tensor) -> tf.Tensor:
        if not self._config.instance_noise:
            return images
        self._noises.append(v1.random_normal(images.shape, stddev=self._config.instance_noise, seed=len(self._noises)))
        return images + self._noises[-1]

    def _generator(self) -> tf.Tensor:
        config, (height, width, channels) = self._config, self._image_shape
        heights, widths = feature_sizes(height, config.strides), feature_sizes(width, config.strides)
        filters = [8 * config.gf_dim, 4 * config.gf_dim, 2 * config.gf_dim, config.gf_dim, channels]
        x = self._linear(self._z, heights[0] * widths[0] * filters[0], "g_h0_lin")
        x = tf.reshape(x, (config.batch_size, heights[0], widths[0], filters[0]))
        for number, stride in enumerate(config.strides, start=1):
            x = tf.nn.relu(self._batch_norm(x, f"g_bn{number - 1}"))
            kernel = self._weight(f"g_h{number}/kernel", (5, 5, filters[number], filters[number - 1]))
            shape = (config.batch_size, heights[number], widths[number], filters[number])
            x = tf.nn.conv2d_transpose(x, kernel, shape, (1, stride, stride, 1))
            x = tf.nn.bias_add(x, self._weight(f"g_h{number}/bias", (filters[number],)))
        return tf.nn.tanh(x)

    def _discriminator(self, x: tf.Tensor) -> tf.Tensor:
        for number in range(4):
            filters = self._config.df_dim * 2**number
            kernel = self._weight(f"d_h{number}_conv/kernel", (5, 5, x.shape[-1], filters))
            x = tf.nn.conv2d(x, kernel, (1, 2, 2, 1), "SAME")
            x = tf.nn.bias_add(x, self._weight(f"d_h{number}_conv/bias", (filters,)))
            x = self._batch_norm(x, f"d_bn{number}") if number else x
            x = tf.maximum(x, 0.2 * x)
        return self._linear(tf.reshape(x, (self._config.batch_size, -1)), 1, "d_h4_lin")

    def _linear(self, x: tf.Tensor, units: int, name: str) -> tf.Tensor:
        kernel = self._weight(f"{name}/kernel", (x.shape[-1], units))
        return tf.matmul(x, kernel) + self._weight(f"{name}/bias", (units,))

    def _batch_norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        gamma, beta = (self._weight(f"{name}/{kind}", (x.shape[-1],)) for kind in ("gamma", "beta"))
        return v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-5)[0]

    def _weight(self, name: str, shape: tuple[int, ...]) -> v1.Variable:
        if name not in self._weights:
            draw = v1.truncated_normal(shape, stddev=0.02, seed=len(self._weights))
            self._weights[name] = v1.Variable(draw + (1.0 if name.endswith("gamma") else 0.0), name=name)
        return self._weights[name]


def _entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    targets = tf.fill(logits.shape, target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))
