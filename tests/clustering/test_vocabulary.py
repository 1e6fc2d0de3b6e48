import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from histogan_tf.clustering import vocabulary
from histogan_tf.errors import UserError


def test_words_are_the_planted_centres():
    generator = np.random.default_rng(0)
    planted = generator.uniform(0, 255, (5, 128)).astype(np.float32)
    points = np.repeat(planted, 200, axis=0) + generator.normal(0, 1, (1000, 128)).astype(np.float32)
    words = vocabulary.fit_words(points, 5, seed=3)
    assert words.dtype == np.float32
    distances = np.linalg.norm(words[:, None] - planted[None], axis=2)
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2, 3, 4]
    assert distances.min(axis=1).max() < 3  # the noise of one point is sqrt(128) = 11.3 long
    np.testing.assert_array_equal(words, vocabulary.fit_words(points, 5, seed=3))


def test_copies_of_a_descriptor_count_once():
    points = np.repeat(np.eye(128, dtype=np.float32)[:3], 4, axis=0)
    assert vocabulary.fit_words(points, 3, seed=0).shape == (3, 128)
    with pytest.raises(UserError, match="vocabulary of 4 words cannot be made of 3 distinct"):
        vocabulary.fit_words(points, 4, seed=0)


def test_counts_against_brute_force():
    generator = np.random.default_rng(1)
    points = generator.integers(0, 256, (200, 128)).astype(np.float32)
    words = generator.uniform(0, 255, (7, 128)).astype(np.float32)
    nearest = [min(range(7), key=lambda word: np.linalg.norm(point - words[word])) for point in points]
    expected = [nearest.count(word) for word in range(7)]
    np.testing.assert_array_equal(vocabulary.count_words(points, words), expected)
    np.testing.assert_array_equal(vocabulary.count_words(points[:0], words), np.zeros(7))


def test_inverse_document_frequency_against_scikit_learn():
    counts = np.random.default_rng(2).poisson(0.7, (30, 12))
    counts[:, 0], counts[:, 1] = 1, 0
    expected = TfidfTransformer(smooth_idf=True).fit(counts).idf_
    np.testing.assert_allclose(vocabulary.inverse_document_frequency(counts), expected, rtol=1e-6)
    with_empty_images = np.concatenate([counts, np.zeros((5, 12), counts.dtype)])
    np.testing.assert_allclose(vocabulary.inverse_document_frequency(with_empty_images), expected, rtol=1e-6)


def test_histograms_by_hand():
    counts = np.array([[1, 3, 0], [0, 0, 0], [2, 2, 4]], np.int32)
    plain = vocabulary.word_histograms(counts, np.ones(3, np.float32))
    assert plain.dtype == np.float32
    np.testing.assert_array_equal(plain, [[0.25, 0.75, 0], [0, 0, 0], [0.25, 0.25, 0.5]])
    weighted = vocabulary.word_histograms(counts, np.array([3, 1, 2], np.float32))
    np.testing.assert_array_equal(weighted, [[0.5, 0.5, 0], [0, 0, 0], [0.375, 0.125, 0.5]])
