"""--mode=evaluate for synthetic images: its numbers are the metrics of the run's or the folder's images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from histogan_tf.cli import command_line, commands, entry
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.metrics.generative import frechet_distance, squared_mmd
from histogan_tf.models import feature_extractors
from histogan_tf.models.feature_extractors import FeatureExtractor, FeatureNetwork, feature_extractor, random_extractor
from histogan_tf.models.resnet import build_classifier
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.synthesis import evaluation
from histogan_tf.synthesis.evaluation import _of_label
from histogan_tf.training.dcgan_step import dcgan_generator
from histogan_tf.training.generator_trainer import sampled_state
from histogan_tf.training.sampling import Sampler

NUM_REAL = 24
DATA = ("--phantom_images=48", "--output_height=16", f"--train_size={NUM_REAL}")
NETWORK = ("--model=dcgan1", "--gf_dim=4", "--df_dim=4", "--gfc_dim=8", "--dfc_dim=8", "--z_dim=5", "--batch_size=4")


def parse(*flags: str) -> Config:
    return command_line.parse(["main.py", *flags])


def evaluate(*flags: str) -> None:
    commands.run_command(parse("--mode=evaluate", *flags))


def read(directory: Path) -> dict:
    return json.loads((directory / "synthesis.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Configs of two runs of two steps on 24 phantom patches, one of them conditional."""
    root = tmp_path_factory.mktemp("runs")
    configs = {
        name: parse(f"--checkpoint_dir={root}", f"--run={name}", "--max_steps=2", *NETWORK, *DATA, *flags)
        for name, flags in {"plain": (), "conditional": ("--conditional",)}.items()
    }
    for config in configs.values():
        commands.run_command(config)
    return configs


@pytest.fixture(scope="module")
def real() -> ImageSet:
    return load_dataset(parse(*DATA))


def samples(config: Config, num_images: int, label: int | np.ndarray | None = None) -> np.ndarray:
    """What --mode=generate would make."""
    num_classes = 2 if config.conditional else 0
    generator = dcgan_generator(config, (16, 16, 3), num_classes)
    checkpoints = Checkpoints(Path(config.checkpoint_dir) / config.run / "ckpt", sampled_state(config, generator))
    assert checkpoints.restore(partial=True) == 2
    sampler = Sampler(generator, config, num_classes)
    return sampler.numbered(0, num_images, config.seed, Purpose.GENERATED_LATENTS, label)


def check_numbers(found: dict, real_images, synthetic_images, extract, seed: int = 42) -> None:
    """Kernel and Fréchet distance, and floor and ceiling, from the features themselves."""
    size = min(len(real_images) // 2, len(synthetic_images))
    noise = np.random.default_rng(seed).integers(0, 256, (size, *real_images.shape[1:]), dtype=np.uint8)
    real, synthetic, noise = extract(real_images), extract(synthetic_images), extract(noise)
    values = []
    for draw in range(100):
        rng = np.random.default_rng([seed, draw])
        order = rng.permutation(len(real))
        of_synthetic = synthetic[rng.choice(len(synthetic), size, replace=False)]
        columns = (of_synthetic, real[order[size : 2 * size]], noise)
        values.append([(squared_mmd(real[order[:size]], c), frechet_distance(real[order[:size]], c)) for c in columns])
    expected = np.array(values)
    kid, frechet = (found["metrics"][name] for name in list(found["metrics"])[:2])
    for number, column in enumerate(("synthetic", "floor", "ceiling")):
        assert kid[column]["value"] == pytest.approx(expected[:, number, 0].mean(), rel=1e-3, abs=1e-6)
        assert kid[column]["deviation"] == pytest.approx(expected[:, number, 0].std(ddof=1), rel=1e-3, abs=1e-6)
        assert frechet[column]["value"] == pytest.approx(expected[:10, number, 1].mean(), rel=1e-3, abs=1e-6)


def test_a_run_is_measured_against_what_it_was_trained_on(trained, real, caplog):
    config = trained["plain"]
    run = Path(config.checkpoint_dir) / "plain"
    evaluate(f"--checkpoint_dir={config.checkpoint_dir}", "--run=plain")
    found = read(run / "evaluation")
    assert list(found["metrics"])[:2] == ["kid-random-n24", "frechet-random-n12"]
    assert {name: found["settings"][name] for name in ("num_real", "num_synthetic", "seed", "image_shape")} == {
        "num_real": 24,
        "num_synthetic": 24,
        "seed": 42,
        "image_shape": [16, 16, 3],
    }
    check_numbers(found, real.images, samples(config, 24), random_extractor())
    assert "kid-random-n24" in caplog.text and f"see {run / 'evaluation'}" in caplog.text
    assert (run / "evaluation" / "nearest_training.png").is_file()
    (cached,) = (run / "features").iterdir()
    np.testing.assert_array_equal(np.load(cached), random_extractor()(real.images))


def test_a_set_larger_than_memory_is_measured_by_a_sample(tmp_path, write_images, monkeypatch, caplog):
    write_images(tmp_path / "real", 30, 16, 16)
    synthetic = write_images(tmp_path / "synthetic" / "images", 8, 16, 16, seed=1)
    monkeypatch.setattr(evaluation, "_MAX_GENERATED", 20)
    flags = ["--dataset=mine", f"--data_path={tmp_path / 'real'}", f"--synthetic_dir={tmp_path / 'synthetic'}"]
    evaluate(*flags, "--memory_budget_gb=0", "--features=random", f"--output_dir={tmp_path / 'out'}")
    found = read(tmp_path / "out")
    assert found["settings"]["num_real"] == 20 and found["settings"]["num_synthetic"] == 8
    assert "measured against 20 of its 30 images, drawn by --seed=42" in caplog.text
    lazy = load_dataset(parse(*flags[:2], "--memory_budget_gb=0"))
    check_numbers(found, lazy.sample_in_memory(20, 42).images, synthetic, random_extractor())


def test_number_seed_and_place_are_the_users_choice(trained, real, tmp_path):
    config = trained["plain"]
    flags = ["--num_images=9", "--seed=7", f"--output_dir={tmp_path / 'out'}"]
    evaluate(f"--checkpoint_dir={config.checkpoint_dir}", "--run=plain", *flags)
    found = read(tmp_path / "out")
    assert list(found["metrics"])[:2] == ["kid-random-n9", "frechet-random-n9"]
    numbered = samples(Config.from_json(config.to_json() | {"seed": 7}), 9)
    check_numbers(found, real.images, numbered, random_extractor(), seed=7)


def test_a_label_of_a_conditional_run_is_measured_against_that_label(trained, real, tmp_path):
    config = trained["conditional"]
    flags = ["--label=idc", f"--output_dir={tmp_path}"]
    evaluate(f"--checkpoint_dir={config.checkpoint_dir}", "--run=conditional", *flags)
    of_label = real.images[real.labels == 1]
    assert 12 <= len(of_label) < NUM_REAL
    found = read(tmp_path)
    assert found["settings"]["num_real"] == found["settings"]["num_synthetic"] == len(of_label)
    check_numbers(found, of_label, samples(config, len(of_label), label=1), random_extractor())


def test_without_a_label_a_conditional_run_makes_labels_in_the_proportions_of_the_real_ones(trained, real, tmp_path):
    config = trained["conditional"]
    evaluate(f"--checkpoint_dir={config.checkpoint_dir}", "--run=conditional", f"--output_dir={tmp_path}")
    check_numbers(read(tmp_path), real.images, samples(config, NUM_REAL, label=real.labels), random_extractor())


@pytest.mark.parametrize(
    ("class_names", "expected"),
    [
        (("non-idc", "idc"), [0, 0, 0, 1]),
        (("idc", "non-idc"), [1, 1, 1, 0]),  # numbered otherwise than the generator's
        (("benign", "malignant"), None),
    ],
)
def test_labels_are_those_of_the_generator_in_the_proportions_of_real_images(class_names, expected):
    generator = SimpleNamespace(num_classes=2, class_names=("non-idc", "idc"))
    labels = np.int32([0] * 6 + [1] * 2)
    real = ImageSet(np.zeros((8, 4, 4, 3), np.uint8), labels, np.arange(8).astype(str), None, "set", class_names)
    found = evaluation._labels_in_proportion(real, generator, 4)
    assert found is None if expected is None else found.tolist() == expected
    assert evaluation._labels_in_proportion(real, SimpleNamespace(num_classes=0), 4) is None
    unlabelled = dataclasses.replace(real, labels=None, class_names=())
    assert evaluation._labels_in_proportion(unlabelled, generator, 4) is None


def write_synthetic(folder: Path, **arrays: np.ndarray) -> str:
    """A folder with LABEL.npz each, and the flag that names it."""
    folder.mkdir(exist_ok=True)
    for name, images in arrays.items():
        np.savez(folder / f"{name.removeprefix('of_')}.npz", images=images)
    return f"--synthetic_dir={folder}"


def noise_images(num_images: int, *shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_images, *(shape or (16, 16, 3))), dtype=np.uint8)


def test_a_folder_is_measured_and_its_copies_are_named(real, tmp_path):
    of_0, of_1 = noise_images(8), noise_images(7, seed=6)
    of_1[3] = np.rot90(real.images[10])
    evaluate(*DATA, write_synthetic(tmp_path / "synthetic", of_0=of_0, of_1=of_1))
    found = read(tmp_path / "synthetic" / "evaluation")
    check_numbers(found, real.images, np.concatenate([of_0, of_1]), random_extractor())
    (pair,) = found["copies"]["suspected"]
    assert (pair["synthetic"], pair["pixels"]["training"]) == ("synthetic/1.npz/3", str(real.ids[10]))
    # Again: the report in the folder is not taken for an image of it.
    evaluate(*DATA, f"--synthetic_dir={tmp_path / 'synthetic'}")
    assert read(tmp_path / "synthetic" / "evaluation") == found


def test_a_label_of_a_folder_is_measured_against_that_label(tmp_path):
    of_0, of_1 = noise_images(8), noise_images(7, seed=6)
    synthetic = write_synthetic(tmp_path / "synthetic", of_0=of_0, of_1=of_1)
    evaluate(*DATA, synthetic, "--label=non-idc")
    found = read(tmp_path / "synthetic" / "evaluation")
    of_label = load_dataset(parse(*DATA, "--label=non-idc"))
    assert set(of_label.labels) == {0}
    assert (found["settings"]["num_real"], found["settings"]["num_synthetic"]) == (len(of_label), 8)
    check_numbers(found, of_label.images, of_0, random_extractor())


def test_features_of_resnet18(real, tmp_path):
    flags = ["--features=resnet18", "--weights=random", "--classifier_size=32"]
    images = noise_images(9)
    evaluate(*DATA, *flags, write_synthetic(tmp_path / "synthetic", of_1=images))
    found = read(tmp_path / "synthetic" / "evaluation")
    names = ["kid-resnet18-untrained-bilinear32-n9", "frechet-resnet18-untrained-bilinear32-n9"]
    assert list(found["metrics"])[:2] == names
    seed = weight_seeds(42, Purpose.CLASSIFIER_WEIGHTS, 1)[0]
    network = build_classifier((16, 16, 3), size=32, weights="random", seed=seed).features
    check_numbers(found, real.images, images, lambda batch: network(batch, training=False).numpy())


def test_grey_images_go_through_resnet18_as_rgb():
    extract = feature_extractor(parse("--features=resnet18", "--weights=random", "--classifier_size=32"), (16, 16, 1))
    grey = noise_images(3, 16, 16, 1)
    np.testing.assert_array_equal(extract(grey), extract(np.repeat(grey, 3, axis=-1)))


def error_of(monkeypatch, capsys, *flags: str) -> str:
    """The one line with which the program stops."""
    monkeypatch.setattr(entry, "log_to_console", lambda: None)
    with pytest.raises(SystemExit) as stop:
        entry.main(["main.py", "--mode=evaluate", *flags])
    stderr = capsys.readouterr().err
    assert stop.value.code == 2
    assert stderr.startswith("error: ") and stderr.count("\n") == 1
    return stderr


@pytest.mark.parametrize(
    ("arrays", "flags", "words"),
    [
        ({"of_0": noise_images(5)}, [], "24 real and 5 synthetic images are too few to measure: give at least 12 real"),
        ({"of_0": noise_images(9)}, ["--train_size=11"], "11 real and 9 synthetic images are too few"),
        ({"of_0": noise_images(9, 16, 18, 3)}, [], "real images are 16x16 RGB and synthetic ones 16x18 RGB"),
        ({"of_1": noise_images(9, 16, 16, 1)}, [], "real images are 16x16 RGB and synthetic ones 16x16 grey"),
        ({"of_0": noise_images(9), "of_1": noise_images(9, 8, 8, 3)}, [], "images differ in shape"),
        ({"of_0": noise_images(9)}, ["--label=idc"], "there are no synthetic images"),
        ({"of_0": np.full((9, 16, 16, 3), np.nan, np.float32)}, [], "float32 (9, 16, 16, 3), 6912 of them NaN"),
        ({"of_0": noise_images(0)}, [], "holds no images"),
        ({}, [], "holds no images"),
    ],
)
def test_folders_that_cannot_be_measured(monkeypatch, capsys, tmp_path, arrays, flags, words):
    synthetic = write_synthetic(tmp_path / "synthetic", **arrays)
    assert words in error_of(monkeypatch, capsys, *DATA, synthetic, *flags)
    assert not (tmp_path / "synthetic" / "evaluation" / "synthesis.json").exists()


def test_a_folder_that_is_not_there(monkeypatch, capsys, tmp_path):
    assert "there is no such folder" in error_of(monkeypatch, capsys, *DATA, f"--synthetic_dir={tmp_path / 'none'}")
    assert not (tmp_path / "none").exists()


def test_features_that_are_not_finite(monkeypatch, capsys, tmp_path):
    def broken(config, image_shape) -> FeatureExtractor:
        return FeatureExtractor("random", "0", lambda images: np.where(images[:, 0, 0] > 250, np.nan, 1.0))

    monkeypatch.setitem(feature_extractors.FEATURE_NETWORKS, "random", FeatureNetwork("broken", broken))
    images = np.zeros((9, 16, 16, 3), np.uint8)
    images[4:6] = 255
    error = error_of(monkeypatch, capsys, *DATA, write_synthetic(tmp_path / "synthetic", of_0=images))
    assert "the synthetic features of 2 of 9 images are not finite, the first those of image 4" in error


def test_too_few_images_of_a_run(monkeypatch, capsys, trained):
    flags = [f"--checkpoint_dir={trained['plain'].checkpoint_dir}", "--run=plain", "--num_images=5"]
    assert "24 real and 5 synthetic images are too few" in error_of(monkeypatch, capsys, *flags)


def test_images_of_a_run_that_moved_changed_or_went(monkeypatch, capsys, tmp_path, write_images):
    patches = tmp_path / "patches"
    write_images(patches, 12, 16, 16)
    run = [f"--checkpoint_dir={tmp_path}", "--run=mine"]
    commands.run_command(parse(*run, *NETWORK, "--max_steps=1", "--dataset=mine", f"--data_path={patches}"))
    patches.rename(tmp_path / "moved")
    error = error_of(monkeypatch, capsys, *run)
    assert f"no folder {str(patches)!r}" in error and "--data_path" in error
    evaluate(*run, f"--data_path={tmp_path / 'moved'}")
    assert read(tmp_path / "mine" / "evaluation")["settings"]["num_real"] == 12
    write_images(tmp_path / "moved", 12, 16, 16, seed=1)
    error = error_of(monkeypatch, capsys, *run, f"--data_path={tmp_path / 'moved'}")
    assert f"are not those that {tmp_path / 'mine'} was trained on: say with --data_path" in error


def test_inception_without_a_network_stops_before_any_image_is_made(monkeypatch, capsys, trained, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(feature_extractors, "INCEPTION_WEIGHTS_URL", "http://127.0.0.1:9/inception.h5")
    monkeypatch.setattr(Sampler, "numbered", None)
    run = [f"--checkpoint_dir={trained['plain'].checkpoint_dir}", "--run=plain"]
    error = error_of(monkeypatch, capsys, *run, "--features=inception", f"--output_dir={tmp_path / 'out'}")
    for words in (str(tmp_path / "keras" / "models" / "inception.h5"), "127.0.0.1:9", "Connection refused", "random"):
        assert words in error
    assert not (tmp_path / "out").exists()


def test_images_without_labels_are_measured_against_the_label_that_is_named(tmp_path):
    images = noise_images(12)
    np.savez(tmp_path / "images.npz", images=images)
    evaluate(*DATA, f"--synthetic_dir={tmp_path}", "--label=idc")
    of_label = load_dataset(parse(*DATA, "--label=idc")).images
    found = read(tmp_path / "evaluation")
    assert found["settings"]["num_real"] == len(of_label) and found["settings"]["num_synthetic"] == 12
    check_numbers(found, of_label, images, random_extractor())


def test_a_run_is_measured_by_the_classifiers_features_with_weights_of_the_users_choice(trained, real, tmp_path):
    config = trained["plain"]
    flags = ["--features=resnet18", "--weights=random", "--classifier_size=32", f"--output_dir={tmp_path}"]
    evaluate(f"--checkpoint_dir={config.checkpoint_dir}", "--run=plain", *flags)
    chosen = parse("--features=resnet18", "--weights=random", "--classifier_size=32")
    check_numbers(read(tmp_path), real.images, samples(config, 24), feature_extractor(chosen, (16, 16, 3)))


def test_a_label_is_chosen_among_given_patches_by_its_name():
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 4, 4, 3), np.uint8)
    labels, ids = np.array([0, 0, 0, 1], np.int32), np.arange(4).astype(str)
    real = ImageSet(images, labels, ids, None, "real", ("non-idc", "idc"))
    synthetic = ImageSet(images, labels, ids, None, "patches", ("idc", "non-idc"))
    assert _of_label(synthetic, "idc", real).ids.tolist() == ["0", "1", "2"]
    assert _of_label(synthetic, "0", real).ids.tolist() == ["3"]
    other = dataclasses.replace(synthetic, class_names=("idc", "stroma"))
    with pytest.raises(UserError, match="the synthetic images have the classes idc, stroma, and none is 'non-idc'"):
        _of_label(other, "0", real)


def test_two_feature_spaces_where_pretrained_weights_are_at_hand(monkeypatch, tmp_path):
    monkeypatch.setattr(feature_extractors, "are_at_hand", lambda weights, backbone: weights == "imagenet")
    monkeypatch.setattr(feature_extractors, "backbone_extractor", lambda config, image_shape: random_extractor())
    shape = (16, 16, 3)
    assert len(feature_extractors.feature_extractors(parse(), shape)) == 2
    assert len(feature_extractors.feature_extractors(parse("--features=random"), shape)) == 1
    assert len(feature_extractors.feature_extractors(parse("--weights=random"), shape)) == 1


def test_distances_of_the_network_that_a_generator_was_trained_against_carry_a_warning():
    resnet, untrained, lite, random = (
        FeatureExtractor(name, "0", lambda images: images)
        for name in ("resnet18-bilinear224", "resnet18-untrained-bilinear32", "efficientnet_lite0-bicubic112", "random")
    )

    def warnings_of(*flags):
        source = SimpleNamespace(config=parse("--run=mine", *flags))
        return evaluation._warnings(source, [resnet, untrained, lite, random])

    (warning,) = warnings_of("--model=projected", "--weights=some/folder")
    assert warning.startswith("mine was trained against the features of resnet18,") and resnet.name in warning
    (warning,) = warnings_of("--model=projected", "--weights=random")
    assert untrained.name in warning
    (warning,) = warnings_of("--model=projected", "--weights=some/folder", "--backbone=efficientnet_lite0")
    assert warning.startswith("mine was trained against the features of efficientnet_lite0,") and lite.name in warning
    assert warnings_of("--model=projected", "--weights=some/folder", "--backbone=tf_efficientnet_lite0") == ()
    assert warnings_of("--model=dcgan1") == ()


def test_images_of_the_run_that_a_run_started_from_count_as_seen(real):
    record = {"patients": ["a", "b"], "initialized_from": {"patients": ["b", "c"]}}
    source = SimpleNamespace(config=parse("--run=mine"), record=record)
    found = evaluation._seen(parse("--run=mine"), source, real, None)
    assert found["seen_patients"] == ["b", "c"] and found["seen_ids"] is real.ids
    found = evaluation._seen(parse("--mode=evaluate", "--run=pretrained:idc"), source, real, None)
    assert found == {"seen_patients": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model=dcgan1"], "resnet18-bilinear224"),
        (["--model=projected", "--weights=some/folder"], "random"),
        (["--model=projected", "--weights=random"], "resnet18-bilinear224"),
    ],
)
def test_labels_are_told_apart_by_pretrained_features_that_the_generator_was_not_trained_against(flags, expected):
    extractors = [FeatureExtractor(name, "0", lambda images: images) for name in ("random", "resnet18-bilinear224")]
    source = SimpleNamespace(config=parse("--run=mine", *flags))
    assert evaluation._extractor_of_labels(extractors, source).name == expected
    assert evaluation._extractor_of_labels(extractors).name == "resnet18-bilinear224"
    assert evaluation._extractor_of_labels(extractors[:1], source).name == "random"


def test_files_of_the_user_are_refused_before_anything_is_measured(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "realism.csv").write_text("mine")
    (tmp_path / "patches").mkdir()
    for label in "01":
        np.savez(tmp_path / "patches" / f"{label}.npz", images=np.zeros((4, 16, 16, 3), np.uint8))
    monkeypatch.setattr(evaluation, "measure_synthesis", None)
    with pytest.raises(UserError, match="holds realism.csv, which this program did not write"):
        evaluate(
            f"--synthetic_dir={tmp_path / 'patches'}", f"--output_dir={tmp_path / 'out'}", "--features=random", *DATA
        )
