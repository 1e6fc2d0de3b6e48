"""Writes what a training logs into its run directory: losses, images and histograms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.machine.workers import chief_only, is_chief
from histogan_tf.runs import files
from histogan_tf.runs.run_directory import read_metrics


class Run:
    """The writer of a run directory's losses, images and histograms. In a job of several workers only the chief writes.

    Args:
        directory: the run directory, which `begin_run` has prepared.
        config: the settings of the run.
    """

    def __init__(self, directory: Path, config: Config) -> None:
        import tensorflow as tf

        from histogan_tf.runs.event_files import list_event_files

        self.directory = directory
        self._sample_directory = directory / config.sample_dir
        self._earlier_event_files = list_event_files(directory / "logs")
        self._writer = tf.summary.create_file_writer(str(directory / "logs")) if is_chief() else None
        self._metrics_path = directory / "metrics.jsonl"

    @property
    def checkpoint_directory(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.directory / "ckpt"

    @chief_only
    def forget_after(self, step: int) -> None:
        """Removes what was logged of the steps after `step`, as a resumed run makes these steps again.

        That is, from metrics.jsonl and from the files for TensorBoard that were there before this object was made.
        """
        from histogan_tf.runs.event_files import forget_events_after

        forget_events_after(self._earlier_event_files, step)
        self._earlier_event_files = []
        rows = [row for row in read_metrics(self.directory) if row["step"] <= step]
        files.write_text(self._metrics_path, "".join(json.dumps(row) + "\n" for row in rows))

    @chief_only
    def log_losses(self, losses_by_step: Mapping[int, Mapping[str, float]]) -> None:
        """Appends losses to metrics.jsonl and TensorBoard's files.

        Args:
            losses_by_step: for each number of a step, its losses by name.
        """
        import tensorflow as tf

        path = self._metrics_path
        with files.errors_named(path), path.open("a", encoding="utf-8") as file, self._writer.as_default():
            for step, losses in losses_by_step.items():
                file.write(json.dumps({"step": step, **losses}) + "\n")
                for name, value in losses.items():
                    tf.summary.scalar(name, value, step)

    @chief_only
    def log_histograms(self, step: int, histograms: Mapping[str, Any]) -> None:
        """Writes the histogram of each tensor, under its name, to TensorBoard's files."""
        import tensorflow as tf

        with self._writer.as_default():
            for name, values in histograms.items():
                tf.summary.histogram(name, values, step)

    def sheet_path(self, name: str, step: int | None = None) -> Path:
        """Returns the path of a sample sheet's PNG file, whose name contains the step unless it is None."""
        return self._sample_directory / (f"{name}.png" if step is None else f"{name}_{step:08d}.png")

    @chief_only
    def show_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Writes one image, uint8 (height, width, channels), to TensorBoard's files."""
        import tensorflow as tf

        with self._writer.as_default():
            tf.summary.image(name, image[None], step)
        self._writer.flush()

    @chief_only
    def flush(self) -> None:
        """Writes what is still buffered to TensorBoard's files."""
        self._writer.flush()
