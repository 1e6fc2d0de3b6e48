import dataclasses

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from histogan_tf.clustering import assign_images, cluster_images, clusters
from histogan_tf.clustering.descriptors import DescriptorSettings
from histogan_tf.errors import UserError


@pytest.mark.parametrize(
    "options",
    [{}, {"dense": True}, {"root_sift": True, "tf_idf": True}, {"upsample": 1}],
    ids=lambda options: "-".join(options) or "default",
)
def test_planted_textures_are_found(textures, options):
    clustering = cluster_images(textures, vocabulary_size=40, **options)
    assert adjusted_rand_score(textures.labels, clustering.assignment) >= 0.9
    assert clustering.assignment.min() == 0


def test_clusters_do_not_depend_on_how_the_tissue_lies(textures):
    clustering = cluster_images(textures, vocabulary_size=40)
    turned = dataclasses.replace(textures, images=np.ascontiguousarray(np.rot90(textures.images, axes=(1, 2))))
    assert np.mean(assign_images(turned, clustering.model).assignment == clustering.assignment) >= 0.95


def test_any_number_of_workers_gives_the_same_bytes(clustering, textures_and_flat):
    other = cluster_images(textures_and_flat, vocabulary_size=40, num_workers=3)
    for name in ("assignment", "distance", "histograms", "num_descriptors"):
        assert getattr(other, name).tobytes() == getattr(clustering, name).tobytes(), name
    for name in ("words", "word_weights", "centres"):
        assert getattr(other.model, name).tobytes() == getattr(clustering.model, name).tobytes(), name


def test_images_without_descriptors_are_in_no_cluster(clustering):
    assert np.flatnonzero(clustering.assignment == -1).tolist() == [3, 50]
    assert np.flatnonzero(np.isnan(clustering.distance)).tolist() == [3, 50]
    assert np.flatnonzero(clustering.num_descriptors == 0).tolist() == [3, 50]
    assert not clustering.histograms[[3, 50]].any()


def test_distances_and_order_against_scikit_learn(clustering):
    described = clustering.assignment >= 0
    expected = KMeans(4, n_init=10, random_state=42).fit(clustering.histograms[described])
    assert np.square(clustering.distance[described], dtype=np.float64).sum() == pytest.approx(
        expected.inertia_, rel=1e-5
    )
    sizes = np.bincount(clustering.assignment[described])
    assert sizes.tolist() == sorted(np.bincount(expected.labels_), reverse=True)
    own_centre = clustering.model.centres[clustering.assignment[described]]
    by_hand = np.sqrt(((clustering.histograms[described] - own_centre) ** 2).sum(axis=1))
    np.testing.assert_allclose(clustering.distance[described], by_hand, rtol=1e-5)


def test_assigning_the_same_images_again_changes_nothing(clustering, textures_and_flat):
    again = assign_images(textures_and_flat, clustering.model)
    for name in ("assignment", "distance", "histograms"):
        assert getattr(again, name).tobytes() == getattr(clustering, name).tobytes(), name


def test_assign_uses_the_settings_of_the_model(textures):
    clustering = cluster_images(textures, vocabulary_size=40, upsample=1, dense=True, root_sift=True, tf_idf=True)
    some = textures.select(np.arange(0, 80, 9))
    assigned = assign_images(some, clustering.model)
    np.testing.assert_array_equal(assigned.assignment, clustering.assignment[::9])
    np.testing.assert_array_equal(assigned.num_descriptors, np.full(9, 16))  # 4x4 windows at steps of 8 in 40x40


def test_tf_idf_weights_words_by_rarity(textures):
    plain = cluster_images(textures, vocabulary_size=40)
    weighted = cluster_images(textures, vocabulary_size=40, tf_idf=True)
    np.testing.assert_array_equal(plain.model.word_weights, np.ones(40))
    num_images_with_word = np.count_nonzero(plain.histograms, axis=0)
    np.testing.assert_allclose(weighted.model.word_weights, np.log(81 / (1 + num_images_with_word)) + 1, rtol=1e-6)


def test_vocabulary_sample_is_capped_and_drawn_from_whole_images(textures):
    settings = DescriptorSettings()
    described, everything = clusters._sample_descriptors(textures.images, settings, 10**6, 1, 2)
    assert sorted(described) == list(range(80))
    assert len(everything) == sum(map(len, described.values()))

    some, sample = clusters._sample_descriptors(textures.images, settings, 1000, 1, 2)
    assert len(sample) == 1000
    assert 1000 <= sum(map(len, some.values())) < len(everything)
    rows = {row.tobytes() for of_image in some.values() for row in of_image}
    assert {row.tobytes() for row in sample} <= rows
    assert list(some) == list(described)[: len(some)]

    # Images outside of the sample are described all the same.
    capped = cluster_images(textures, vocabulary_size=40, max_vocabulary_descriptors=1000)
    np.testing.assert_array_equal(capped.num_descriptors, [len(described[index]) for index in range(80)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clusters": 9}, "9 clusters cannot be made of 8 images .* 8 distinct"),
        ({"num_clusters": 0}, "choose --num_clusters from 1 to 8"),
        ({"vocabulary_size": 10**5}, "vocabulary of 100000 words cannot be made"),
        ({"vocabulary_size": 0}, "choose a --vocabulary_size from 1"),
        ({"upsample": 0}, "upsample is 0"),
    ],
)
def test_impossible_requests(textures, options, message):
    with pytest.raises(UserError, match=message):
        cluster_images(textures.select(np.arange(0, 80, 10)), **{"vocabulary_size": 10, **options})


def test_more_clusters_than_distinct_histograms(textures):
    copies = textures.select(np.array([0, 30, 0, 30, 0]))
    with pytest.raises(UserError, match="3 clusters cannot be made of 5 images .* 2 distinct"):
        cluster_images(copies, num_clusters=3, vocabulary_size=10)
    assert cluster_images(copies, num_clusters=2, vocabulary_size=10).assignment.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("dense", [False, True])
def test_only_flat_images(textures, dense):
    flat = dataclasses.replace(textures, images=np.full_like(textures.images, 128))
    with pytest.raises(UserError, match="no descriptor in any of 80 images"):
        cluster_images(flat, dense=dense)


def test_images_smaller_than_a_descriptor(clustering, textures):
    tiny = dataclasses.replace(textures, images=textures.images[:, :7, :20])
    with pytest.raises(UserError, match="7x20 enlarged 2 times .* use upsample 3 or more"):
        cluster_images(tiny)
    with pytest.raises(UserError, match="7x20"):
        assign_images(tiny, clustering.model)
