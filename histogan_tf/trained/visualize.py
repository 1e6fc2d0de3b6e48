"""--mode=visualize: pictures of a trained generator's latent space, like those of the original's `visualize`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.config.families import GENERATOR
from histogan_tf.errors import UserError
from histogan_tf.machine.progress import Progress
from histogan_tf.models.modes import ModeOfLatent
from histogan_tf.reporting import pictures
from histogan_tf.runs.own_results import own_results
from histogan_tf.runs.run_directory import output_folder
from histogan_tf.trained.directions import find_directions
from histogan_tf.trained.generate import chosen_label, sampler_of
from histogan_tf.trained.load import TrainedNetwork, load_networks
from histogan_tf.training.sampling import Sampler

logger = logging.getLogger(__name__)

_GIF_SECONDS = 2.0
_MERGED_GIF_SECONDS = 8.0
_MERGED_COLUMNS = 10
_INTERPOLATION_STEPS = 10
_DIRECTION_STEPS = 5
_LEAST_SINE = 1e-6  # of the angle between two latents; below it, an arc between them is not defined, or is a line


def visualize_latents(config: Config) -> None:
    """Draws the picture that --visualize names, of a trained generator's latent space, into --output_dir.

    Raises:
        UserError: if there is no such run, --label is unknown or the run has not learned it, or a file of the same name
            as a picture is there that this program did not write.
    """
    (source,) = load_networks(config, kind=GENERATOR)
    directory = output_folder(config, "visualize")
    artist = _Artist(config, sampler_of(source), source, directory)
    drawings: dict[str, Callable[[], None]] = {
        "grid": artist.grid,
        "walk_sheets": artist.walk_sheets,
        "walk_gifs_random": artist.walk_gifs_random,
        "walk_gifs": artist.walk_gifs,
        "walk_gif_merged": artist.walk_gif_merged,
        "interpolation": artist.interpolation,
        "directions": artist.directions,
    }
    dimensions = range(source.config.z_dim)
    names = {
        "walk_sheets": [f"walk_{dimension:03d}.png" for dimension in dimensions],
        "walk_gifs_random": [f"walk_random_{dimension:03d}.gif" for dimension in dimensions],
        "walk_gifs": [f"walk_{dimension:03d}.gif" for dimension in dimensions],
        "walk_gif_merged": ["walk_merged.gif"],
    }
    with own_results(directory, names.get(config.visualize, [f"{config.visualize}.png"])):
        drawings[config.visualize]()
    logger.info("drew %s in %s", config.visualize, directory)


class _Artist:
    """Draws the pictures, by one method each; --num_images is the number of images in a sheet or of frames in a GIF."""

    def __init__(self, config: Config, sampler: Sampler, source: TrainedNetwork, directory: Path) -> None:
        self._sampler, self._source, self._directory = sampler, source, directory
        self._num_images, self._z_dim = config.num_images, source.config.z_dim
        self._z_dist = source.config.z_dist
        self._num_for_modes = sum(isinstance(layer, ModeOfLatent) for layer in source.network.layers)
        self._label = chosen_label(config, source)
        self._rng = np.random.default_rng(config.seed)
        self._walk = np.arange(self._num_images) / self._num_images

    def grid(self) -> None:
        """Draws a grid of images from latents times 0.5, where images are most typical (the original's option 0).

        The first number of z stays as drawn if it chooses a mode, so that all modes are shown.
        """
        latents = self._draw(self._num_images)
        latents[:, self._num_for_modes :] *= 0.5
        pictures.save_png(self._directory / "grid.png", pictures.tile(self._images(latents)))

    def walk_sheets(self) -> None:
        """Draws a sheet for each dimension of z, which rises from 0 to 1 while the others are random (option 1)."""
        for dimension in self._dimensions():
            latents = self._draw(self._num_images)
            latents[:, dimension] = self._walk
            sheet = pictures.tile(self._images(latents))
            pictures.save_png(self._directory / f"walk_{dimension:03d}.png", sheet)

    def walk_gifs_random(self) -> None:
        """Draws a GIF for each of some random dimensions of z, which rises from 0 to 1 (option 2).

        The other dimensions keep the values of a random point near the origin.
        """
        chosen = set(self._rng.integers(0, self._z_dim, self._z_dim).tolist())
        for dimension in self._dimensions(sorted(chosen)):
            self._save_gif(f"walk_random_{dimension:03d}.gif", self._along(dimension, 0.2 * self._draw(1)))

    def walk_gifs(self) -> None:
        """Draws a GIF for each dimension of z, which rises from 0 to 1 while the others are 0 (option 3)."""
        for dimension in self._dimensions():
            self._save_gif(f"walk_{dimension:03d}.gif", self._along(dimension, np.zeros((1, self._z_dim))))

    def walk_gif_merged(self) -> None:
        """Draws the GIFs of `walk_gifs` side by side in one GIF, forwards and then backwards (option 4)."""
        walks = np.stack([self._along(dimension, np.zeros((1, self._z_dim))) for dimension in self._dimensions()])
        frames = [pictures.tile(walks[:, frame], _MERGED_COLUMNS) for frame in range(self._num_images)]
        pictures.save_gif(self._directory / "walk_merged.gif", frames + frames[::-1], _MERGED_GIF_SECONDS)

    def interpolation(self) -> None:
        """Draws rows of images between two random latents, of one label and one mode each.

        The latents lie on an arc if --z_dist is normal01 (White 2016), and otherwise on a straight line. The first
        number of z stays that of the row's beginning if it chooses a mode, since images jump from mode to mode.
        """
        num_rows = -(-self._num_images // _INTERPOLATION_STEPS)
        begin, end = self._draw(num_rows)[:, None], self._draw(num_rows)[:, None]
        fraction = np.linspace(0.0, 1.0, _INTERPOLATION_STEPS)[None, :, None]
        mix = _spherical if self._z_dist == "normal01" else _linear
        latents = mix(begin, end, fraction)
        latents[..., : self._num_for_modes] = begin[..., : self._num_for_modes]
        labels = np.repeat(self._sampler.numbered_labels(0, num_rows, self._label), _INTERPOLATION_STEPS)
        images = self._sampler.images(latents.reshape(-1, self._z_dim).astype(np.float32), labels)
        sheet = pictures.tile(images, _INTERPOLATION_STEPS)
        pictures.save_png(self._directory / "interpolation.png", sheet)

    def directions(self) -> None:
        """Draws a row for each direction that changes images most: some random patches, at five places along it.

        A row has as many patches as --num_images allows for all rows, but at least one.
        """
        found = find_directions(self._source)
        if not found:
            raise UserError(
                f"--visualize=directions: images of {self._source.directory} are the same wherever z is, so there is "
                f"no direction to draw: choose another --run or --checkpoint"
            )
        starts = self._draw(max(1, self._num_images // (len(found) * _DIRECTION_STEPS)))
        labels = np.repeat(self._sampler.numbered_labels(0, len(starts), self._label), _DIRECTION_STEPS)
        rows = []
        for direction in found:
            places = np.tile(np.linspace(direction.low, direction.high, _DIRECTION_STEPS), len(starts))
            latents = direction.moved(np.repeat(starts, _DIRECTION_STEPS, axis=0), places)
            rows.append(self._sampler.images(latents, labels))
        sheet = pictures.tile(np.concatenate(rows), len(labels))
        pictures.save_rows(self._directory / "directions.png", sheet, [direction.name for direction in found])

    def _dimensions(self, dimensions: list[int] | None = None):
        dimensions = list(range(self._z_dim)) if dimensions is None else dimensions
        with Progress(len(dimensions), 0, "dimension") as progress:
            for count, dimension in enumerate(dimensions, start=1):
                yield dimension
                progress.update(count)

    def _along(self, dimension: int, origin: np.ndarray) -> np.ndarray:
        """Returns the frames of a walk, all of one label: that of --label, or the first one."""
        latents = np.repeat(origin, self._num_images, axis=0)
        latents[:, dimension] = self._walk
        labels = np.repeat(self._sampler.numbered_labels(0, 1, self._label), self._num_images)
        return self._sampler.images(latents.astype(np.float32), labels)

    def _draw(self, num_latents: int) -> np.ndarray:
        shape = (num_latents, self._z_dim)
        if self._z_dist == "normal01":
            return self._rng.standard_normal(shape)
        return self._rng.uniform({"uniform_signed": -1.0, "uniform_unsigned": 0.0}[self._z_dist], 1.0, shape)

    def _images(self, latents: np.ndarray) -> np.ndarray:
        labels = self._sampler.numbered_labels(0, len(latents), self._label)
        return self._sampler.images(latents.astype(np.float32), labels)

    def _save_gif(self, name: str, images: np.ndarray) -> None:
        pictures.save_gif(self._directory / name, list(images), _GIF_SECONDS)


def _linear(begin: np.ndarray, end: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    return (1.0 - fraction) * begin + fraction * end


def _spherical(begin: np.ndarray, end: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Returns latents along the arc between two; along the line where no arc is defined, as between z and -z."""
    cosine = np.sum(begin * end, -1, keepdims=True)
    cosine /= np.linalg.norm(begin, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    sine = np.sin(angle)
    is_line = sine < _LEAST_SINE
    arc = np.sin((1.0 - fraction) * angle) * begin + np.sin(fraction * angle) * end
    return np.where(is_line, _linear(begin, end, fraction), arc / np.where(is_line, 1.0, sine))
