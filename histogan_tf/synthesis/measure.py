"""Measures a set of synthetic images against real ones, by every metric.

Each metric comes in three columns, measured in the same way on the same number of images: of the synthetic images; of
other real images (`floor`: what a perfect generator would reach), and of images that no training makes (`ceiling`):
white noise, or for checkerboards real images whose pixels are repeated. measure_report.py writes what was measured.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.errors import UserError, counted
from histogan_tf.metrics import artefacts, generative
from histogan_tf.metrics.checks import check_images, checked_features
from histogan_tf.metrics.memorization import Copies, find_copies
from histogan_tf.models.feature_extractors import FeatureExtractor
from histogan_tf.runs.array_cache import ArrayCache

REPORT_COLUMNS = ("synthetic", "floor", "ceiling")
MIN_REAL_IMAGES = 2 * (generative.NUM_NEIGHBOURS + 1)
MIN_SYNTHETIC_IMAGES = generative.NUM_NEIGHBOURS + 1
MAX_REALISM_IMAGES = 2000  # real images by which realism is measured, so that it takes seconds
MAX_SAMPLE = 1000  # Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4

_KERNEL_DRAWS, _OTHER_DRAWS = 100, 10


@dataclasses.dataclass(frozen=True)
class SynthesisReport:
    """What was measured of a set of synthetic images.

    Attributes:
        settings: the numbers of images, the features, the seed and the like.
        metrics: by name, then by column: mean `value` and `deviation` over draws, or `value` and bounds `low` and
            `high` of a 95 % interval. KID is the first.
        num_images: by name of a metric, how many images it rests on: `draws` of `real` and `synthetic` images each.
        realism: by name of the features, the realism score of each synthetic image, float64 (num_synthetic,).
        realism_of_real: by name of the features, the scores of other real images, float64, by the same real images.
        copies: the nearest training image of each synthetic one.
        warnings: what to mind about these numbers, in sentences.
    """

    settings: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    num_images: Mapping[str, Mapping[str, int]]
    realism: Mapping[str, np.ndarray]
    realism_of_real: Mapping[str, np.ndarray]
    copies: Copies
    warnings: tuple[str, ...] = ()


def measure_synthesis(
    real_images: np.ndarray,
    synthetic_images: np.ndarray,
    extractors: Sequence[FeatureExtractor],
    *,
    seed: int = 42,
    cache_folder: Path | None = None,
    warnings: tuple[str, ...] = (),
) -> SynthesisReport:
    """Measures synthetic images against the real ones that their generator was trained on.

    Each draw takes two disjoint samples of n real images, n synthetic ones and n of noise, and compares the last three
    with the first; n is half of the real images, all synthetic ones, or 1000, whichever is least. Metrics that depend
    on the sample count are named after n. The kernel distance does not, so that its mean over draws stands for all
    images; it is named after the smaller set, as is usual. The Fréchet distance is called FID only of Inception's
    features.

    Args:
        real_images: uint8 (num_real, height, width, channels), the training images, at least 12.
        synthetic_images: uint8 (num_synthetic, height, width, channels), at least 6.
        extractors: the extractors of features, at least one. The distances are measured with each, and copies are
            looked for with the first.
        seed: the seed of draws, noise and bootstrap.
        cache_folder: where features of the real images are kept for the next time; None to keep none.
        warnings: what to mind about the numbers, for the report.

    Raises:
        UserError: if there are too few images, their shapes differ, or features are not finite.
    """
    _check_sets(real_images, synthetic_images)
    sample_size = min(len(real_images) // 2, len(synthetic_images), MAX_SAMPLE)
    noise_shape = (sample_size, *real_images.shape[1:])
    noise = np.random.default_rng(seed).integers(0, 256, noise_shape, dtype=np.uint8)
    metrics, num_images, realism, realism_of_real, features = {}, {}, {}, {}, []
    for extractor in extractors:
        # Checked here, where an image's number is still that of its set and not of a draw.
        real = checked_features(cached_features(real_images, extractor, cache_folder), "real")
        synthetic = checked_features(extractor(synthetic_images), "synthetic")
        draws = _Draws(real, synthetic, extractor(noise), sample_size, seed)
        kernel = draws.kernel_distance(f"kid-{extractor.name}-n{min(len(real_images), len(synthetic_images))}")
        others = draws.other_metrics(extractor.frechet_name, f"{extractor.name}-n{sample_size}")
        metrics |= kernel | others
        num_images |= dict.fromkeys(kernel, _counts(sample_size, sample_size, _KERNEL_DRAWS))
        num_images |= dict.fromkeys(others, _counts(sample_size, sample_size, _OTHER_DRAWS))
        references, other_real = _two_samples(real, seed)
        realism[extractor.name] = generative.realism_scores(references, synthetic)
        realism_of_real[extractor.name] = generative.realism_scores(references, other_real)
        features.append((real, synthetic))
    boards = _checkerboards(real_images, synthetic_images, seed)
    num_images |= dict.fromkeys(boards, _counts(len(real_images), len(synthetic_images), 1))
    settings = _settings(real_images, synthetic_images, extractors, sample_size, seed)
    copies = find_copies(real_images, synthetic_images, *features[0])
    return SynthesisReport(settings, metrics | boards, num_images, realism, realism_of_real, copies, warnings)


def _settings(
    real_images: np.ndarray,
    synthetic_images: np.ndarray,
    extractors: Sequence[FeatureExtractor],
    sample_size: int,
    seed: int,
) -> dict[str, Any]:
    """Returns what the numbers of a report depend on."""
    return {
        "num_real": len(real_images),
        "num_synthetic": len(synthetic_images),
        "image_shape": list(real_images.shape[1:]),
        "features": {extractor.name: extractor.fingerprint for extractor in extractors},
        "sample_size": sample_size,
        "num_neighbours": generative.NUM_NEIGHBOURS,
        "num_real_of_realism": min(len(real_images) // 2, MAX_REALISM_IMAGES),
        "seed": seed,
    }


def _check_sets(real_images: np.ndarray, synthetic_images: np.ndarray) -> None:
    check_images(real_images, synthetic_images)
    if len(real_images) < MIN_REAL_IMAGES or len(synthetic_images) < MIN_SYNTHETIC_IMAGES:
        raise UserError(
            f"{len(real_images)} real and {counted(len(synthetic_images), 'synthetic image')} are too few to measure: "
            f"give at least {MIN_REAL_IMAGES} real and {MIN_SYNTHETIC_IMAGES} synthetic ones"
        )


def _counts(num_real: int, num_synthetic: int, num_draws: int) -> dict[str, int]:
    return {"draws": num_draws, "real": num_real, "synthetic": num_synthetic}


def _two_samples(features: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns two random samples without a common image: half of the features each, or MAX_REALISM_IMAGES."""
    rng = np.random.default_rng(seed)
    size = min(len(features) // 2, MAX_REALISM_IMAGES)
    first = rng.choice(len(features), size, replace=False)
    second = rng.choice(np.setdiff1d(np.arange(len(features)), first), size, replace=False)
    return features[first], features[second]


def cached_features(images: np.ndarray, extractor: FeatureExtractor, folder: Path | None) -> np.ndarray:
    """Returns features of images, float32 (num_images, d), from `folder` if those of the same pixels are there.

    Args:
        images: uint8 (num_images, height, width, channels).
        extractor: the network that extracts them; the name of a file in `folder` contains a digest of its weights.
        folder: the folder of the files, which is made if it does not exist; None to keep no file.
    """
    if folder is None:
        return extractor(images)
    digest = hashlib.sha256(f"{extractor.name} {extractor.fingerprint} {images.shape}".encode())
    digest.update(np.ascontiguousarray(images))
    name = f"{extractor.name}-{digest.hexdigest()[:32]}"
    return ArrayCache(folder).read_or_compute(name, lambda: extractor(images))


class _Draws:
    """Seeded samples of features, and the metrics over them."""

    def __init__(self, real: np.ndarray, synthetic: np.ndarray, noise: np.ndarray, sample_size: int, seed: int) -> None:
        self._real, self._synthetic, self._noise = real, synthetic, noise
        self._sample_size, self._seed = sample_size, seed

    def kernel_distance(self, name: str) -> dict[str, dict[str, dict[str, float]]]:
        """Returns mean and deviation over many draws."""
        values = {column: [] for column in REPORT_COLUMNS}
        for real, others in self._samples(_KERNEL_DRAWS):
            for column, other in others.items():
                values[column].append(generative.squared_mmd(real, other))
        return {name: {column: _mean_and_deviation(found) for column, found in values.items()}}

    def other_metrics(self, frechet_name: str, suffix: str) -> dict[str, dict[str, dict[str, float]]]:
        """Returns mean and deviation over some draws of the metrics that depend on the number of images."""
        values = {}
        for real, others in self._samples(_OTHER_DRAWS):
            for column, other in others.items():
                found = {frechet_name: generative.frechet_distance(real, other)}
                found |= generative.manifold_metrics(real, other)._asdict()
                for name, value in found.items():
                    values.setdefault(f"{name}-{suffix}", {}).setdefault(column, []).append(value)
        return {
            name: {column: _mean_and_deviation(found) for column, found in columns.items()}
            for name, columns in values.items()
        }

    def _samples(self, num_draws: int) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        size = self._sample_size
        for draw in range(num_draws):
            rng = np.random.default_rng([self._seed, draw])
            order = rng.permutation(len(self._real))
            synthetic = rng.choice(len(self._synthetic), size, replace=False)
            others = (self._synthetic[synthetic], self._real[order[size : 2 * size]], self._noise)
            yield self._real[order[:size]], dict(zip(REPORT_COLUMNS, others, strict=True))


def _checkerboards(real: np.ndarray, synthetic: np.ndarray, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    metrics = {}
    for period in artefacts.fitting_periods(real.shape[1:]):
        scores = (
            artefacts.checkerboard_score(real, synthetic, period, seed=seed),
            artefacts.checkerboard_floor(real, period, seed=seed),
            artefacts.checkerboard_score(real, artefacts.repeated_pixels(real, period), period, seed=seed),
        )
        metrics[f"checkerboard-{period}px"] = {
            column: {"value": score.score, "low": score.low, "high": score.high}
            for column, score in zip(REPORT_COLUMNS, scores, strict=True)
        }
    return metrics


def _mean_and_deviation(values: list[float]) -> dict[str, float]:
    return {"value": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
