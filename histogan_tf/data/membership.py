"""Reads from a clusters.csv which image is in which cluster, and selects the images of one cluster."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError, counted, listing, reason_of
from histogan_tf.runs.csv_cells import original_text

CLUSTER_COLUMNS = ("id", "label", "patient", "cluster", "distance")


def read_cluster(csv_path: Path, cluster: int) -> np.ndarray:
    """Returns the ids, str (n,), of the images in one cluster of a clusters.csv.

    Args:
        csv_path: the clusters.csv that --mode=cluster wrote.
        cluster: the number of the cluster; -1 for the images without descriptors.

    Raises:
        UserError: if the file is missing or is not a CSV, lacks the column id or cluster, or the cluster is empty.
    """
    try:
        with open(csv_path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = {"id", "cluster"} - set(reader.fieldnames or ())
            if missing:
                raise UserError(
                    f"{csv_path} has no column {listing(sorted(missing))}; give the clusters.csv of --mode=cluster, "
                    f"with the columns {listing(CLUSTER_COLUMNS)}"
                )
            rows = [
                (
                    original_text(_without_zeros(row["id"] or "")),
                    _whole_number(row["cluster"], csv_path, reader.line_num),
                )
                for row in reader
            ]
    except FileNotFoundError as error:
        raise UserError(f"no file {csv_path}; --mode=cluster writes it") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{csv_path} cannot be read as CSV: {reason_of(error)}") from error
    ids = np.array([image_id for image_id, of_image in rows if of_image == cluster], dtype=str)
    if not len(ids):
        present = sorted({of_image for _, of_image in rows})
        raise UserError(f"cluster {cluster} of {csv_path} is empty; it has the clusters {listing(present) or 'none'}")
    return ids


def restrict(image_set: ImageSet, ids: np.ndarray, *, whole: ImageSet | None = None) -> ImageSet:
    """Returns the images of `image_set` whose id is in `ids`, in the order of `image_set`.

    Args:
        image_set: the images to choose from.
        ids: str (n,), the ids from `read_cluster`.
        whole: the whole dataset, if `image_set` is only a part of it; it must hold every one of `ids`.

    Raises:
        UserError: if an id is unknown, or no image is left.
    """
    whole = image_set if whole is None else whole
    unknown = np.asarray(ids)[~np.isin(ids, whole.ids)]
    if len(unknown):
        raise UserError(
            f"{len(unknown)} of {counted(len(ids), 'id')} not in the dataset {whole.name}: {listing(unknown)}; give "
            f"the clusters.csv that was made from this dataset, with the same --classes, --max_groups and "
            f"--images_per_class"
        )
    chosen = np.flatnonzero(np.isin(image_set.ids, ids))
    if not len(chosen):
        raise UserError(
            f"none of {counted(len(ids), 'image')} of the cluster is in the chosen part of {whole.name}: choose "
            f"another --cluster, --part or --label"
        )
    return image_set.select(chosen)


def _without_zeros(text: str) -> str:
    """Refuses zero bytes, which a lost part of a file is often filled with."""
    if "\0" in text:
        raise csv.Error("it holds zero bytes")
    return text


def _whole_number(text: str | None, csv_path: Path, line: int) -> int:
    try:
        return int(text)
    except (TypeError, ValueError) as error:
        raise UserError(f"line {line} of {csv_path} has the cluster {text!r}; it must be a whole number") from error
