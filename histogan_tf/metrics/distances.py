"""Computes distances between all pairs of two sets, in blocks of bounded memory, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from histogan_tf.errors import UserError, counted

# Elements of one block of pairs: 32 MiB of float64.
BLOCK_ELEMENTS = 2**22


class Neighbours(NamedTuple):
    """The nearest references of each query, sorted by rising distance.

    Attributes:
        squares: float64 (num_queries, num_neighbours), the squared distances.
        indices: int64 (num_queries, num_neighbours), the indices of the references.
    """

    squares: np.ndarray
    indices: np.ndarray


def row_blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Returns slices of rows that form at most BLOCK_ELEMENTS pairs with all columns, but have at least one row."""
    rows = max(1, BLOCK_ELEMENTS // num_columns)
    return (slice(start, start + rows) for start in range(0, num_rows, rows))


def feature_distances(queries: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Returns squared Euclidean distances, float64 (num_queries, num_references), of two sets of vectors of length d.

    They are computed from differences, not from inner products. Those would suffer from cancellation: copies would
    have a distance above zero, and distances that are equal by symmetry would differ with the size of a block.
    """
    from scipy.spatial import distance

    return distance.cdist(queries, references, "sqeuclidean")


def nearest(queries: np.ndarray, references: np.ndarray | None, num_neighbours: int) -> Neighbours:
    """Returns the nearest references of each query by Euclidean distance.

    Args:
        queries: (num_queries, d).
        references: (num_references, d); None for the queries themselves. A query is then not its own neighbour, but
            another query that equals it is.
        num_neighbours: the number of neighbours of each query, at least 1.

    Raises:
        UserError: if there are fewer references than neighbours.
    """
    others = queries if references is None else references
    num_others = len(others) - (references is None)
    if num_others < num_neighbours:
        raise UserError(
            f"too few images, {len(others)}, for {counted(num_neighbours, 'neighbour')} each: give at least "
            f"{num_neighbours + len(others) - num_others}"
        )
    # The brute force of scikit-learn's NearestNeighbors, by inner products, put 10 of 100 copies among 1,200 phantom
    # patches (--features=random) at a distance of 0; this puts all.
    squares = np.empty((len(queries), num_neighbours))
    indices = np.empty((len(queries), num_neighbours), np.int64)
    for rows in row_blocks(len(queries), len(others)):
        block = feature_distances(queries[rows], others)
        if references is None:
            block[np.arange(len(block)), np.arange(rows.start, rows.start + len(block))] = np.inf
        found = np.argpartition(block, num_neighbours - 1, axis=1)[:, :num_neighbours]
        order = np.argsort(np.take_along_axis(block, found, axis=1), axis=1, kind="stable")
        indices[rows] = np.take_along_axis(found, order, axis=1)
        squares[rows] = np.take_along_axis(block, indices[rows], axis=1)
    return Neighbours(squares, indices)
