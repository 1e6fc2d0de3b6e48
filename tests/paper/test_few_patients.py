from __future__ import annotations

import dataclasses

import numpy as np

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.membership import read_cluster
from histogan_tf.paper.few_patients import FEWEST_OF_A_CLASS, draw_patients, write_few_patients
from histogan_tf.paper.study_images import StudyImages


def study_images(num_patients: int = 8, num_each: int = 20) -> StudyImages:
    """Images of patients of both labels in equal parts; those of the last two are for validation."""
    groups = np.repeat([f"p{number}" for number in range(num_patients)], num_each)
    labels = (np.arange(len(groups)) % 2).astype(np.int32)
    pixels = np.zeros((len(groups), 2, 2, 3), np.uint8)
    whole = ImageSet(pixels, labels, np.arange(len(groups)).astype(str), groups, "made", class_names=("a", "b"))
    return StudyImages(whole, ~np.isin(groups, [f"p{num_patients - 2}", f"p{num_patients - 1}"]))


def test_a_draw_has_all_training_images_of_its_patients_and_no_others():
    images = study_images()
    draw = draw_patients(images, 3, seed=1)
    groups = images.whole.groups[draw.indices]
    assert len(np.unique(groups)) == 3 and len(draw.indices) == 60 and draw.counts == {0: 30, 1: 30}
    assert images.is_training[draw.indices].all()


def test_a_smaller_draw_is_part_of_a_larger_one_and_seeds_differ():
    images = study_images()
    small, large = (set(draw_patients(images, number, seed=5).indices.tolist()) for number in (2, 4))
    assert small < large
    draws = {tuple(draw_patients(images, 2, seed=seed).indices.tolist()) for seed in range(10)}
    assert len(draws) > 3


def test_there_is_no_draw_without_patients_enough_patients_or_both_labels():
    images = study_images()
    assert draw_patients(images, 7, seed=0) is None  # six are for training
    assert len(draw_patients(images, 6, seed=0).indices) == 120
    unknown = dataclasses.replace(images, whole=dataclasses.replace(images.whole, groups=None))
    assert draw_patients(unknown, 2, seed=0) is None
    assert draw_patients(study_images(num_each=FEWEST_OF_A_CLASS), 1, seed=0) is None
    assert draw_patients(study_images(num_each=2 * FEWEST_OF_A_CLASS), 1, seed=0) is not None


def test_the_file_names_the_images_of_each_draw(tmp_path):
    images = study_images()
    draws = [draw_patients(images, number, seed=5) for number in (2, 4)]
    write_few_patients(images, draws, tmp_path / "patients.csv")
    for draw in draws:
        ids = read_cluster(tmp_path / "patients.csv", draw.num_patients)
        assert sorted(ids) == sorted(images.whole.ids[draw.indices])
