"""What a study records of its images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from histogan_tf.data.image_set import ImageSet
from histogan_tf.paper.study_images import StudyImages, write_split


@pytest.mark.parametrize(("comes_split", "recorded"), [(True, ("own parts", None)), (False, ("patient", 7))])
def test_the_record_says_who_split_the_images(tiny_config, tmp_path, comes_split, recorded):
    images = np.arange(4 * 4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 4, 3)
    parts = np.array(["train", "train", "validation", "validation"])
    whole = ImageSet(
        images,
        np.array([0, 1, 0, 1], np.int32),
        np.array(list("abcd")),
        np.array(["p", "q", "p", "r"]),
        "set",
        ("benign", "malignant"),
        parts=parts if comes_split else None,
    )
    config = tiny_config("--split_by=patient", "--split_seed=7")
    write_split(StudyImages(whole, parts == "train"), config, tmp_path)
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    assert (dataset["split_by"], dataset["split_seed"]) == recorded
    assert dataset["train"] == {"benign": 1, "malignant": 1} and dataset["patients_on_both_sides"] == 1
