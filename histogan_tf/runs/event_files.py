"""TensorBoard's files of a run, from which the points of steps that are made again are taken out.

A run that was killed goes on from its last checkpoint, and logs the steps after it once more, into a new file. Both
points of such a step would be shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from histogan_tf.runs.files import written_aside


def list_event_files(folder: Path) -> list[Path]:
    """Returns TensorBoard's files in a folder, oldest first; none if there is no such folder."""
    return sorted(folder.glob("events.out.tfevents.*"))


def forget_events_after(paths: list[Path], step: int) -> None:
    """Takes the points of steps after `step` out of TensorBoard's files; with step 0, removes the files.

    At step 0 nothing has been made yet, and what was drawn then is drawn again. A file whose end a kill has cut off
    keeps its whole points.

    Args:
        paths: files that nobody writes any more.
        step: the number of steps that remain.
    """
    for path in paths:
        if step == 0:
            path.unlink()
            continue
        events = list(_events_with_steps(path))
        if all(of_step <= step for _, of_step in events):
            continue
        with written_aside(path) as aside, tf.io.TFRecordWriter(str(aside)) as writer:
            for record, of_step in events:
                if of_step <= step:
                    writer.write(record)


def _events_with_steps(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yields each event of a file, as its bytes, with its step."""
    records = iter(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    while True:
        try:
            record = next(records)
        except (StopIteration, tf.errors.DataLossError):
            return
        yield record, tf.compat.v1.Event.FromString(record).step
