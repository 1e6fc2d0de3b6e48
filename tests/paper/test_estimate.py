"""Multiply-adds and costs against counts by hand."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from histogan_tf.cli import command_line
from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.paper.estimate import classifier_cost, multiply_adds, training_cost


def test_multiply_adds_by_hand():
    images = keras.Input((8, 6, 3))
    hidden = layers.Conv2D(4, 5, strides=2, padding="same")(images)  # 4x3 positions of 5x5x3x4
    hidden = layers.Conv2DTranspose(2, 3, strides=2, padding="same")(hidden)  # 4x3 positions of 3x3x4x2
    logits = layers.Dense(7)(layers.Flatten()(layers.BatchNormalization()(hidden)))  # 8 * 6 * 2 * 7
    assert multiply_adds(keras.Model(images, logits)) == 12 * 300 + 12 * 72 + 672


def test_cost_of_training_grows_with_steps_and_is_cut_by_max_steps():
    images = make_phantom(24, 16)
    flags = ("--model=dcgan1", "--batch_size=4", "--gf_dim=2", "--df_dim=2", "--output_height=16", "--z_dim=3")

    def cost(*more: str) -> float:
        return training_cost(command_line.parse(["main.py", *flags, *more]), images, 23).multiply_adds

    assert cost("--epoch=4") == pytest.approx(4 * cost("--epoch=1"))
    assert cost("--epoch=4", "--max_steps=10") == pytest.approx(2 * cost("--epoch=1"))  # 5 steps an epoch


def test_cost_of_features_is_of_images_area_and_network():
    def cost(size: int, num_images: int, backbone: str = "resnet18", fine_tune: str = "none") -> float:
        flags = [f"--classifier_size={size}", f"--backbone={backbone}", f"--fine_tune={fine_tune}", "--epoch=3"]
        config = command_line.parse(["main.py", "--model=resnet18", *flags])
        return classifier_cost(config, num_images, num_training=2).multiply_adds

    # torchvision's documentation gives 1.81e9 for one image, with half a million for the layer of the 1,000 classes.
    assert cost(224, 10) == pytest.approx(1.81e10, rel=0.01)
    assert cost(64, 10) == pytest.approx(cost(32, 10) * 4)
    assert cost(32, 1, "vgg16") > 5 * cost(32, 1)
    # Tuning passes through the network forwards and backwards in each epoch, however many features are new.
    assert cost(32, 10, fine_tune="all") == pytest.approx(cost(32, 10) + 3 * 3 * cost(32, 2))
    assert cost(32, 10, fine_tune="last_stage") == pytest.approx(cost(32, 10) + 3 * 2 * cost(32, 2))
