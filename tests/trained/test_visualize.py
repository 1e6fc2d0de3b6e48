"""The latents that each picture of --visualize shows, and their order."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.models.modes import ModeOfLatent
from histogan_tf.trained import visualize
from histogan_tf.trained.directions import Direction

NUM_IMAGES, Z_DIM = 20, 3
WALK = np.arange(NUM_IMAGES) / NUM_IMAGES


class Recorder:
    """A sampler that keeps the latents it is given; the grey level of an image is that of the latent's first number."""

    def __init__(self) -> None:
        self.latents: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []

    def numbered_labels(self, first: int, num_images: int, label: int | None) -> np.ndarray:
        return np.full(num_images, label) if label is not None else np.arange(first, first + num_images) % 2

    def images(self, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
        self.latents.append(latents)
        self.labels.append(labels)
        levels = np.rint(255 * np.clip(latents[:, 0], 0, 1)).astype(np.uint8)
        return np.repeat(levels, 16).reshape(-1, 4, 4, 1)


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Draws a picture into the test's folder, and returns the latents of each call of the sampler."""

    def visualized(picture: str, z_dist: str = "uniform_signed", layers: tuple = ()) -> list[np.ndarray]:
        run_config = command_line.parse(["main.py", "--model=dcgan1", f"--z_dim={Z_DIM}", f"--z_dist={z_dist}"])
        network = types.SimpleNamespace(layers=layers)
        source = types.SimpleNamespace(
            config=run_config, network=network, class_names=("non-idc", "idc"), directory=tmp_path
        )
        recorder = Recorder()
        monkeypatch.setattr(visualize, "load_networks", lambda config, kind: [source])
        monkeypatch.setattr(visualize, "sampler_of", lambda source: recorder)
        flags = [f"--visualize={picture}", f"--num_images={NUM_IMAGES}", f"--output_dir={tmp_path}"]
        visualize.visualize_latents(command_line.parse(["main.py", "--mode=visualize", *flags]))
        visualized.labels = recorder.labels
        return recorder.latents

    return visualized


@pytest.mark.parametrize(
    ("z_dist", "lowest", "highest"),
    [("uniform_signed", -0.5, 0.5), ("uniform_unsigned", 0.0, 0.5), ("normal01", -2.0, 2.0)],
)
def test_a_grid_is_of_random_latents_halved(draw, z_dist, lowest, highest):
    (latents,) = draw("grid", z_dist)
    assert latents.shape == (NUM_IMAGES, Z_DIM) and latents.dtype == np.float32
    spread = {"uniform_signed": 1 / 3, "uniform_unsigned": 1 / 12, "normal01": 1.0}[z_dist] ** 0.5
    assert latents.std() == pytest.approx(0.5 * spread, rel=0.25)
    assert lowest <= latents.min() and latents.max() <= highest


def test_in_a_grid_the_number_that_chooses_a_mode_is_not_halved(draw):
    (latents,) = draw("grid", "normal01", (ModeOfLatent(2, 0, "normal01"),))
    (halved,) = draw("grid", "normal01")
    np.testing.assert_array_equal(latents[:, 0], 2 * halved[:, 0])
    np.testing.assert_array_equal(latents[:, 1:], halved[:, 1:])


def test_a_sheet_for_each_dimension_walks_it_while_the_others_are_random(draw):
    sheets = draw("walk_sheets")
    assert len(sheets) == Z_DIM
    for dimension, latents in enumerate(sheets):
        np.testing.assert_allclose(latents[:, dimension], WALK, rtol=1e-6)
        assert (np.delete(latents, dimension, axis=1).std(axis=0) > 0.3).all()


@pytest.mark.parametrize("picture", ["walk_gifs", "walk_gif_merged"])
def test_an_animation_for_each_dimension_walks_it_while_the_others_are_0(draw, picture):
    walks = draw(picture)
    assert len(walks) == Z_DIM
    for dimension, latents in enumerate(walks):
        np.testing.assert_allclose(latents[:, dimension], WALK, rtol=1e-6)
        assert not np.delete(latents, dimension, axis=1).any()


def test_random_walks_start_from_a_point_near_the_origin(draw, tmp_path):
    walks = draw("walk_gifs_random")
    dimensions = [int(path.stem.rpartition("_")[2]) for path in sorted(tmp_path.glob("walk_random_*.gif"))]
    assert len(walks) == len(dimensions) >= 1
    for dimension, latents in zip(dimensions, walks, strict=True):
        np.testing.assert_allclose(latents[:, dimension], WALK, rtol=1e-6)
        others = np.delete(latents, dimension, axis=1)
        assert (others == others[0]).all()
        assert (np.abs(others) > 0).all() and (np.abs(others) <= 0.2).all()


def test_merged_walks_go_there_and_back(draw, tmp_path):
    draw("walk_gif_merged")
    levels, milliseconds = [], 0
    with Image.open(tmp_path / "walk_merged.gif") as animation:
        for frame in range(animation.n_frames):
            animation.seek(frame)
            levels.append(animation.convert("L").getpixel((0, 0)))
            milliseconds += animation.info["duration"]
    there = np.rint(255 * WALK).astype(int).tolist()
    assert levels == there + there[-2::-1]  # the two equal frames in the middle are stored as one
    assert milliseconds == pytest.approx(8000, rel=0.05)


def test_directions_have_a_row_each_of_patches_at_five_places(draw, monkeypatch):
    vectors = np.eye(Z_DIM, dtype=np.float32)[:2]
    found = [
        Direction(f"direction {number}", vector, -4.0, 4.0, {}, "normal01") for number, vector in enumerate(vectors)
    ]
    monkeypatch.setattr(visualize, "find_directions", lambda source: found)
    rows = draw("directions", "normal01")
    assert len(rows) == 2
    for number, latents in enumerate(rows):
        assert len(latents) == 10  # of the 20 images of --num_images, each row has two patches at five places
        np.testing.assert_allclose(latents[:, number], [-4, -2, 0, 2, 4] * 2, atol=1e-6)
        others = np.delete(latents, number, axis=1).reshape(2, 5, -1)
        assert (others == others[:, :1]).all()
        assert (others[0, 0] != others[1, 0]).all()


def test_a_generator_without_directions_says_so(draw, monkeypatch):
    monkeypatch.setattr(visualize, "find_directions", lambda source: [])
    with pytest.raises(UserError, match="are the same wherever z is, .*: choose another --run or --checkpoint"):
        draw("directions", "normal01")


def test_interpolation_is_straight_for_uniform_latents_and_an_arc_for_normal_ones(draw):
    for z_dist in ("uniform_signed", "normal01"):
        (latents,) = draw("interpolation", z_dist)
        rows = latents.reshape(2, 10, Z_DIM).astype(np.float64)
        begin, end, third = rows[:, 0], rows[:, 9], rows[:, 3]
        if z_dist == "uniform_signed":
            np.testing.assert_allclose(third, (2 * begin + end) / 3, rtol=1e-5)
            continue
        cosines = np.sum(begin * end, axis=1) / (np.linalg.norm(begin, axis=1) * np.linalg.norm(end, axis=1))
        angles = np.arccos(cosines)[:, None]
        arc = (np.sin(2 * angles / 3) * begin + np.sin(angles / 3) * end) / np.sin(angles)
        np.testing.assert_allclose(third, arc, rtol=1e-5)


def test_a_row_of_an_interpolation_keeps_its_label_and_its_mode(draw):
    (latents,) = draw("interpolation", "normal01", (ModeOfLatent(2, 0, "normal01"),))
    (labels,) = draw.labels
    assert labels.reshape(2, 10).tolist() == [[0] * 10, [1] * 10]
    rows = latents.reshape(2, 10, Z_DIM)
    assert (rows[:, :, 0] == rows[:, :1, 0]).all() and rows[0, 0, 0] != rows[1, 0, 0]
    assert (rows[:, 0, 1:] != rows[:, 9, 1:]).all()


@pytest.mark.parametrize("picture", ["walk_gifs", "walk_gifs_random", "walk_gif_merged"])
def test_the_frames_of_an_animation_are_of_one_label(draw, picture):
    draw(picture)
    assert len(draw.labels) >= 1
    assert not np.concatenate(draw.labels).any()  # all are of the first label; they would flicker between two
