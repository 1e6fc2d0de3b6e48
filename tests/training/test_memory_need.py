"""The memory that a DCGAN's training takes is told beforehand if it is not there; sizes of public sets train."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.training import memory_need
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.memory_need import step_bytes, warn_of_memory


def test_gradients_and_three_copies_of_all_outputs():
    inputs = keras.Input((4, 4, 1))
    hidden = keras.layers.Conv2D(2, 3, padding="same")(inputs)
    network = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(hidden)))
    num_weights, num_outputs = (3 * 3 * 2 + 2) + (32 + 1), 16 + 32 + 32 + 1
    assert step_bytes([network], batch_size=5, bytes_per_number=4) == 4 * num_weights + 3 * 4 * 5 * num_outputs
    both = step_bytes([network, network], batch_size=5, bytes_per_number=2)
    assert both == 2 * (4 * num_weights + 3 * 2 * 5 * num_outputs)


@pytest.mark.parametrize(("side", "channels"), [(96, 3), (224, 1)])
def test_a_step_at_the_sizes_of_pcam_and_medmnist(tiny_config, side, channels, caplog, monkeypatch):
    config = tiny_config("--model=dcgan1", f"--output_height={side}", "--gf_dim=2", "--df_dim=2", "--batch_size=2")
    trainer = DCGANTrainer(config, (side, side, channels), 0)
    networks = (trainer.generator, trainer.discriminator)
    assert trainer.generator.output.shape == (None, side, side, channels)
    needed = step_bytes(networks, 2, 4)
    for left, is_told in ((needed, False), (None, False), (needed - 1, True)):
        monkeypatch.setattr(memory_need, "available_bytes", lambda left=left: left)
        warn_of_memory(networks, config)
        assert (f"steps of 2 images of {side}x{side} can take up to" in caplog.text) == is_told
    images, labels = np.zeros((2, side, side, channels), np.uint8), np.zeros(2, np.int32)
    losses = trainer.train_step(tf.constant(0, tf.int64), tf.constant(images), tf.constant(labels)).losses
    assert all(np.isfinite(loss) for loss in losses.values())
