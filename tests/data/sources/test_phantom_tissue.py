"""The parts of the phantom's anatomy, each against numbers that geometry or statistics give."""

import math

import numpy as np
import pytest
from scipy import ndimage

from histogan_tf.data.sources.phantom_tissue import IDC, NON_IDC, Grain, draw_tissue, fat_cells, nuclei, smooth_noise


@pytest.mark.parametrize("spacing", [1.6, 8.0, 30.0])
def test_smooth_noise_has_unit_variance_everywhere(spacing):
    rng = np.random.default_rng(0)
    draws = np.stack([smooth_noise(rng, 20, spacing) for _ in range(4000)])
    assert draws.shape == (4000, 20, 20) and draws.dtype == np.float32
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.08)  # 5 standard errors
    np.testing.assert_allclose(draws.std(axis=0), 1, atol=0.06)


def test_smooth_noise_is_smoother_when_its_knots_are_wider_apart():
    rng = np.random.default_rng(0)
    steps = [np.abs(np.diff(smooth_noise(rng, 200, spacing))).mean() for spacing in (2.0, 8.0, 32.0)]
    np.testing.assert_allclose(np.divide(steps[:-1], steps[1:]), 4, rtol=0.3)


def test_grain_runs_along_its_angle():
    checked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        grain = Grain(rng, 60, waviness=0.0)
        noise = grain.noise(rng, length=12.0, width=1.5)
        horizontal = np.corrcoef(noise[:, :-4].ravel(), noise[:, 4:].ravel())[0, 1]
        vertical = np.corrcoef(noise[:-4].ravel(), noise[4:].ravel())[0, 1]
        if abs(math.sin(grain.angle)) < 0.1:
            assert horizontal > 0.5 and vertical < 0.25
            checked += 1
        elif abs(math.cos(grain.angle)) < 0.1:
            assert vertical > 0.5 and horizontal < 0.25
            checked += 1
    assert checked >= 4


def test_distance_is_measured_across_the_grain():
    grain = Grain(np.random.default_rng(0), 60, waviness=0.0)
    rows, columns = np.mgrid[:60, :60]
    expected = np.abs((rows - 30) * math.cos(grain.angle) - (columns - 30) * math.sin(grain.angle))
    np.testing.assert_allclose(grain.distance(0.5), expected, atol=1e-4)


def test_nuclei_absorb_in_proportion_to_their_density():
    rng = np.random.default_rng(0)
    density = np.full((400, 400), 0.02, np.float32)
    chromatin = nuclei(rng, density, angle=0.3, length=0.8, width=0.5)
    # Each has a mean peak of 0.85 and the integral 2 pi length width of an elliptic Gaussian.
    assert chromatin.mean() == pytest.approx(0.02 * 0.85 * 2 * math.pi * 0.8 * 0.5, rel=0.06)
    assert not nuclei(rng, 0 * density, 0.3, 0.8, 0.5).any()


def test_nuclei_are_elongated_along_their_angle():
    density = np.full((200, 200), 0.005, np.float32)
    for angle, axis in ((0.0, 1), (math.pi / 2, 0)):
        chromatin = nuclei(np.random.default_rng(0), density, angle, length=0.9, width=0.4)
        along, across = (np.abs(np.diff(chromatin, axis=side)).sum() for side in (axis, 1 - axis))
        assert along < 0.75 * across


def test_fat_is_where_it_spreads():
    spread = np.full((60, 60), -1.0, np.float32)
    cells, vacuoles = fat_cells(np.random.default_rng(0), spread, spacing=9.0, radius=6.0, septum=0.0)
    assert not cells.any() and not vacuoles.any()
    spread[:, 30:] = 1
    cells, vacuoles = fat_cells(np.random.default_rng(0), spread, spacing=9.0, radius=20.0, septum=0.0)
    assert (vacuoles <= cells).all()
    assert not cells[:, :20].any() and (cells[:, 40:] == 1).all()  # borders of cells lie within a cell of column 30
    assert vacuoles[:, 40:].mean() == pytest.approx((1 - 0.9 / 9.0) ** 2, abs=0.05)  # walls 0.9 pixels thick


def test_vacuoles_far_apart_are_discs_one_for_each_lattice_point():
    spread = np.ones((240, 240), np.float32)
    _, vacuoles = fat_cells(np.random.default_rng(0), spread, spacing=24.0, radius=5.0, septum=0.0)
    labels, count = ndimage.label(vacuoles > 0.5)
    assert count == pytest.approx(100, abs=12)  # 10 x 10 lattice points; some discs touch, some reach in from outside
    areas = ndimage.sum_labels(vacuoles > 0.5, labels, np.arange(1, count + 1))
    assert np.median(areas) == pytest.approx(math.pi * (5.0 - 0.45) ** 2, rel=0.1)  # half covered 0.45 inside the edge


def test_thicker_septa_leave_less_vacuole():
    spread = np.ones((60, 60), np.float32)
    coverage = [
        fat_cells(np.random.default_rng(0), spread, spacing=10.0, radius=9.0, septum=septum)[1].mean()
        for septum in (-0.4, 0.2, 1.0)
    ]
    assert coverage[0] > coverage[1] + 0.05 > coverage[2] + 0.1


def test_idc_holds_more_hematoxylin_and_overlaps():
    hematoxylin = {}
    for histology in (NON_IDC, IDC):
        patches = [draw_tissue(np.random.default_rng(seed), 50, histology) for seed in range(100)]
        assert all(patch.shape == (50, 50, 2) and patch.dtype == np.float32 for patch in patches)
        assert all(np.isfinite(patch).all() and patch.min() >= 0 for patch in patches)
        hematoxylin[histology] = np.array([patch[..., 0].mean() for patch in patches])
    assert hematoxylin[IDC].mean() > 1.8 * hematoxylin[NON_IDC].mean()
    assert np.percentile(hematoxylin[NON_IDC], 90) > np.percentile(hematoxylin[IDC], 25)
