"""The input pipeline from image files, which must give more than a step eats."""

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
    """Batches decoded from PNG files as they are needed, as for a set larger than memory; a call takes one batch.

    Args:
        num_images: files of 50x50 patches.
        batch_size: images a batch.
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
                "--memory_budget_gb=0.000001",  # nothing is kept
            ]
        )
        image_set = load_dataset(config)
        assert image_set.is_lazy
        self._batches = iter(pipeline.batches(image_set, batch_size, config.seed, 0, _ANY_STEP))

    def run(self, count: int) -> None:
        """Takes so many batches."""
        for _ in range(count):
            next(self._batches)

    def flops(self) -> None:
        """Not counted."""
