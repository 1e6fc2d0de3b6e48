"""The phantom data set: its layout, its determinism, and how far it resembles real patches."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.sources.phantom import CROSSTALK, STAIN_VECTORS, beer_lambert, make_phantom
from histogan_tf.errors import UserError


@pytest.fixture(scope="module")
def phantom() -> ImageSet:
    return make_phantom()


def test_defaults_are_two_halves_of_606_patches_from_twelve_patients(phantom):
    assert phantom.images.shape == (1212, 50, 50, 3) and phantom.images.dtype == np.uint8
    np.testing.assert_array_equal(phantom.labels, [0] * 606 + [1] * 606)
    assert phantom.labels.dtype == np.int32
    assert phantom.name == "phantom" and phantom.class_names == ("non-idc", "idc")
    assert list(phantom.ids[[0, 1, 1211]]) == ["phantom-00000", "phantom-00001", "phantom-01211"]
    patients, counts = np.unique(phantom.groups, return_counts=True)
    assert list(patients) == [f"patient-{number:02d}" for number in range(12)]
    assert set(counts) == {101}


@pytest.mark.parametrize("num_images", [24, 37, 1212])
def test_every_patient_has_both_classes(num_images, phantom):
    image_set = phantom if num_images == 1212 else make_phantom(num_images, size=16)
    for patient in np.unique(image_set.groups):
        assert set(image_set.labels[image_set.groups == patient]) == {0, 1}


def test_extra_image_of_an_odd_number_is_idc():
    np.testing.assert_array_equal(make_phantom(5, size=16).labels, [0, 0, 1, 1, 1])


def test_same_seed_gives_the_same_pixels_whatever_the_global_state():
    np.random.seed(1)
    first = make_phantom(12, seed=7)
    np.random.seed(2)
    np.testing.assert_array_equal(make_phantom(12, seed=7).images, first.images)


def test_image_depends_on_no_other_image():
    small, large = make_phantom(20, seed=3).images, make_phantom(24, seed=3).images
    np.testing.assert_array_equal(small[:10], large[:10])  # non-IDC in both
    np.testing.assert_array_equal(small[12:], large[12:20])  # IDC in both
    assert (small[10:12] != large[10:12]).any(axis=(1, 2, 3)).all()  # IDC in one, non-IDC in the other


def test_another_seed_changes_every_image():
    assert (make_phantom(12, seed=0).images != make_phantom(12, seed=1).images).any(axis=(1, 2, 3)).all()


def test_no_two_images_are_equal(phantom):
    assert len({image.tobytes() for image in phantom.images}) == 1212


@pytest.mark.parametrize("size", [16, 33, 64])
def test_any_square_size(size):
    images = make_phantom(12, size=size).images
    assert images.shape == (12, size, size, 3)
    assert (images.std(axis=(1, 2)) > 1).all()


def test_beer_lambert_by_hand():
    hematoxylin, eosin = [0.5220, 0.4946, 0.7513], [0.9305, 0.3716, 0.9003]  # exp of minus the stains' densities
    concentrations = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    expected = [[1, 1, 1], hematoxylin, eosin, np.multiply(hematoxylin, eosin)]
    np.testing.assert_allclose(beer_lambert(concentrations, STAIN_VECTORS), expected, atol=1e-4)


def test_twice_the_stain_passes_the_square_of_the_light():
    concentrations = np.random.default_rng(0).random((5, 5, 2))
    once, twice = (beer_lambert(concentrations * factor, STAIN_VECTORS) for factor in (1, 2))
    np.testing.assert_allclose(twice, once**2, rtol=1e-6)


def test_crosstalk_leaves_white_white():
    np.testing.assert_allclose(CROSSTALK.sum(axis=1), 1, rtol=1e-6)


def test_mean_colour_tells_the_classes_apart_but_not_well(phantom):
    colour = phantom.images.mean(axis=(1, 2))
    train_x, test_x, train_y, test_y = train_test_split(colour, phantom.labels, test_size=0.33, random_state=42)
    accuracy = LogisticRegression(max_iter=1000).fit(train_x, train_y).score(test_x, test_y)
    assert 0.77 < accuracy < 0.87


@pytest.mark.parametrize(("label", "mean", "deviation"), [(0, (224, 194, 209), 32), (1, (203, 160, 188), 30)])
def test_colours_are_near_those_of_real_patches(phantom, label, mean, deviation):
    """`mean` of each channel, and mean over channels of the pixels' deviation: those of 909 patches of the IDC set."""
    images = phantom.images[phantom.labels == label].astype(np.float64)
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), mean, atol=6)
    assert images.std(axis=(0, 1, 2)).mean() == pytest.approx(deviation, abs=5)


def test_background_is_white_and_not_saturated(phantom):
    brightest = np.percentile(phantom.images, 99, axis=(0, 1, 2))
    np.testing.assert_allclose(brightest, 243, atol=4)
    assert (phantom.images == 255).mean() < 1e-3


def test_stain_varies_by_patient(phantom):
    non_idc = phantom.select(np.flatnonzero(phantom.labels == 0))
    colour = non_idc.images.mean(axis=(1, 2))
    hue = np.log(colour[:, 2] / 243) / np.log(colour[:, 1] / 243)  # blue over green density: amount of tissue cancels
    by_patient = [hue[non_idc.groups == patient] for patient in np.unique(non_idc.groups)]
    assert stats.kruskal(*by_patient).pvalue < 1e-6


@pytest.mark.parametrize(
    ("arguments", "given"), [({"num_images": 1}, "1 image of"), ({"size": 15}, "15x15"), ({"seed": -1}, "seed -1")]
)
def test_impossible_requests_are_refused(arguments, given):
    with pytest.raises(UserError, match=given):
        make_phantom(**{"num_images": 4, "size": 16, **arguments})
