"""The report's columns against the metrics they are made of, its files, and what it says of copies."""

import json

import numpy as np
import pytest
from PIL import Image

from histogan_tf.errors import UserError
from histogan_tf.metrics import artefacts, generative, memorization
from histogan_tf.models.feature_extractors import FeatureExtractor
from histogan_tf.reporting import pictures
from histogan_tf.synthesis.measure import REPORT_COLUMNS, _two_samples, cached_features, measure_synthesis
from histogan_tf.synthesis.measure_report import report_json, report_table, write_synthesis_report


def images_of(seed, num_images, size=16, channels=3, brightness=170):
    rng = np.random.default_rng(seed)
    colours = rng.normal(brightness, 10, (num_images, 1, 1, channels))
    return np.clip(colours + rng.normal(0, 12, (num_images, size, size, channels)), 0, 255).astype(np.uint8)


def quarters(images):
    """A fake network: mean colours of four quarters, in [0, 1]. Noise is far off, for it is darker than the images."""
    num_images, height, width, channels = images.shape
    cells = images.reshape(num_images, 2, height // 2, 2, width // 2, channels)
    return cells.mean(axis=(2, 4)).reshape(num_images, -1) / 255


def extractor_of(function=quarters, fingerprint="1", **options):
    return FeatureExtractor("quarters", fingerprint, function, **options)


@pytest.fixture(scope="module", autouse=True)
def plant_few():
    """Fewer planted copies, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memorization, "_MAX_PLANTED", 5)
        yield


@pytest.fixture(scope="module")
def real():
    return images_of(1, 60)


@pytest.fixture(scope="module")
def report(real):
    synthetic = images_of(2, 80, brightness=185)
    synthetic[5], synthetic[70] = real[9], np.rot90(real[30])
    return measure_synthesis(real, synthetic, [extractor_of()])


def test_names_carry_features_and_sample_counts_and_kid_leads(report):
    others = [f"{name}-quarters-n30" for name in ("frechet", "precision", "recall", "density", "coverage")]
    boards = [f"checkerboard-{period}px" for period in (2, 4, 8)]
    assert list(report.metrics) == ["kid-quarters-n60", *others, *boards]
    assert all(tuple(columns) == REPORT_COLUMNS for columns in report.metrics.values())
    assert report.settings["sample_size"] == 30


def test_the_frechet_distance_has_the_name_that_belongs_to_its_features(real):
    named = measure_synthesis(real[:12], real[12:18], [extractor_of(frechet_name="fid")]).metrics
    plain = measure_synthesis(real[:12], real[12:18], [extractor_of()]).metrics
    assert list(named)[:2] == ["kid-quarters-n6", "fid-quarters-n6"]
    assert named["fid-quarters-n6"] == plain["frechet-quarters-n6"]
    assert "frechet-quarters-n6" not in named


def test_columns_are_those_of_the_metrics():
    # With twelve real images, six are drawn for each side; the first draw by hand, and the mean of all draws.
    real, synthetic = images_of(3, 12), images_of(4, 6)
    report = measure_synthesis(real, synthetic, [extractor_of()], seed=5)
    real_features, synthetic_features = (np.float32(quarters(images)) for images in (real, synthetic))
    noise = np.random.default_rng(5).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    values = {column: [] for column in REPORT_COLUMNS}
    for draw in range(10):
        rng = np.random.default_rng([5, draw])
        order = rng.permutation(12)
        compared = {
            "synthetic": synthetic_features[rng.choice(6, 6, replace=False)],
            "floor": real_features[order[6:]],
            "ceiling": np.float32(quarters(noise)),
        }
        for column, features in compared.items():
            values[column].append(generative.frechet_distance(real_features[order[:6]], features))
    for column, cell in report.metrics["frechet-quarters-n6"].items():
        assert cell["value"] == pytest.approx(np.mean(values[column]), rel=1e-9)
        assert cell["deviation"] == pytest.approx(np.std(values[column], ddof=1), rel=1e-9)
    score = artefacts.checkerboard_score(real, synthetic, 4, seed=5)
    assert report.metrics["checkerboard-4px"]["synthetic"] == {
        "value": score.score,
        "low": score.low,
        "high": score.high,
    }


def test_kernel_distance_stands_for_all_images(report, real):
    synthetic = images_of(2, 80, brightness=185)
    synthetic[5], synthetic[70] = real[9], np.rot90(real[30])
    cell = report.metrics["kid-quarters-n60"]["synthetic"]
    everything = generative.squared_mmd(quarters(real), quarters(synthetic))
    assert cell["value"] == pytest.approx(everything, abs=3 * cell["deviation"] / np.sqrt(100))


def test_floor_is_better_than_synthetic_is_better_than_ceiling(report):
    for name in ("kid-quarters-n60", "frechet-quarters-n30"):
        synthetic, floor, ceiling = (report.metrics[name][column]["value"] for column in REPORT_COLUMNS)
        assert floor < synthetic < ceiling
    for name in ("precision", "recall", "density", "coverage"):
        synthetic, floor, ceiling = (
            report.metrics[f"{name}-quarters-n30"][column]["value"] for column in REPORT_COLUMNS
        )
        assert floor > synthetic > ceiling
    for period in (2, 4):
        cells = report.metrics[f"checkerboard-{period}px"]
        assert cells["floor"]["value"] < 0.5 < cells["ceiling"]["low"]


def test_a_second_feature_space_is_measured_beside_the_first(real):
    synthetic = images_of(2, 20)
    halves = FeatureExtractor("halves", "3", lambda images: images.reshape(len(images), 2, -1).mean(axis=2))
    alone = measure_synthesis(real, synthetic, [extractor_of()])
    both = measure_synthesis(real, synthetic, [extractor_of(), halves])
    assert list(both.metrics)[6:8] == ["kid-halves-n20", "frechet-halves-n20"]
    assert {name: both.metrics[name] for name in alone.metrics} == alone.metrics
    assert list(both.realism) == ["quarters", "halves"] and both.settings["features"]["halves"] == "3"
    np.testing.assert_array_equal(both.copies.features.distances, alone.copies.features.distances)


def test_each_metric_says_how_many_images_it_rests_on(report):
    assert list(report.num_images) == list(report.metrics)
    assert report.num_images["kid-quarters-n60"] == {"draws": 100, "real": 30, "synthetic": 30}
    assert report.num_images["recall-quarters-n30"] == {"draws": 10, "real": 30, "synthetic": 30}
    assert report.num_images["checkerboard-2px"] == {"draws": 1, "real": 60, "synthetic": 80}
    lines = report_table(report).splitlines()
    assert lines[1].endswith("100 x 30 real, 30 synthetic") and lines[9].endswith("60 real, 80 synthetic")


def test_realism_of_each_image_is_written_and_the_best_and_worst_are_shown(report, real, tmp_path, monkeypatch):
    synthetic = images_of(2, 80, brightness=185)
    synthetic[5], synthetic[70] = real[9], np.rot90(real[30])
    ids = np.arange(80).astype(str)
    sheets = []
    save_rows = pictures.save_rows
    monkeypatch.setattr(pictures, "save_rows", lambda *args: sheets.append(args[1]) or save_rows(*args))
    write_synthesis_report(report, tmp_path, real, synthetic, ids[:60], ids)
    references, others = _two_samples(np.float32(quarters(real)), 42)
    scores = generative.realism_scores(references, quarters(synthetic))
    lines = (tmp_path / "realism.csv").read_text().splitlines()
    assert lines[0] == "image,realism-quarters" and len(lines) == 81
    assert lines[6] == "5,inf"  # a copy
    assert float(lines[1].split(",")[1]) == pytest.approx(scores[0], rel=1e-3)
    found = json.loads((tmp_path / "synthesis.json").read_text(encoding="utf-8"))["realism"]["quarters"]
    assert found["synthetic"]["share_at_least_1"] == np.mean(scores >= 1)
    assert found["synthetic"]["median"] == pytest.approx(np.median(scores), rel=1e-3)
    of_real = generative.realism_scores(references, others)
    assert found["floor"]["share_at_least_1"] == np.mean(of_real >= 1) > found["synthetic"]["share_at_least_1"]
    (sheet,) = sheets
    assert min(Image.open(tmp_path / "realism.png").size) > 36
    assert sheet.shape == (2 * 16 + 2, 10 * 18 - 2, 3)
    np.testing.assert_array_equal(sheet[:16, :16], synthetic[5])
    np.testing.assert_array_equal(sheet[18:, -16:], synthetic[np.argmin(scores)])


def test_warnings_are_in_the_report(real):
    report = measure_synthesis(real, real[:9], [extractor_of()], warnings=("Beware.",))
    assert "mind: Beware." in report_table(report).splitlines()
    ids = np.arange(60).astype(str)
    assert report_json(report, ids, ids[:9])["warnings"] == ["Beware."]


def test_the_same_seed_measures_the_same(real):
    synthetic = images_of(2, 20)
    first, again, other = (measure_synthesis(real, synthetic, [extractor_of()], seed=seed) for seed in (1, 1, 2))
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics


def test_files_name_the_planted_copies(report, real, tmp_path):
    synthetic = images_of(2, 80, brightness=185)
    synthetic[5], synthetic[70] = real[9], np.rot90(real[30])
    real_ids, synthetic_ids = (np.array([f"{kind}/{i}.png" for i in range(80)]) for kind in ("real", "synthetic"))
    write_synthesis_report(report, tmp_path / "out", real, synthetic, real_ids[:60], synthetic_ids)
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        "nearest_training.png",
        "realism.csv",
        "realism.png",
        "synthesis.json",
    ]
    saved = json.loads((tmp_path / "out" / "synthesis.json").read_text(encoding="utf-8"))
    copies = saved["copies"]
    pairs = {pair["synthetic"]: pair["pixels"]["training"] for pair in copies["suspected"]}
    assert pairs == {"synthetic/5.png": "real/9.png", "synthetic/70.png": "real/30.png"}
    assert copies["num_suspected"] == 2
    assert copies["num_expected_by_chance"] == pytest.approx(80 * 2e-4)
    assert copies["suspected"][0]["pixels"]["distance"] == 0
    assert copies["num_planted"] == 5
    assert copies["planted_rates"] == dict(report.copies.planted_rates)
    assert saved["metrics"] == {name: dict(columns) for name, columns in report.metrics.items()}

    sheet = np.array(Image.open(tmp_path / "out" / "nearest_training.png"))
    cell_height, cell_width = 16 + 6, 3 * 16 + 2 * 2 + 6
    height = 12 * (cell_height + 6) - 6
    caption, sheet = sheet[:-height], sheet[-height:]
    assert (caption < 128).any() and sheet.shape == (height, 4 * (cell_width + 6) - 6, 3)
    first, third = sheet[:cell_height, :cell_width], sheet[:cell_height, 2 * (cell_width + 6) :][:, :cell_width]
    np.testing.assert_array_equal(first[0], np.tile([214, 39, 40], (cell_width, 1)))  # framed in red: suspected
    np.testing.assert_array_equal(third[0], np.full((cell_width, 3), 255))  # not suspected
    suspected = {first[3:19, 3:19].tobytes(), sheet[3:19, cell_width + 6 + 3 :][:, :16].tobytes()}
    assert suspected == {synthetic[5].tobytes(), synthetic[70].tobytes()}


def test_table_says_it_in_words(report):
    lines = report_table(report).splitlines()
    assert lines[0].split()[:2] == ["metric", "synthetic"]
    cell = report.metrics["kid-quarters-n60"]["floor"]
    assert f"{cell['value']:.4g} ± {cell['deviation']:.2g}" in lines[1]
    assert "suspected copies of training images: 2 of 80 (0.016 expected by chance)" in lines
    rates = report.copies.planted_rates
    kind, rate = list(rates.items())[-1]
    assert lines[-1].split("  ")[0] == kind and lines[-1].endswith(f" {rate:.0%}")
    assert lines[-1 - len(rates)].endswith("found, of 5 planted")


def test_grey_images_of_another_shape(tmp_path):
    real, synthetic = images_of(1, 14, size=18, channels=1), images_of(2, 9, size=18, channels=1)
    report = measure_synthesis(real, synthetic, [extractor_of()])
    assert "checkerboard-8px" in report.metrics and report.settings["image_shape"] == [18, 18, 1]
    ids = np.arange(14).astype(str)
    write_synthesis_report(report, tmp_path, real, synthetic, ids, ids[:9])
    assert Image.open(tmp_path / "nearest_training.png").mode == "L"
    assert json.dumps(report_json(report, ids, ids[:9]), allow_nan=False)


def test_features_are_cached_by_pixels_and_weights(tmp_path, real):
    calls = []

    def counted(images):
        calls.append(len(images))
        return quarters(images)

    extractor = extractor_of(counted)
    first = cached_features(real, extractor, tmp_path)
    np.testing.assert_array_equal(cached_features(real.copy(), extractor, tmp_path), first)
    assert calls == [60]
    changed = real.copy()
    changed[0, 0, 0, 0] ^= 1
    cached_features(changed, extractor, tmp_path)
    cached_features(real, extractor_of(counted, fingerprint="2"), tmp_path)
    assert calls == [60, 60, 60]
    assert len(list(tmp_path.iterdir())) == 3
    cached_features(real, extractor, None)
    assert calls == [60] * 4


def test_a_broken_cache_file_is_replaced(tmp_path, real, caplog):
    features = cached_features(real, extractor_of(), tmp_path)
    (path,) = tmp_path.iterdir()
    for broken in (b"", path.read_bytes()[:-5], b"\x80\x04not features"):
        path.write_bytes(broken)
        caplog.clear()
        np.testing.assert_array_equal(cached_features(real, extractor_of(), tmp_path), features)
        assert str(path) in caplog.text
        np.testing.assert_array_equal(np.load(path), features)


def test_users_mistakes(real):
    with pytest.raises(UserError, match="at least 12 real and 6 synthetic ones"):
        measure_synthesis(real[:11], real, [extractor_of()])
    with pytest.raises(UserError, match="60 real and 5 synthetic images are too few"):
        measure_synthesis(real, real[:5], [extractor_of()])
    with pytest.raises(UserError, match="no synthetic images"):
        measure_synthesis(real, real[:0], [extractor_of()])
    with pytest.raises(UserError, match="16x16 RGB and synthetic ones 14x16 RGB"):
        measure_synthesis(real, real[:, :14], [extractor_of()])
    with pytest.raises(UserError, match="not finite"):
        measure_synthesis(real, real, [extractor_of(lambda images: np.full((len(images), 3), np.nan))])
