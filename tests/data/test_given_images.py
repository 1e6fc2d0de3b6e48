from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from histogan_tf.data.given_images import as_image_set, config_for, loading_config
from histogan_tf.data.loading import load_with_parts
from histogan_tf.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 20, 24, 3), np.uint8)


def config_of(images, **flags):
    return config_for(images, flags, mode="train", function="train()", own_flags=("epoch",))


class TestArrays:
    def test_without_labels(self):
        image_set = as_image_set(PIXELS, name="cells")
        assert image_set.images is PIXELS and image_set.labels is None and image_set.class_names == ()
        assert image_set.ids.tolist() == ["0", "1", "2", "3", "4", "5"] and image_set.name == "cells"

    def test_with_labels_and_their_names(self):
        image_set = as_image_set(PIXELS, [0, 2, 2, 0, 1, 1])
        assert image_set.labels.dtype == np.int32 and image_set.counts() == {"0": 2, "1": 2, "2": 2}
        named = as_image_set(PIXELS, np.array([0, 1, 1, 0, 1, 1], np.uint8), ["benign", "malignant", "unclear"])
        assert named.counts() == {"benign": 2, "malignant": 4, "unclear": 0}

    def test_a_set_stays_as_it_is(self):
        image_set = as_image_set(PIXELS)
        assert as_image_set(image_set) is image_set
        with pytest.raises(UserError, match="leave them out"):
            as_image_set(image_set, [0] * 6)

    @pytest.mark.parametrize(
        ("images", "words"),
        [
            (
                PIXELS / 255,
                r"images is float64 \(6, 20, 24, 3\): .*from 0 to 1, np.uint8\(255 \* images \+ 0.5\) makes",
            ),
            (PIXELS / 25, r"images is float64 .* from 0 to 255$"),
            (np.full(PIXELS.shape, np.nan), r"images is float64 .* from 0 to 255$"),
            (PIXELS[..., 0], r"uint8 \(6, 20, 24\): .*images\[..., np.newaxis\] makes a set of grey images"),
            (PIXELS[0], r"uint8 \(20, 24, 3\): .*images\[np.newaxis\] makes a set of one image"),
            (PIXELS.transpose(0, 3, 1, 2), r"images.transpose\(0, 2, 3, 1\) puts channels last"),
            (np.concatenate([PIXELS, PIXELS[..., :1]], axis=-1), r"images\[..., :3\] leaves the transparency out"),
            (PIXELS[..., :2], r"uint8 \(6, 20, 24, 2\)"),
            (PIXELS[:0], r"uint8 \(0, 20, 24, 3\): give at least one image"),
            ([PIXELS], "images is a list: give a NumPy array"),
        ],
    )
    def test_other_arrays(self, images, words):
        with pytest.raises(UserError, match=words):
            as_image_set(images)

    @pytest.mark.parametrize(
        ("labels", "class_names", "words"),
        [
            ([0, 1], None, r"labels are int64 \(2,\): .* each of 6 images"),
            ([0.0] * 6, None, "labels are float64"),
            ([0, 1, -1, 0, 0, 0], None, "from 0 on"),
            ([0, 1, 2, 0, 0, 0], ["a", "b"], "no name for label 2"),
            (None, ["a", "b"], "needs labels"),
            ([0, 1, 10**9, 0, 0, 0], None, "label 1000000000 is larger than 9999: number the classes"),
            ([0, 1, 0, 0, 0, 0], "ab", "class_names='ab' is one text"),
            ([0, 1, 0, 0, 0, 0], ["a", "a"], "has a name twice"),
        ],
    )
    def test_other_labels(self, labels, class_names, words):
        with pytest.raises(UserError, match=words):
            as_image_set(PIXELS, labels, class_names)


class TestFlags:
    def test_those_that_images_were_loaded_with_hold(self):
        loaded = load_with_parts(loading_config({"phantom_images": 24, "output_height": 16, "split_seed": 7}))
        config = config_of(loaded, epoch=3, label="idc", train_size=5)
        assert (config.dataset, config.phantom_images, config.output_height) == ("phantom", 24, 16)
        assert (config.split_seed, config.label, config.train_size, config.epoch) == (7, "idc", 5, 3)
        assert config_of(loaded, output_height=16) == config_of(loaded)

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"output_height": 32}, r"^--output_height=32 comes too late.*give it to load_images\(\)$"),
            ({"split_seed": 3}, "--split_seed=3 comes too late"),
            ({"dataset": "idc"}, "--dataset=idc comes too late"),
            ({"num_images": 3}, r"--num_images=3 does nothing in train\(\)"),
            ({"mode": "generate"}, r"--mode=generate: train\(\) does --mode=train"),
        ],
    )
    def test_those_that_come_too_late_or_do_nothing(self, flags, words):
        loaded = load_with_parts(loading_config({"phantom_images": 24, "output_height": 16}))
        with pytest.raises(UserError, match=words):
            config_of(loaded, **flags)

    def test_an_array_may_be_named_and_split_but_not_resized(self):
        image_set = as_image_set(PIXELS, [0, 1] * 3, name="cells")
        config = config_of(image_set, split_seed=3, split_by="patient")
        assert (config.dataset, config.split_seed, config.split_by) == ("cells", 3, "patient")
        with pytest.raises(UserError, match="--output_height=32 comes too late.*: leave it out"):
            config_of(image_set, output_height=32)
        parts = np.array(["train", "validation"] * 3)
        with pytest.raises(UserError, match="--split_seed=3 comes too late"):
            config_of(dataclasses.replace(image_set, parts=parts), split_seed=3)

    def test_loading_takes_flags_of_the_data_only(self):
        with pytest.raises(UserError, match=r"--epoch=3 does nothing in load_images\(\)"):
            loading_config({"epoch": 3})
        with pytest.raises(UserError, match=r"--train_size=3 is for train\(\) and evaluate\(\)"):
            loading_config({"train_size": 3})
