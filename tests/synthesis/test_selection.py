"""Each rule keeps what its paper says, by hand, and the reasons tell why."""

import csv

import numpy as np
import pytest
from PIL import Image

from histogan_tf.errors import UserError
from histogan_tf.metrics import distances
from histogan_tf.synthesis.selection import (
    select_changed,
    select_confident,
    select_realistic,
    write_selection,
)


def test_confidence_is_of_an_images_own_label():
    selection = select_confident(np.array([0.9, 0.9, 0.2, 0.5]), np.array([1, 0, 0, 0]))
    np.testing.assert_array_equal(selection.is_kept, [True, False, True, True])
    np.testing.assert_allclose(selection.scores, [0.9, 0.1, 0.8, 0.5])
    assert selection.reasons[0] == "probability of its label 0.9 >= 0.5"
    assert selection.reasons[1] == "probability of its label 0.1 < 0.5"
    np.testing.assert_array_equal(
        select_confident(np.array([0.9, 0.85]), np.array([1, 1]), threshold=0.9).is_kept, [True, False]
    )


def test_realism_by_hand():
    # One neighbour: the radii of 0, 1, 5, 9 are 1, 1, 4, 4; the median is 2.5, so the balls of 0 and 1 alone count.
    real = np.array([[0.0], [1.0], [5.0], [9.0]])
    synthetic = np.array([[0.5], [2.0], [3.0], [5.5], [1.0]])
    selection = select_realistic(real, synthetic, num_neighbours=1)
    np.testing.assert_allclose(selection.scores, [2.0, 1.0, 0.5, 1 / 4.5, np.inf])
    np.testing.assert_array_equal(selection.is_kept, [True, True, False, False, True])
    assert selection.reasons[2] == "realism 0.5 < 1"


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_realism_is_a_brute_force_oracle(monkeypatch, block):
    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", block)
    rng = np.random.default_rng(1)
    real, synthetic = rng.standard_normal((41, 4)), 1.2 * rng.standard_normal((30, 4))
    between = np.linalg.norm(real[:, None] - real, axis=2)
    radii = np.sort(between, axis=1)[:, 3]  # [0] is the image itself
    scores = [
        max(
            radius / np.linalg.norm(image - centre)
            for centre, radius in zip(real, radii, strict=True)
            if radius <= np.median(radii)
        )
        for image in synthetic
    ]
    selection = select_realistic(real, synthetic)
    np.testing.assert_allclose(selection.scores, scores, rtol=1e-12)
    np.testing.assert_array_equal(selection.is_kept, np.array(scores) >= 1)
    assert 0 < selection.is_kept.sum() < 30


def test_changed_pairs_are_further_apart_than_real_neighbours():
    source = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 0.0]])  # to the nearest other: 2, 2, 3, with the median 2
    translated = source + [[0.0, 1.9], [0.0, 2.0], [3.0, 4.0]]
    selection = select_changed(source, translated)
    np.testing.assert_allclose(selection.scores, [1.9, 2.0, 5.0])
    np.testing.assert_array_equal(selection.is_kept, [False, True, True])
    assert selection.reasons[0] == "distance to its source 1.9 < 2"
    np.testing.assert_array_equal(select_changed(source, translated, minimum=3.0).is_kept, [False, False, True])


def test_what_was_kept_and_why_is_written(tmp_path):
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    selection = select_confident(np.array([0.9, 0.25, 0.8]), np.array([1, 1, 1]))
    write_selection(tmp_path / "new", selection, np.array(["a.png", "b,c.png", "d.png"]), images)
    with (tmp_path / "new" / "selection.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "kept", "rule", "score", "reason"],
        ["a.png", "1", "confidence", "0.9", "probability of its label 0.9 >= 0.5"],
        ["b,c.png", "0", "confidence", "0.25", "probability of its label 0.25 < 0.5"],
        ["d.png", "1", "confidence", "0.8", "probability of its label 0.8 >= 0.5"],
    ]
    kept = np.array(Image.open(tmp_path / "new" / "kept.png"))
    assert kept.shape == (4, 10, 3)
    assert set(kept[:, [0, 3, 6, 9]].ravel()) == {0, 2}
    rejected = np.array(Image.open(tmp_path / "new" / "rejected.png"))
    np.testing.assert_array_equal(rejected, images[1])


def test_no_sheet_of_no_images(tmp_path):
    selection = select_confident(np.array([0.9]), np.array([1]))
    write_selection(tmp_path, selection, np.array(["a"]), np.zeros((1, 4, 4, 1), np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.png", "selection.csv"]


def test_users_mistakes():
    half = np.array([0.5])
    with pytest.raises(UserError, match="one per image"):
        select_confident(half, np.array([1, 0]))
    with pytest.raises(UserError, match="labels 0 and 1 only"):
        select_confident(half, np.array([2]))
    for probability, threshold in ((1.5, 0.5), (np.nan, 0.5), (0.5, 50)):
        with pytest.raises(UserError, match=r"numbers in \[0, 1\]"):
            select_confident(np.array([probability]), np.array([1]), threshold)
    features = np.zeros((3, 2))
    with pytest.raises(UserError, match="too few images, 3, for 3 neighbours"):
        select_realistic(features, features)
    with pytest.raises(UserError, match="3 source images and 2 translated"):
        select_changed(features, features[:2])
    with pytest.raises(UserError, match="not finite"):
        select_realistic(features, features * np.nan)
