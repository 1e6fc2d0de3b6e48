"""Nearest neighbours against brute force."""

import itertools

import numpy as np
import pytest

from histogan_tf.errors import UserError
from histogan_tf.metrics import distances
from histogan_tf.metrics.distances import feature_distances, nearest, row_blocks


@pytest.mark.parametrize(("num_rows", "num_columns", "block"), [(7, 3, 6), (7, 100, 6), (1, 1, 1), (12, 2, 8)])
def test_row_blocks_partition_the_rows_and_bound_the_pairs(monkeypatch, num_rows, num_columns, block):
    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", block)
    blocks = [range(num_rows)[rows] for rows in row_blocks(num_rows, num_columns)]
    assert list(itertools.chain(*blocks)) == list(range(num_rows))
    assert max(map(len, blocks)) <= max(1, block // num_columns)


@pytest.mark.parametrize("block", [1, 33, 10**6])
@pytest.mark.parametrize("among_themselves", [False, True])
def test_nearest_is_a_full_sort(monkeypatch, block, among_themselves):
    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", block)
    rng = np.random.default_rng(3)
    queries = rng.standard_normal((11, 4))
    references = queries if among_themselves else rng.standard_normal((14, 4))
    squares = np.array([[np.sum((x - y) ** 2) for y in references] for x in queries])
    if among_themselves:
        np.fill_diagonal(squares, np.inf)
    found = nearest(queries, None if among_themselves else references, 3)
    np.testing.assert_array_equal(found.indices, np.argsort(squares, axis=1)[:, :3])
    np.testing.assert_allclose(found.squares, np.sort(squares, axis=1)[:, :3], rtol=1e-13)


def test_equal_features_far_from_the_origin_are_at_distance_zero():
    features = 1e6 + np.random.default_rng(1).standard_normal((20, 30))
    squares = feature_distances(features, features.copy())
    np.testing.assert_array_equal(np.diag(squares), 0.0)
    np.testing.assert_array_equal(squares, squares.T)


@pytest.mark.parametrize(("references", "needed"), [(None, 5), (np.zeros((3, 2)), 4)])
def test_fewer_images_than_neighbours(references, needed):
    queries = np.zeros((4 if references is None else 9, 2))
    with pytest.raises(UserError, match=f"4 neighbours each: give at least {needed}"):
        nearest(queries, references, 4)
