from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.machine.randomness import Purpose
from histogan_tf.training.dcgan_step import dcgan_generator
from histogan_tf.training.sampling import Sampler

SHAPE = (16, 16, 3)


@pytest.fixture
def make_sampler(tiny_config):
    def make(*flags: str, num_classes: int = 0) -> Sampler:
        config = tiny_config("--model=dcgan1", *flags)
        return Sampler(dcgan_generator(config, SHAPE, num_classes), config, num_classes)

    return make


def test_an_image_depends_on_its_number_and_the_seed_alone(make_sampler):
    whole = make_sampler().numbered(0, 1030, 7, Purpose.GENERATED_LATENTS)
    np.testing.assert_array_equal(make_sampler().numbered(1020, 10, 7, Purpose.GENERATED_LATENTS), whole[1020:])
    difference = make_sampler("--batch_size=3").numbered(0, 10, 7, Purpose.GENERATED_LATENTS) - whole[:10].astype(int)
    assert np.abs(difference).max() <= 1  # another batch size may add up in another order
    assert len(np.unique(whole.reshape(1030, -1), axis=0)) == 1030
    assert not np.array_equal(make_sampler().numbered(0, 10, 8, Purpose.GENERATED_LATENTS), whole[:10])


def test_labels_take_turns_unless_one_is_chosen(make_sampler):
    sampler = make_sampler("--conditional", num_classes=3)
    assert sampler.numbered_labels(4, 5).tolist() == [1, 2, 0, 1, 2]
    assert sampler.numbered_labels(4, 3, label=2).tolist() == [2, 2, 2]
    assert sampler.numbered_labels(4, 3, label=np.array([2, 0, 1])).tolist() == [2, 0, 1]
    turns = sampler.numbered(0, 3, 7, Purpose.GENERATED_LATENTS)
    chosen = sampler.numbered(0, 3, 7, Purpose.GENERATED_LATENTS, label=1)
    np.testing.assert_array_equal(turns[1], chosen[1])
    assert not np.array_equal(turns[2], chosen[2])


def test_the_last_batch_may_be_smaller(make_sampler):
    latents = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    images = make_sampler().images(latents, np.zeros(6, np.int32))
    assert images.shape == (6, *SHAPE)
    np.testing.assert_array_equal(make_sampler().images(latents[4:], np.zeros(2, np.int32)), images[4:])
