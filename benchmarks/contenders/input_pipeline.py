"""Reads batches from image files; this must be faster than a training step consumes them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from histogan_tf.cli import command_line
from histogan_tf.data import pipeline
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.reporting.pictures import save_png

_ANY_STEP = 10**9


class FilesRead:
    """Decodes batches from PNG files when they are needed, as for a set larger than memory; a call takes one batch.

    Args:
        num_images: number of PNG files, each a 50x50 patch.
        batch_size: images in a batch.
    """

    def __init__(self, num_images: int, batch_size: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        for number, image in enumerate(make_phantom(num_images).images):
            save_png(Path(self._folder.name) / f"{number:05d}.png", image)
        config = command_line.parse(
            [
                "main.py",
                "--dataset=phantom-files",
                f"--data_path={self._folder.name}",
                f"--batch_size={batch_size}",
                "--part=all",
                "--memory_budget_gb=0.000001",  # no decoded image is kept in memory
            ]
        )
        image_set = load_dataset(config)
        assert image_set.is_lazy
        self._batches = iter(pipeline.batches(image_set, batch_size, config.seed, 0, _ANY_STEP))

    def run(self, count: int) -> None:
        """Takes `count` batches."""
        for _ in range(count):
            next(self._batches)

    def flops(self) -> None:
        """Returns None: the operations are not counted."""
