"""What --classes, --max_groups and --images_per_class choose: the same images in every mode and for every --seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from histogan_tf.config import Config, resolve
from histogan_tf.data.choosing import choose_classes, draw_groups, draw_of_each_class
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import find_dataset, load_dataset, load_parts, load_with_parts
from histogan_tf.errors import UserError


def make_set(**columns) -> ImageSet:
    """Sixty images of three classes and twelve patients; patients 0 to 3 have class a only, 11 alone has class c."""
    groups = np.repeat(np.arange(12), 5)
    labels = np.where(groups < 4, 0, np.arange(60) % 2)
    labels[groups == 11] = 2
    made = ImageSet(
        images=np.zeros((60, 2, 2, 1), np.uint8),
        labels=labels.astype(np.int32),
        ids=np.arange(60).astype(str),
        groups=np.array([f"p{group}" for group in groups]),
        name="made",
        class_names=("a", "b", "c"),
    )
    return dataclasses.replace(made, **columns)


def chosen_ids(image_set: ImageSet) -> set[str]:
    return set(image_set.ids.tolist())


class TestClasses:
    def test_labels_follow_the_order_in_which_classes_are_named(self):
        whole = make_set()
        chosen = choose_classes(whole, ("c", "A"))
        assert chosen.class_names == ("c", "A".lower())
        assert chosen.ids.tolist() == whole.ids[whole.labels != 1].tolist()
        np.testing.assert_array_equal(chosen.labels, np.where(whole.labels[whole.labels != 1] == 2, 0, 1))
        assert choose_classes(whole, ("0", "2")).class_names == ("a", "c")

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (("a", "d"), r"--classes=d: the labels are 0 \(a\), 1 \(b\), 2 \(c\); choose one"),
            (("a",), "--classes=a: name two classes or more, or take the images of one with --label"),
            (("a", "0"), "--classes=a,0 names a class twice"),
        ],
    )
    def test_what_is_no_choice(self, classes, message):
        with pytest.raises(UserError, match=message):
            choose_classes(make_set(), classes)

    def test_a_class_without_images_and_a_set_without_classes(self):
        whole = make_set()
        with pytest.raises(UserError, match="there is no image of c; leave it out"):
            choose_classes(whole.select(np.flatnonzero(whole.labels != 2)), ("a", "c"))
        with pytest.raises(UserError, match="--classes=a: the images have no labels"):
            choose_classes(make_set(labels=None, class_names=()), ("a", "b"))


class TestImagesPerClass:
    def test_no_more_images_of_each_class_than_asked_for_in_the_order_of_the_set(self):
        chosen = draw_of_each_class(make_set(), 7, seed=42)
        assert chosen.counts() == {"a": 7, "b": 7, "c": 5}
        assert chosen.ids.astype(int).tolist() == sorted(chosen.ids.astype(int))
        assert chosen_ids(chosen) != chosen_ids(draw_of_each_class(make_set(), 7, seed=43))

    def test_more_images_add_to_fewer_and_other_classes_change_nothing(self):
        few, many = (draw_of_each_class(make_set(), most, seed=42) for most in (4, 9))
        assert chosen_ids(few) < chosen_ids(many)
        two = draw_of_each_class(choose_classes(make_set(), ("b", "a")), 4, seed=42)
        assert chosen_ids(two) == chosen_ids(choose_classes(few, ("a", "b")))

    def test_of_each_part(self):
        parts = np.tile(["train", "validation", "test"], 20)
        chosen = draw_of_each_class(make_set(parts=parts), 2, seed=42)
        counts = {part: chosen.select(np.flatnonzero(chosen.parts == part)).counts() for part in np.unique(parts)}
        assert set(map(str, counts.values())) <= {"{'a': 2, 'b': 2, 'c': 2}", "{'a': 2, 'b': 2, 'c': 1}"}

    def test_without_labels(self):
        with pytest.raises(UserError, match="--images_per_class=3: .* have no labels; give --train_size instead"):
            draw_of_each_class(make_set(labels=None, class_names=()), 3, seed=42)


class TestMaxGroups:
    @pytest.mark.parametrize("seed", range(8))
    def test_whole_patients_of_which_each_class_has_one(self, seed):
        chosen = draw_groups(make_set(), 4, seed)
        assert len(chosen.patients()) == 4 and len(chosen) == 20
        assert "p11" in chosen.patients() and all(chosen.counts().values())

    def test_more_patients_add_to_fewer(self):
        few, many = (set(draw_groups(make_set(), most, seed=1).patients()) for most in (4, 8))
        assert few < many and len(many) == 8

    def test_of_each_part(self):
        parts = np.where(np.arange(60) < 30, "train", "validation")
        chosen = draw_groups(make_set(parts=parts), 3, seed=0)
        assert [len(np.unique(chosen.groups[chosen.parts == part])) for part in ("train", "validation")] == [3, 3]

    def test_without_labels_and_without_patients(self):
        assert len(draw_groups(make_set(labels=None, class_names=()), 2, seed=0)) == 10
        with pytest.raises(UserError, match="--max_groups=2: the patients of 'made' are unknown"):
            draw_groups(make_set(groups=None), 2, seed=0)


class TestEveryMode:
    SETTINGS = {"output_height": 16, "phantom_images": 96, "max_groups": 5, "images_per_class": 15}

    def test_the_same_images_whatever_the_seed(self):
        whole = find_dataset(resolve(Config(**self.SETTINGS)))
        assert whole.counts() == {"non-idc": 15, "idc": 15} and len(whole.patients()) == 5
        parts = load_parts(resolve(Config(model="resnet18", seed=7, **self.SETTINGS)))
        given = load_with_parts(resolve(Config(seed=3, **self.SETTINGS)))
        train = load_dataset(resolve(Config(seed=5, **self.SETTINGS)))
        assert chosen_ids(whole) == chosen_ids(given) == chosen_ids(parts[0]) | chosen_ids(parts[1])
        assert chosen_ids(train) == chosen_ids(parts[0])
        assert chosen_ids(load_dataset(resolve(Config(**self.SETTINGS)), given)) == chosen_ids(train)

    def test_the_positive_class_changes_the_labels_and_not_the_images(self):
        swapped = find_dataset(resolve(Config(positive_class="non-idc", **self.SETTINGS)))
        assert swapped.class_names == ("idc", "non-idc")
        assert chosen_ids(swapped) == chosen_ids(find_dataset(resolve(Config(**self.SETTINGS))))
