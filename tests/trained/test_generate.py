"""generate and visualize on runs that were really trained, if only for six steps."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import command_line, commands
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError
from histogan_tf.runs import together
from histogan_tf.trained.generate import chosen_label


@pytest.fixture(scope="module")
def checkpoint_dir(tmp_path_factory) -> Path:
    """Three runs: `plain` on all labels, `idc` on one, `conditional` on both."""
    directory = tmp_path_factory.mktemp("runs")
    tiny = ["--gf_dim=2", "--df_dim=2", "--gfc_dim=4", "--dfc_dim=4", "--z_dim=3", "--batch_size=4"]
    data = [
        "--output_height=16",
        "--train_size=8",
        "--max_steps=6",
        "--learning_rate=0.02",
        "--sample_num=4",
        "--model=dcgan1",
        "--generator_updates=1",
    ]
    for run, flags in [("plain", []), ("idc", ["--label=idc"]), ("conditional", ["--conditional"])]:
        arguments = ["main.py", f"--checkpoint_dir={directory}", f"--run={run}", *tiny, *data, *flags]
        commands.run_command(command_line.parse(arguments))
    return directory


@pytest.fixture
def do(checkpoint_dir: Path, tmp_path: Path):
    def run(mode: str, name: str, *flags: str) -> Path:
        arguments = ["main.py", f"--mode={mode}", f"--checkpoint_dir={checkpoint_dir}", f"--run={name}", *flags]
        output_dir = tmp_path / "out"
        if not any(flag.startswith("--output_dir") for flag in flags):
            arguments.append(f"--output_dir={output_dir}")
        commands.run_command(command_line.parse(arguments))
        return output_dir

    return run


def pixels(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_png_and_npz_hold_the_same_images(do):
    output = do("generate", "plain", "--num_images=5", "--format=both")
    with np.load(output / "images.npz", allow_pickle=False) as archive:
        assert archive.files == ["images"]
        assert (archive["images"].shape, archive["images"].dtype) == ((5, 16, 16, 3), np.uint8)
        np.testing.assert_array_equal(archive["images"], pixels(output / "images"))


def test_the_seed_decides_and_more_images_go_on_where_fewer_ended(do, tmp_path):
    few, many, other = (tmp_path / name for name in ("few", "many", "other"))
    do("generate", "plain", "--num_images=5", f"--output_dir={few}")
    do("generate", "plain", "--num_images=300", f"--output_dir={many}")
    do("generate", "plain", "--num_images=5", "--seed=7", f"--output_dir={other}")
    assert len(list((many / "images").iterdir())) == 300
    np.testing.assert_array_equal(pixels(few / "images"), pixels(many / "images")[:5])
    assert not np.array_equal(pixels(few / "images"), pixels(other / "images"))


def test_one_label_goes_to_the_folder_of_its_number(do):
    output = do("generate", "idc", "--num_images=3", "--format=both")
    assert sorted(path.name for path in output.iterdir()) == ["1", "1.npz", "classes.json"]
    assert json.loads((output / "classes.json").read_text()) == {"class_names": ["non-idc", "idc"]}
    with np.load(output / "1.npz") as archive:
        assert archive["labels"].tolist() == [1, 1, 1]
        assert archive["labels"].dtype == np.int32


def test_a_conditional_run_makes_all_labels_or_the_chosen_one(do, tmp_path):
    output = do("generate", "conditional", "--num_images=5", "--format=both")
    assert sorted(path.name for path in output.iterdir()) == ["0", "1", "classes.json", "images.npz"]
    assert [len(list((output / label).iterdir())) for label in "01"] == [3, 2]
    with np.load(output / "images.npz") as archive:
        assert archive["labels"].tolist() == [0, 1, 0, 1, 0]
    do("generate", "conditional", "--num_images=2", "--label=non-idc", f"--output_dir={tmp_path / 'chosen'}")
    assert sorted(path.name for path in (tmp_path / "chosen").iterdir()) == ["0", "classes.json"]


def test_labels_that_are_numbered_otherwise_do_not_go_into_one_folder(do, tmp_path):
    (tmp_path / "classes.json").write_text('{"class_names": ["idc", "non-idc"]}')
    with pytest.raises(UserError, match=r"images of the classes 0 \(idc\), 1 \(non-idc\), and these are 0 \(non-idc\)"):
        do("generate", "idc", "--num_images=3", f"--output_dir={tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["classes.json"]


def test_nothing_is_overwritten_and_nothing_half_written(do, tmp_path):
    output = do("generate", "plain", "--num_images=2")
    before = pixels(output / "images")
    with pytest.raises(UserError, match="not empty.*--output_dir"):
        do("generate", "plain", "--num_images=3")
    np.testing.assert_array_equal(pixels(output / "images"), before)
    (tmp_path / "file").write_text("x")
    with pytest.raises((UserError, OSError)):
        do("generate", "plain", f"--output_dir={tmp_path / 'file'}")
    assert not list(tmp_path.rglob(".writing-*"))


@pytest.mark.parametrize(
    ("run", "flags", "words"),
    [
        ("plain", ["--label=idc"], "trained on all labels"),
        ("idc", ["--label=non-idc"], "trained on label idc only"),
        ("conditional", ["--label=benign"], "--label=benign"),
        ("none", [], "no run none"),
        ("plain", ["--z_dim=4"], "--z_dim=4"),
    ],
)
def test_requests_that_cannot_be_met_are_told(do, run, flags, words):
    with pytest.raises(UserError, match=words):
        do("generate", run, *flags)


def test_a_run_without_a_checkpoint_is_told(do, checkpoint_dir):
    (checkpoint_dir / "empty").mkdir(exist_ok=True)
    settings = (checkpoint_dir / "plain" / "config.json").read_text()
    (checkpoint_dir / "empty" / "config.json").write_text(settings)
    with pytest.raises(UserError, match="no checkpoint yet"):
        do("generate", "empty")


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("grid", ["grid.png"]),
        ("walk_sheets", ["walk_000.png", "walk_001.png", "walk_002.png"]),
        ("walk_gifs", ["walk_000.gif", "walk_001.gif", "walk_002.gif"]),
        ("walk_gif_merged", ["walk_merged.gif"]),
        ("interpolation", ["interpolation.png"]),
        ("directions", ["directions.png"]),
    ],
)
@pytest.mark.parametrize("run", ["plain", "conditional"])
def test_visualize_draws_what_it_is_asked(do, option, names, run):
    output = do("visualize", run, f"--visualize={option}", "--num_images=20")
    assert sorted(path.name for path in output.glob("[!.]*")) == names
    for name in names:
        with Image.open(output / name) as picture:
            frames = getattr(picture, "n_frames", 1)
            assert picture.size[0] >= 16
    if option == "walk_gif_merged":
        assert frames >= 20  # identical neighbours may be stored as one longer frame
        assert frames <= 40


def test_random_walks_draw_some_dimensions(do):
    output = do("visualize", "plain", "--visualize=walk_gifs_random", "--num_images=6")
    names = {path.name for path in output.glob("[!.]*")}
    assert names
    assert names <= {f"walk_random_{dimension:03d}.gif" for dimension in range(3)}


def test_interpolation_begins_and_ends_at_latents_of_their_own_length():
    from histogan_tf.trained.visualize import _linear, _spherical

    rng = np.random.default_rng(0)
    begin, end = rng.standard_normal((2, 4, 1, 50))
    fraction = np.linspace(0, 1, 5)[None, :, None]
    for mix in (_linear, _spherical):
        path = mix(begin, end, fraction)
        np.testing.assert_allclose(path[:, 0], begin[:, 0])
        np.testing.assert_allclose(path[:, -1], end[:, 0])
    begin, end = (vector / np.linalg.norm(vector, axis=-1, keepdims=True) for vector in (begin, end))
    np.testing.assert_allclose(np.linalg.norm(_spherical(begin, end, fraction), axis=-1), 1.0)


def test_interpolation_is_straight_where_both_latents_lie_on_one_line():
    from histogan_tf.trained.visualize import _spherical

    fraction = np.linspace(0, 1, 3)[None, :, None]
    begin, end = np.array([[[2.0]], [[1.0]]]), np.array([[[4.0]], [[-3.0]]])  # as with --z_dim=1
    path = _spherical(begin, end, fraction)
    np.testing.assert_allclose(path[..., 0], [[2.0, 3.0, 4.0], [1.0, -1.0, -3.0]])
    wide = _spherical(np.full((1, 1, 50), 0.1), np.full((1, 1, 50), -0.3), fraction)
    np.testing.assert_allclose(wide[0, 1], -0.1)


@pytest.mark.parametrize(("label", "number"), [("tumor", 2), ("Tumor", 0), ("STROMA", 1), ("1", 1)])
@pytest.mark.parametrize("is_conditional", [True, False])
def test_generate_takes_the_class_that_training_took(label, number, is_conditional):
    names = ("Tumor", "stroma", "tumor")
    trained_on = SimpleNamespace(label=None if is_conditional else label, conditional=is_conditional)
    source = SimpleNamespace(config=trained_on, class_names=names, directory="run")
    config = command_line.parse(["main.py", "--mode=generate", f"--label={label}"])
    images = np.zeros((3, 16, 16, 3), np.uint8)
    cells = ImageSet(images, np.arange(3, dtype=np.int32), np.arange(3).astype(str), None, "cells", names)
    in_training = load_dataset(command_line.parse(["main.py", "--part=all", f"--label={label}"]), cells)
    assert chosen_label(config, source) == number and in_training.labels.tolist() == [number]
    with pytest.raises(UserError, match="--label=TUMOR"):
        chosen_label(command_line.parse(["main.py", "--mode=generate", "--label=TUMOR"]), source)


def test_the_same_command_goes_on_after_a_kill_between_two_files(do, tmp_path, monkeypatch):
    flags = ["--num_images=3", "--format=both", f"--output_dir={tmp_path}"]
    with monkeypatch.context() as patch:
        patch.setattr(together, "finish_earlier", lambda directory: None)  # killed before the first file's last rename
        do("generate", "conditional", *flags)
    assert not (tmp_path / "0").exists()
    do("generate", "conditional", *flags)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "classes.json", "images.npz"]
    with pytest.raises(UserError, match="not empty"):
        do("generate", "conditional", *flags)
