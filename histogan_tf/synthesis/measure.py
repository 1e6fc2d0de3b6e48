"""Every metric of a set of synthetic images against real ones: measured, told, and written.

Each metric comes in three columns, measured in the same way on the same number of images: of the synthetic images; of
other real images (`floor`: what a perfect generator would reach), and of images that no training makes (`ceiling`):
white noise, or for checkerboards real images whose pixels are repeated.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics import artefacts, generative
from histogan_tf.metrics.checks import check_images, checked_features
from histogan_tf.metrics.memorization import FALSE_ALARM_RATE, Copies, NearestTraining, find_copies
from histogan_tf.models.feature_extractors import FeatureExtractor
from histogan_tf.reporting import pictures
from histogan_tf.reporting.text_tables import plain_table
from histogan_tf.runs import files
from histogan_tf.runs.array_cache import ArrayCache
from histogan_tf.runs.own_results import own_results
from histogan_tf.synthesis.realism import realism_summary, write_realism

REPORT_COLUMNS = ("synthetic", "floor", "ceiling")
MIN_REAL_IMAGES = 2 * (generative.NUM_NEIGHBOURS + 1)
MIN_SYNTHETIC_IMAGES = generative.NUM_NEIGHBOURS + 1
MAX_REALISM_IMAGES = 2000  # real images that realism is measured by, so that it takes seconds
MAX_SAMPLE = 1000  # Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4

_KERNEL_DRAWS, _OTHER_DRAWS = 100, 10
_SHEET_IMAGES, _SHEET_COLUMNS = 48, 4
_RED = np.array([214, 39, 40], np.uint8)


@dataclasses.dataclass(frozen=True)
class SynthesisReport:
    """What was measured.

    Attributes:
        settings: counts, features, seed and the like.
        metrics: by name, then by column: mean `value` and `deviation` over draws, or `value` and bounds `low` and
            `high` of a 95 % interval. KID is the first.
        num_images: by name of a metric, how many images it rests on: `draws` of `real` and `synthetic` images each.
        realism: by name of the features, the realism score of each synthetic image, float64 (num_synthetic,).
        copies: the nearest training image of each synthetic one.
        warnings: what to mind about these numbers, in sentences.
    """

    settings: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    num_images: Mapping[str, Mapping[str, int]]
    realism: Mapping[str, np.ndarray]
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
        extractors: of the features, at least one. The distances are measured with each, and copies looked for with the
            first.
        seed: of draws, noise and bootstrap.
        cache_folder: where features of the real images are kept for the next time; None to keep none.
        warnings: what to mind about the numbers, for the report.

    Raises:
        UserError: if there are too few images, their shapes differ, or features are not finite.
    """
    check_images(real_images, synthetic_images)
    if len(real_images) < MIN_REAL_IMAGES or len(synthetic_images) < MIN_SYNTHETIC_IMAGES:
        raise UserError(
            f"{len(real_images)} real and {len(synthetic_images)} synthetic images are too few to measure: give at "
            f"least {MIN_REAL_IMAGES} real and {MIN_SYNTHETIC_IMAGES} synthetic ones"
        )
    sample_size = min(len(real_images) // 2, len(synthetic_images), MAX_SAMPLE)
    noise_shape = (sample_size, *real_images.shape[1:])
    noise = np.random.default_rng(seed).integers(0, 256, noise_shape, dtype=np.uint8)
    metrics, num_images, realism, features = {}, {}, {}, []
    for extractor in extractors:
        # Checked here, where an image's number is still that of its set and not of a draw.
        real = checked_features(cached_features(real_images, extractor, cache_folder), "real")
        synthetic = checked_features(extractor(synthetic_images), "synthetic")
        draws = _Draws(real, synthetic, extractor(noise), sample_size, seed)
        kernel = draws.kernel_distance(f"kid-{extractor.name}-n{min(len(real_images), len(synthetic_images))}")
        others = draws.other_metrics(extractor.frechet_name, f"{extractor.name}-n{sample_size}")
        metrics |= kernel | others
        num_images |= {name: _counts(sample_size, sample_size, _KERNEL_DRAWS) for name in kernel}
        num_images |= {name: _counts(sample_size, sample_size, _OTHER_DRAWS) for name in others}
        realism[extractor.name] = generative.realism_scores(_some(real, seed), synthetic)
        features.append((real, synthetic))
    boards = _checkerboards(real_images, synthetic_images, seed)
    num_images |= {name: _counts(len(real_images), len(synthetic_images), 1) for name in boards}
    settings = {
        "num_real": len(real_images),
        "num_synthetic": len(synthetic_images),
        "image_shape": list(real_images.shape[1:]),
        "features": {extractor.name: extractor.fingerprint for extractor in extractors},
        "sample_size": sample_size,
        "num_neighbours": generative.NUM_NEIGHBOURS,
        "num_real_of_realism": min(len(real_images), MAX_REALISM_IMAGES),
        "seed": seed,
    }
    copies = find_copies(real_images, synthetic_images, *features[0])
    return SynthesisReport(settings, metrics | boards, num_images, realism, copies, warnings)


def _counts(num_real: int, num_synthetic: int, num_draws: int) -> dict[str, int]:
    return {"draws": num_draws, "real": num_real, "synthetic": num_synthetic}


def _some(features: np.ndarray, seed: int) -> np.ndarray:
    """Returns the features of up to MAX_REALISM_IMAGES images, drawn at random."""
    if len(features) <= MAX_REALISM_IMAGES:
        return features
    return features[np.random.default_rng(seed).choice(len(features), MAX_REALISM_IMAGES, replace=False)]


def cached_features(images: np.ndarray, extractor: FeatureExtractor, folder: Path | None) -> np.ndarray:
    """Features of images, float32 (num_images, d), from `folder` if those of the same pixels and weights are there.

    Args:
        images: uint8 (num_images, height, width, channels).
        extractor: of the features.
        folder: made if absent; None to extract without keeping.
    """
    if folder is None:
        return extractor(images)
    digest = hashlib.sha256(f"{extractor.name} {extractor.fingerprint} {images.shape}".encode())
    digest.update(np.ascontiguousarray(images))
    name = f"{extractor.name}-{digest.hexdigest()[:32]}"
    return ArrayCache(folder).read_or_compute(name, lambda: extractor(images))


def report_table(report: SynthesisReport) -> str:
    """The metrics as a table to read, and what was found of copies."""
    rows = [("metric", "synthetic", "floor (real images)", "ceiling (noise; repeated pixels)", "images")]
    for name, columns in report.metrics.items():
        rows.append(
            (name, *(_cell(columns[column]) for column in REPORT_COLUMNS), _shown_counts(report.num_images[name]))
        )
    notes = [
        f"realism by {name}: median {summary['median']:.3g}, at least 1 for {summary['share_at_least_1']:.0%}"
        for name, summary in _realism_summaries(report).items()
    ]
    notes += [f"mind: {warning}" for warning in report.warnings]
    num_synthetic, num_suspected = report.settings["num_synthetic"], int(report.copies.is_suspected.sum())
    copies = report.copies
    planted = [("kind of copy", f"found, of {copies.num_planted} planted")]
    planted += [(kind, f"{rate:.0%}") for kind, rate in copies.planted_rates.items()]
    return (
        f"{plain_table(rows)}\n"
        + "".join(f"{note}\n" for note in notes)
        + f"suspected copies of training images: {num_suspected} of {num_synthetic} "
        f"({2 * FALSE_ALARM_RATE * num_synthetic:.2g} expected by chance)\n"
        f"which copies the search by pixels finds among these training images:\n{plain_table(planted)}"
    )


def report_json(report: SynthesisReport, real_ids: np.ndarray, synthetic_ids: np.ndarray) -> dict[str, Any]:
    """The report as JSON can hold it; NaN becomes None.

    Args:
        report: of the images.
        real_ids: str (num_real,).
        synthetic_ids: str (num_synthetic,).
    """
    metrics = {
        name: {
            column: {key: float(value) if np.isfinite(value) else None for key, value in values.items()}
            for column, values in columns.items()
        }
        for name, columns in report.metrics.items()
    }
    copies = report.copies
    spaces = {"features": copies.features, "pixels": copies.pixels}
    return {
        "settings": dict(report.settings),
        "metrics": metrics,
        "num_images": {name: dict(counts) for name, counts in report.num_images.items()},
        "realism": _realism_summaries(report),
        "warnings": list(report.warnings),
        "copies": {
            "num_suspected": int(copies.is_suspected.sum()),
            "num_expected_by_chance": 2 * FALSE_ALARM_RATE * len(synthetic_ids),
            "num_planted": copies.num_planted,
            "planted_rates": dict(copies.planted_rates),
            **{name: _space_json(space) for name, space in spaces.items()},
            "suspected": [
                {
                    "synthetic": str(synthetic_ids[index]),
                    **{name: _pair_json(space, index, real_ids) for name, space in spaces.items()},
                }
                for index in _nearest_first(copies)
                if copies.is_suspected[index]
            ],
        },
    }


def write_synthesis_report(
    report: SynthesisReport,
    directory: Path,
    real_images: np.ndarray,
    synthetic_images: np.ndarray,
    real_ids: np.ndarray,
    synthetic_ids: np.ndarray,
) -> None:
    """Writes synthesis.json, nearest_training.png, and realism.csv and realism.png, which realism.py describes.

    nearest_training.png shows the synthetic images that are nearest to training images, suspected copies first and in a
    red frame (black if images are grey): each with its nearest training image by features, then by pixels.

    Args:
        report: of the images.
        directory: is made if absent.
        real_images: uint8 (num_real, height, width, channels), as measured.
        synthetic_images: uint8 (num_synthetic, height, width, channels), as measured.
        real_ids: str (num_real,).
        synthetic_ids: str (num_synthetic,).
    """
    names = ("synthesis.json", "nearest_training.png", "realism.csv", "realism.png")
    with own_results(directory, names):
        files.write_json(directory / "synthesis.json", report_json(report, real_ids, synthetic_ids))
        shown = _nearest_first(report.copies)[:_SHEET_IMAGES]
        cells = [_sheet_cell(report.copies, index, real_images, synthetic_images) for index in shown]
        write_realism(directory, report.realism, synthetic_ids, synthetic_images)
        sheet = pictures.tile(np.stack(cells), _SHEET_COLUMNS, gap_pixels=6)
        pictures.save_png(directory / "nearest_training.png", sheet)


class _Draws:
    """Seeded samples of features, and the metrics over them."""

    def __init__(self, real: np.ndarray, synthetic: np.ndarray, noise: np.ndarray, sample_size: int, seed: int) -> None:
        self._real, self._synthetic, self._noise = real, synthetic, noise
        self._sample_size, self._seed = sample_size, seed

    def kernel_distance(self, name: str) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and deviation over many draws."""
        values = {column: [] for column in REPORT_COLUMNS}
        for real, others in self._samples(_KERNEL_DRAWS):
            for column, other in others.items():
                values[column].append(generative.squared_mmd(real, other))
        return {name: {column: _mean_and_deviation(found) for column, found in values.items()}}

    def other_metrics(self, frechet_name: str, suffix: str) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and deviation over some draws, of the metrics that depend on the sample count."""
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


def _realism_summaries(report: SynthesisReport) -> dict[str, dict[str, float]]:
    return {name: realism_summary(scores) for name, scores in report.realism.items()}


def _shown_counts(counts: Mapping[str, int]) -> str:
    shown = f"{counts['real']} real, {counts['synthetic']} synthetic"
    return shown if counts["draws"] == 1 else f"{counts['draws']} x {shown}"


def _cell(values: Mapping[str, float]) -> str:
    if "deviation" in values:
        return f"{values['value']:.4g} ± {values['deviation']:.2g}"
    return f"{values['value']:+.3f} ({values['low']:+.3f} … {values['high']:+.3f})"


def _nearest_first(copies: Copies) -> np.ndarray:
    """Indices of synthetic images, suspected copies first, then by rising relative distance."""
    return np.lexsort((copies.relative_distances, ~copies.is_suspected))


def _space_json(space: NearestTraining) -> dict[str, float]:
    low, middle = space.real_quantiles
    return {
        "threshold": space.threshold,
        "real_quantile_0.01": low,
        "real_quantile_0.5": middle,
        "num_suspected": int(space.is_suspected.sum()),
        "num_left_out_real": space.num_left_out,
        "num_suspected_real": space.num_suspected_real,
    }


def _pair_json(space: NearestTraining, index: int, real_ids: np.ndarray) -> dict[str, Any]:
    relative_distance = float(space.relative_distances[index])
    return {
        "training": str(real_ids[space.indices[index]]),
        "distance": float(space.distances[index]),
        "relative_distance": relative_distance if np.isfinite(relative_distance) else None,
        "is_suspected": bool(space.is_suspected[index]),
    }


def _sheet_cell(copies: Copies, index: int, real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """uint8 (height + 6, 3 * width + 10, channels): a synthetic image and its neighbours, framed if it is suspected."""
    neighbours = [real[space.indices[index]] for space in (copies.features, copies.pixels)]
    row = pictures.tile(np.stack([synthetic[index], *neighbours]), num_columns=3)
    height, width, channels = row.shape
    colour = np.full(channels, 255, np.uint8)
    if copies.is_suspected[index]:
        colour = _RED if channels == 3 else np.zeros(1, np.uint8)
    cell = np.broadcast_to(colour, (height + 6, width + 6, channels)).copy()
    cell[3:-3, 3:-3] = row
    return cell
