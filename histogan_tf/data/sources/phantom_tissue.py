"""Draws the anatomy of the phantom: the hematoxylin and eosin in a procedural patch of breast tissue.

The scale is that of the IDC set (Cruz-Roa et al., Proc. SPIE 9041, 2014), about 4 um per pixel, judged by the size of
cells: nuclei are 2-3 pixels wide, adipocytes 8-14, collagen bundles 1-3. A larger patch shows more tissue, not larger
cells.

Maps are float32 (size, size): a coverage in [0, 1], a noise of unit variance, or the concentration of a stain in units
of optical density. Lengths are in pixels, angles in radians.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Histology:
    """The composition of the patches of one class. Pairs (low, high) are the bounds of uniform draws.

    Attributes:
        cellularity: a and b of the beta distribution of nuclear crowding, and the factor by which it is scaled.
        eosin: (low, high) of the eosin concentration in compact stroma.
        compactness: (low, high) of the threshold, in standard deviations, above which the fibres' noise opens into a
            white cleft.
        nucleus: (low, high) of a nucleus's standard deviation across its long axis, in pixels.
        fat: the probability of fat, and (low, high) of how far it spreads (0: half of the patch).
        glands: the probability of glands, (low, high) of their number in 50x50 pixels, (low, high) of their half-width.
        infiltrate: the probability of a crowd of lymphocytes.
        glass: the probability that the tissue's edge runs through the patch.
        fold: the probability of a fold, over-stained with eosin.
    """

    cellularity: tuple[float, float, float]
    eosin: tuple[float, float]
    compactness: tuple[float, float]
    nucleus: tuple[float, float]
    fat: tuple[float, tuple[float, float]]
    glands: tuple[float, tuple[int, int], tuple[float, float]]
    infiltrate: float
    glass: float
    fold: float


NON_IDC = Histology(
    cellularity=(1.0, 3.0, 0.6),
    eosin=(0.26, 0.54),
    compactness=(-0.6, 2.0),
    nucleus=(0.35, 0.5),
    fat=(0.55, (-0.9, 1.6)),
    glands=(0.28, (1, 4), (2.5, 8.0)),
    infiltrate=0.1,
    glass=0.12,
    fold=0.02,
)
IDC = Histology(
    cellularity=(2.2, 2.8, 0.9),
    eosin=(0.28, 0.5),
    compactness=(1.4, 3.0),
    nucleus=(0.45, 0.6),
    fat=(0.4, (-1.9, 0.3)),
    glands=(0.5, (2, 15), (1.6, 3.6)),
    infiltrate=0.15,
    glass=0.03,
    fold=0.01,
)


@functools.lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return x, y


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns 0 below `low`, 1 above `high`, and a linear ramp between: an edge anti-aliased over high - low."""
    return np.clip((values - low) * (1 / (high - low)), 0, 1)


@functools.lru_cache(maxsize=64)
def _spline_basis(size: int, spacing: float) -> np.ndarray:
    """Returns cubic B-splines (size, num_knots) on knots `spacing` pixels apart, rows scaled to unit length."""
    position = np.arange(size) / spacing + 1
    distance = np.abs(position[:, None] - np.arange(int(position[-1]) + 3))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.maximum(2 - distance, 0) ** 3 / 6
    basis = np.where(distance < 1, near, far)
    return (basis / np.linalg.norm(basis, axis=1, keepdims=True)).astype(np.float32)


def smooth_noise(rng: np.random.Generator, size: int, spacing: float) -> np.ndarray:
    """Returns isotropic normal noise (size, size) of unit variance with knots `spacing` pixels apart."""
    basis = _spline_basis(size, spacing)
    return basis @ rng.standard_normal((basis.shape[1],) * 2, np.float32) @ basis.T


class Grain:
    """The wavy direction in which the fibres of a patch run.

    Attributes:
        angle: the angle between the fibres and the x axis.
    """

    def __init__(self, rng: np.random.Generator, size: int, waviness: float) -> None:
        self.angle = rng.uniform(0, math.pi)
        x, y = _grid(size)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        along = x * cosine + y * sine
        across = y * cosine - x * sine + smooth_noise(rng, size, 8.0) * waviness
        self._along, self._across = along - along.min(), across - across.min()
        self._extent = float(self._across.max()), float(self._along.max())

    def noise(self, rng: np.random.Generator, length: float, width: float) -> np.ndarray:
        """Returns noise with knots `length` pixels apart along the fibres and `width` pixels apart across them."""
        import cv2

        shape = int(self._extent[0] / width) + 2, int(self._extent[1] / length) + 2
        knots = rng.standard_normal(shape, np.float32) * 1.5  # linear interpolation takes off a third of the deviation
        return cv2.remap(knots, self._along * (1 / length), self._across * (1 / width), cv2.INTER_LINEAR)

    def distance(self, share: float) -> np.ndarray:
        """Returns each pixel's distance from the fibre that crosses the patch's diagonal at `share` of its length."""
        crossing = int(share * len(self._across))
        return np.abs(self._across - self._across[crossing, crossing])


@functools.lru_cache(maxsize=256)
def _spot(angle: float, length: float, width: float) -> np.ndarray:
    y, x = np.mgrid[-3:4, -3:4]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    return np.exp(-0.5 * ((along / length) ** 2 + (across / width) ** 2)).astype(np.float32)


def nuclei(rng: np.random.Generator, density: np.ndarray, angle: float, length: float, width: float) -> np.ndarray:
    """Returns the chromatin of randomly placed nuclei: elliptic Gaussians of peak 0.2-1.5, added where they overlap.

    `density` is the expected number of nuclei in each pixel. `length` and `width` are the standard deviations of a
    nucleus along and across the direction `angle`.
    """
    import cv2

    centres = (rng.random(density.shape, np.float32) < density) * (0.2 + 1.3 * rng.random(density.shape, np.float32))
    eighth_turn = round(angle * 8 / math.pi) % 8 * math.pi / 8  # only eight angles, so that few kernels are made
    kernel = _spot(eighth_turn, round(length, 1), round(width, 1))
    return cv2.filter2D(centres, -1, kernel, borderType=cv2.BORDER_REFLECT)


def fat_cells(
    rng: np.random.Generator, spread: np.ndarray, spacing: float, radius: float, septum: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coverage by fat cells and by their vacuoles, both float32 (size, size).

    Vacuoles are discs where cells are apart, and a honeycomb where they touch. The cells are Worley noise: the Voronoi
    cells of jittered lattice points, here cut at `radius`. The depth of a pixel in its vacuole is
    min((F2 - F1) / 2, radius - F1), where F1 and F2 are the distances to the two nearest points. A whole cell is fat if
    `spread` > 0 at its point, so a lobule ends in whole cells. `septum` is half the thickness of the walls.
    """
    size = len(spread)
    x, y = (np.clip(axis + 0.5 * smooth_noise(rng, size, 4.0), 0, size - 1) for axis in _grid(size))
    side = int(size / spacing) + 5  # two rings of cells around the patch
    lattice = np.arange(side, dtype=np.float32) - 1.5
    jitter = rng.random((2, side, side), np.float32) * 0.84 - 0.42
    point_x = ((lattice + jitter[0]) * spacing).ravel()
    point_y = ((lattice[:, None] + jitter[1]) * spacing).ravel()
    pixel_x, pixel_y = (np.clip(point, 0, size - 1).astype(np.intp) for point in (point_x, point_y))
    is_fat = spread[pixel_y, pixel_x] > 0

    home = ((y / spacing).astype(np.intp) + 2) * side + (x / spacing).astype(np.intp) + 2
    nearest = np.full((size, size), np.inf, np.float32)
    second, owner = nearest, home
    for step in (0, -1, 1, -side, side, -side - 1, -side + 1, side - 1, side + 1):
        candidate = home + step
        distance = (x - point_x[candidate]) ** 2 + (y - point_y[candidate]) ** 2
        owner = np.where(distance < nearest, candidate, owner)
        second = np.minimum(second, np.maximum(distance, nearest))
        nearest = np.minimum(distance, nearest)
    f1, f2 = np.sqrt(nearest), np.sqrt(second)
    cells = is_fat[owner].astype(np.float32)
    return cells, cells * _ramp(np.minimum((f2 - f1) / 2, radius - f1), septum, septum + 0.9)


_TURN = np.linspace(0, 2 * np.pi, 20, endpoint=False)


def _gland_outline(rng: np.random.Generator, half_width: float, angle: float) -> np.ndarray:
    """Returns points (20, 2) on a wobbly ellipse around the origin whose long axis lies at `angle`."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    wobble = half_width * (1 + 0.12 * np.sin(2 * _TURN + phase[0]) + 0.1 * np.sin(3 * _TURN + phase[1]))
    long, short = wobble * np.cos(_TURN) * rng.uniform(1.0, 2.6), wobble * np.sin(_TURN)
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.stack([long * cosine - short * sine, long * sine + short * cosine], axis=-1)


class Section:
    """A patch of tissue that is drawn layer by layer.

    Attributes:
        hematoxylin, eosin: float32 (size, size), the concentrations after the layers drawn so far.
    """

    def __init__(self, rng: np.random.Generator, size: int, histology: Histology) -> None:
        self._rng, self._size, self._histology = rng, size, histology
        self._grain = Grain(rng, size, waviness=rng.uniform(0.3, 2.6))
        a, b, scale = histology.cellularity
        self._cellularity = scale * rng.beta(a, b)
        self.hematoxylin = np.zeros((size, size), np.float32)
        self.eosin = np.zeros((size, size), np.float32)

    def _cover(self, coverage: np.ndarray, hematoxylin: np.ndarray | float, eosin: np.ndarray | float) -> None:
        """Replaces the concentrations by new ones, in proportion to `coverage`."""
        self.hematoxylin += coverage * (hematoxylin - self.hematoxylin)
        self.eosin += coverage * (eosin - self.eosin)

    def lay_stroma(self) -> None:
        """Adds collagen in bundles along the grain, bluish where cells are many, with white clefts between."""
        rng, grain = self._rng, self._grain
        bundles = grain.noise(rng, rng.uniform(3.0, 8.0), rng.uniform(1.1, 1.8))
        sheets = grain.noise(rng, 20.0, 6.0)
        texture = 0.13 * bundles + 0.06 * sheets + 0.2 * grain.noise(rng, 2.5, 1.0)
        self.eosin += rng.uniform(*self._histology.eosin) * (1 + texture)
        basophilia = 1 + 0.15 * sheets + 0.4 * smooth_noise(rng, self._size, 14.0)
        self.hematoxylin += (0.03 + 0.22 * self._cellularity) * np.maximum(basophilia, 0)

        clefts = grain.noise(rng, rng.uniform(2.0, 9.0), rng.uniform(1.1, 2.2)) + 0.3 * bundles + 0.7 * sheets
        clefts += rng.uniform(0.0, 0.6) * smooth_noise(rng, self._size, 1.6)
        threshold = rng.uniform(*self._histology.compactness)
        self._cover(_ramp(clefts, threshold, threshold + 0.9), 0.0, 0.02)

    def lay_nuclei(self) -> None:
        """Adds fibroblasts everywhere, crowds of cells in cords and sheets along the grain, and lymphocytes."""
        rng, grain, cellularity = self._rng, self._grain, self._cellularity
        crowd = grain.noise(rng, rng.uniform(3, 10), rng.uniform(1.8, 3.5)) + smooth_noise(rng, self._size, 8.0)
        crowd = _ramp(crowd, 0.3 - 2.0 * cellularity, 2.4 - 1.6 * cellularity)
        density = 0.012 + 0.4 * cellularity * crowd
        width = rng.uniform(*self._histology.nucleus)
        chromatin = nuclei(rng, density * 0.6, grain.angle, width + 0.35, width)
        chromatin += nuclei(rng, density * 0.4, grain.angle + rng.uniform(0.4, 2.6), width + 0.1, width)
        if rng.random() < self._histology.infiltrate:
            region = _ramp(smooth_noise(rng, self._size, 18.0), 0.5, 1.0)
            chromatin += nuclei(rng, 0.35 * region, grain.angle, 0.55, 0.55)
        clumped = chromatin * (0.6 + 0.8 * rng.random(chromatin.shape, np.float32))
        clumped = np.minimum(clumped, 1.3)
        self.hematoxylin += 0.5 * clumped + 0.7 * density
        self.eosin += 0.18 * clumped

    def lay_glands(self) -> None:
        """Adds a lobule of ducts, acini or tubules: dark, granular epithelium around an open or filled lumen."""
        import cv2

        rng, size = self._rng, self._size
        probability, (fewest, most), half_widths = self._histology.glands
        if rng.random() >= probability:
            return
        centre, scatter = rng.uniform(0, size, 2), rng.uniform(0.1, 0.6) * size
        openness = rng.uniform(0.15, 0.7)
        epithelium, lumen = np.zeros((2, size, size), np.uint8)
        for _ in range(max(1, round(rng.uniform(fewest, most) * (size / 50) ** 2))):
            outline = _gland_outline(rng, rng.uniform(*half_widths), self._grain.angle + rng.normal(0, 0.3))
            place = rng.normal(centre, scatter)
            for layer, share in ((epithelium, 1.0), (lumen, openness * rng.uniform(0.3, 1.2))):
                sixteenths = np.int32((place + share * outline) * 16)  # four bits of sub-pixel position
                cv2.fillPoly(layer, [sixteenths], 255, cv2.LINE_AA, 4)
        granules = cv2.GaussianBlur(0.3 + 1.5 * rng.random((size, size), np.float32), (3, 3), 0.45)
        self._cover(epithelium * np.float32(1 / 255), rng.uniform(0.5, 1.1) * granules, 0.3 + 0.35 * granules)
        self._cover(lumen * np.float32(1 / 255), 0.02, 0.25 if rng.random() < 0.5 else 0.0)

    def lay_fat(self) -> None:
        """Adds adipocytes: single ones, a lobule, or all over the patch."""
        rng, size = self._rng, self._size
        probability, spreads = self._histology.fat
        if rng.random() >= probability:
            return
        spread = smooth_noise(rng, size, 25.0) + 0.5 * smooth_noise(rng, size, 11.0) + rng.uniform(*spreads)
        spacing = rng.uniform(7.0, 14.0)
        radius, septum = spacing * rng.uniform(0.45, 0.75), rng.uniform(-0.45, 0.15)
        cells, vacuoles = fat_cells(rng, spread, spacing, radius, septum)
        self._cover(cells * rng.uniform(0.3, 1.0), 0.05, rng.uniform(0.15, 0.35))
        self._cover(vacuoles, 0.0, 0.0)

    def lay_artefacts(self) -> None:
        """Adds a fold that took up too much eosin, and bare glass beyond the tissue's edge."""
        rng, grain = self._rng, self._grain
        if rng.random() < self._histology.fold:
            rough = grain.noise(rng, 3.0, 1.5)
            ridge = grain.distance(rng.uniform(0.1, 0.9)) - 1.2 * rough
            self._cover(1 - _ramp(ridge, 0.3, 2.2), 0.3, 1.8 + 0.6 * rough)
        if rng.random() < self._histology.glass:
            edge = smooth_noise(rng, self._size, 30.0) + 0.05 * grain.noise(rng, 3.0, 3.0)
            self._cover(_ramp(edge, 0.2, 0.26), 0.0, 0.0)


def draw_tissue(rng: np.random.Generator, size: int, histology: Histology) -> np.ndarray:
    """Returns one patch: the concentrations of hematoxylin and eosin, float32 (size, size, 2), at least 0."""
    section = Section(rng, size, histology)
    section.lay_stroma()
    section.lay_nuclei()
    section.lay_glands()
    section.lay_fat()
    section.lay_artefacts()
    return np.maximum(np.stack([section.hematoxylin, section.eosin], axis=-1), 0)
