"""Clustering of images: fitting new clusters to them, or putting them into the clusters of a saved model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.clustering import descriptors, vocabulary
from histogan_tf.clustering.descriptors import DescriptorSettings
from histogan_tf.clustering.model import ClusterModel
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.parallel import map_in_order
from histogan_tf.machine.progress import Progress

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

NO_DESCRIPTORS = -1  # the number of the cluster of images without SIFT descriptors
MAX_VOCABULARY_DESCRIPTORS = 200_000  # 2000 for each of 100 words, and 100 MB as float32
NUM_STARTS = 10  # the number of starts of k-means, of which the best is kept


@dataclasses.dataclass(frozen=True)
class Clustering:
    """The cluster of each image of an image set.

    Attributes:
        assignment: the number of each image's cluster, int32 (num_images,). Cluster 0 was the largest one when the
            clusters were fitted; -1 holds the images without descriptors.
        distance: the Euclidean distance of each image's histogram from the centre of its cluster,
            float32 (num_images,); NaN where assignment is -1.
        histograms: the histogram of visual words of each image, float32 (num_images, num_words), with sum 1; zeros
            where assignment is -1.
        num_descriptors: the number of descriptors of each image, int32 (num_images,).
        model: the model of the clusters, with which `assign_images` puts other images into them.
    """

    assignment: np.ndarray
    distance: np.ndarray
    histograms: np.ndarray
    num_descriptors: np.ndarray
    model: ClusterModel


def cluster_images(
    image_set: ImageSet,
    *,
    num_clusters: int = 4,
    vocabulary_size: int = 100,
    upsample: int = 2,
    dense: bool = False,
    root_sift: bool = False,
    tf_idf: bool = False,
    seed: int = 42,
    num_workers: int | None = None,
    max_vocabulary_descriptors: int = MAX_VOCABULARY_DESCRIPTORS,
) -> Clustering:
    """Fits clusters to images. The same seed gives the same bytes, whatever the number of threads.

    The vocabulary is made from the descriptors of images in random order, until these are at least
    `max_vocabulary_descriptors`. Only these descriptors are held in memory; each image is described once.

    Args:
        image_set: the images to cluster, of any size in which a SIFT descriptor fits.
        num_clusters: the number of clusters.
        vocabulary_size: the number of visual words.
        upsample: the factor by which images are enlarged before SIFT, see `DescriptorSettings`.
        dense: whether descriptors lie on a grid instead of at key points.
        root_sift: whether descriptors are RootSIFT, which compares them by the Hellinger kernel.
        tf_idf: whether words are weighted by their inverse document frequency.
        seed: the seed of all random choices, in [0, 2**32).
        num_workers: the number of threads; None for one for each core.
        max_vocabulary_descriptors: the largest number of descriptors from which the vocabulary is made.

    Raises:
        UserError: if images are too small for SIFT, no image has descriptors, there are fewer distinct descriptors than
            visual words, or fewer distinct histograms than clusters.
    """
    settings = DescriptorSettings(upsample, dense, root_sift)
    descriptors.check_size(image_set.image_shape, settings)
    with descriptors.one_thread_per_call():
        described, sample = _sample_descriptors(
            image_set.images, settings, max_vocabulary_descriptors, seed, num_workers
        )
        words = vocabulary.fit_words(descriptors.as_points(sample, settings), vocabulary_size, seed)
        counts = _count_words(image_set.images, words, settings, described, num_workers)
        word_weights = np.ones(len(words), np.float32)
        if tf_idf:
            word_weights = vocabulary.inverse_document_frequency(counts)
        histograms = vocabulary.word_histograms(counts, word_weights)
        centres = _fit_centres(histograms[counts.any(axis=1)], num_clusters, seed)
    return _assign(counts, ClusterModel(words, word_weights, centres, settings))


def assign_images(image_set: ImageSet, model: ClusterModel, *, num_workers: int | None = None) -> Clustering:
    """Puts each image into the nearest cluster of a model that was fitted to these or other images.

    Args:
        image_set: the images.
        model: the model of the clusters.
        num_workers: the number of threads; None for one for each core.

    Raises:
        UserError: if the images are too small for SIFT with the settings of the model.
    """
    descriptors.check_size(image_set.image_shape, model.settings)
    with descriptors.one_thread_per_call():
        counts = _count_words(image_set.images, model.words, model.settings, {}, num_workers)
    return _assign(counts, model)


def best_kmeans(histograms: np.ndarray, num_clusters: int, seed: int) -> KMeans:
    """Returns scikit-learn's KMeans, fitted to `histograms` with the best of NUM_STARTS starts drawn with `seed`."""
    from sklearn.cluster import KMeans

    return KMeans(num_clusters, n_init=NUM_STARTS, random_state=seed).fit(histograms)


def _sample_descriptors(
    images: np.ndarray, settings: DescriptorSettings, most: int, seed: int, num_workers: int | None
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Describes images in random order, until they have at least `most` descriptors in total.

    Returns:
        The descriptors of each described image, by the image's index; and a random sample of at most `most` descriptors
        of all these images.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(images)).tolist()
    described, total = {}, 0
    found = map_in_order(lambda i: descriptors.describe_image(images[i], settings), order, num_workers)
    for index, of_image in zip(order, found, strict=False):
        described[index] = of_image
        total += len(of_image)
        if total >= most:
            break
    found.close()
    if total == 0:
        raise UserError(
            f"SIFT finds no descriptor in any of {counted(len(images), 'image')}; they may be of one colour: look at "
            "them, or try --dense or a larger --upsample"
        )
    sample = np.concatenate(list(described.values()))
    if total > most:
        sample = sample[generator.choice(total, most, replace=False)]
    return described, sample


def _count_words(
    images: np.ndarray,
    words: np.ndarray,
    settings: DescriptorSettings,
    described: dict[int, np.ndarray],
    num_workers: int | None,
) -> np.ndarray:
    """Returns how often each word occurs in each image, int32 (num_images, num_words).

    The descriptors of images in `described` are taken from there, by index, and not computed again.
    """

    def count(index: int) -> np.ndarray:
        of_image = described.get(index)
        if of_image is None:
            of_image = descriptors.describe_image(images[index], settings)
        return vocabulary.count_words(descriptors.as_points(of_image, settings), words)

    counts = np.empty((len(images), len(words)), np.int32)
    with Progress(len(images), 0, "image") as progress:
        for index, row in enumerate(map_in_order(count, range(len(images)), num_workers)):
            counts[index] = row
            progress.update(index + 1)
    return counts


def _fit_centres(histograms: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """Returns the centres of k-means, float32 (num_clusters, num_words), the largest cluster first."""
    num_distinct = len(np.unique(histograms, axis=0))
    if not 1 <= num_clusters <= num_distinct:
        raise UserError(
            f"{counted(num_clusters, 'cluster')} cannot be made of {counted(len(histograms), 'image')} with "
            f"descriptors, which have only {counted(num_distinct, 'distinct histogram')}; choose --num_clusters from 1 "
            f"to {num_distinct}"
        )
    kmeans = best_kmeans(histograms, num_clusters, seed)
    sizes = np.bincount(kmeans.labels_, minlength=num_clusters)
    return kmeans.cluster_centers_[np.argsort(-sizes, kind="stable")].astype(np.float32)


def _assign(counts: np.ndarray, model: ClusterModel) -> Clustering:
    """Returns the clustering in which each image has the nearest centre.

    Args:
        counts: how often each word occurs in each image, int32 (num_images, num_words).
        model: the model with the centres.
    """
    histograms = vocabulary.word_histograms(counts, model.word_weights)
    distances = np.stack([np.linalg.norm(histograms - centre, axis=1) for centre in model.centres], axis=1)
    num_descriptors = counts.sum(axis=1, dtype=np.int32)
    described = num_descriptors > 0
    assignment = np.where(described, distances.argmin(axis=1), NO_DESCRIPTORS).astype(np.int32)
    distance = np.where(described, distances.min(axis=1), np.nan).astype(np.float32)
    return Clustering(assignment, distance, histograms, num_descriptors, model)
