"""Writing of a clustering to a folder: clusters.csv, vocabulary.npz, montages, k_selection.png and summary.json."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np

from histogan_tf.clustering import montages
from histogan_tf.clustering.clusters import NO_DESCRIPTORS, Clustering
from histogan_tf.clustering.model import save_model
from histogan_tf.clustering.scores import KSelection, agreement, select_k
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.membership import CLUSTER_COLUMNS
from histogan_tf.errors import counted
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells
from histogan_tf.runs.own_results import own_results

FILE_NAMES = ("clusters.csv", "vocabulary.npz", "summary.json", "k_selection.png")  # beside the montages
_MONTAGE_NAME = re.compile(r"cluster_(\d+|none)\.png")


def write_clusters(clustering: Clustering, image_set: ImageSet, output_dir: Path, *, seed: int = 42) -> dict:
    """Writes clusters.csv, vocabulary.npz, summary.json, k_selection.png and a montage of each cluster.

    Each file is written completely, or left as it was. Montages of an earlier clustering are removed.

    Args:
        clustering: the clustering of the images.
        image_set: the images, in the order of the clustering.
        output_dir: the folder to write to; it is made if it is missing.
        seed: the seed of the random images in the montages, and of the k-means for each number of clusters.

    Returns:
        The contents of summary.json, see `summarize_clusters`.

    Raises:
        UserError: if `output_dir` cannot be made, or holds a file of such a name that this program did not write.
    """
    assert len(clustering.assignment) == len(image_set), (len(clustering.assignment), len(image_set))
    output_dir = Path(output_dir)
    names = [*FILE_NAMES, *(_montage_name(cluster) for cluster in np.unique(clustering.assignment).tolist())]
    with own_results(output_dir, names, stale=_MONTAGE_NAME.pattern):
        return _write_files(clustering, image_set, output_dir, seed)


def _write_files(clustering: Clustering, image_set: ImageSet, output_dir: Path, seed: int) -> dict:
    selection = select_k(clustering.histograms[clustering.assignment != NO_DESCRIPTORS], seed)
    summary = summarize_clusters(clustering, image_set, selection)
    _write_montages(clustering, image_set, output_dir, seed)
    montages.save_k_selection(output_dir / "k_selection.png", selection, clustering.model.num_clusters)
    with files.written_aside(output_dir / "vocabulary.npz") as aside:
        save_model(aside, clustering.model)
    with files.written_aside(output_dir / "clusters.csv") as aside:
        write_assignments(aside, clustering, image_set)
    files.write_json(output_dir / "summary.json", summary)
    return summary


def summarize_clusters(clustering: Clustering, image_set: ImageSet, selection: KSelection) -> dict:
    """Returns the sizes of the clusters, their agreement with labels and patients, and the scores for each k, for JSON.

    Agreement is computed from the images with descriptors. It is None if labels or patients are unknown or all equal.
    """
    assignment = clustering.assignment
    described = assignment != NO_DESCRIPTORS
    known = {"label": image_set.labels, "patient": image_set.groups}
    return {
        "dataset": image_set.name,
        "fingerprint": image_set.fingerprint(),
        "num_images": len(image_set),
        "num_images_without_descriptors": int(np.count_nonzero(~described)),
        "median_descriptors": float(np.median(clustering.num_descriptors)),
        "clusters": [_describe_cluster(cluster, clustering, known) for cluster in _clusters(clustering)],
        "agreement": {
            name: None if classes is None else agreement(assignment[described], classes[described])
            for name, classes in known.items()
        },
        "k_selection": {
            "num_images": selection.num_images,
            "num_clusters": selection.num_clusters.tolist(),
            "inertia": selection.inertia.tolist(),
            "silhouette": [None if math.isnan(value) else value for value in selection.silhouette.tolist()],
        },
    }


def _clusters(clustering: Clustering) -> list[int]:
    """Returns the numbers of all clusters of the model, even empty ones; -1 comes first if an image is in it."""
    without = [NO_DESCRIPTORS] if (clustering.assignment == NO_DESCRIPTORS).any() else []
    return without + list(range(clustering.model.num_clusters))


def _describe_cluster(cluster: int, clustering: Clustering, known: dict[str, np.ndarray | None]) -> dict:
    inside = clustering.assignment == cluster
    description = {"cluster": cluster, "size": int(inside.sum())}
    if inside.any() and cluster != NO_DESCRIPTORS:
        description["median_distance"] = float(np.median(clustering.distance[inside]))
    for name, classes in known.items():
        if classes is not None and inside.any():
            values, counts = np.unique(classes[inside], return_counts=True)
            description[f"largest_{name}"] = values[counts.argmax()].item()
            description[f"share_of_largest_{name}"] = float(counts.max() / inside.sum())
    return description


def _montage_name(cluster: int) -> str:
    return "cluster_none.png" if cluster == NO_DESCRIPTORS else f"cluster_{cluster}.png"


def _write_montages(clustering: Clustering, image_set: ImageSet, output_dir: Path, seed: int) -> None:
    """Writes a montage of each cluster that has images."""
    for cluster in _clusters(clustering):
        members = np.flatnonzero(clustering.assignment == cluster)
        if not len(members):
            continue
        generator = np.random.default_rng([seed, cluster - NO_DESCRIPTORS])
        chosen = np.sort(generator.permutation(members)[: montages.MONTAGE_IMAGES])
        panels = {"random": image_set.images[chosen]}
        title = f"no descriptors (cluster -1): {counted(len(members), 'image')}"
        if cluster != NO_DESCRIPTORS:
            nearest = members[np.argsort(clustering.distance[members], kind="stable")][: montages.MONTAGE_IMAGES]
            panels = {"nearest to the centre": image_set.images[nearest], **panels}
            title = f"cluster {cluster}: {counted(len(members), 'image')}"
        with files.written_aside(output_dir / _montage_name(cluster)) as aside:
            montages.save_montage(aside, title, panels)


def write_assignments(path: Path, clustering: Clustering, image_set: ImageSet) -> None:
    """Writes a clusters.csv: one line for each image of `image_set`, with the columns CLUSTER_COLUMNS.

    Unknown labels and patients are left empty, and so is the distance of an image without descriptors.

    Args:
        path: the file to write.
        clustering: the clustering of the images.
        image_set: the images, in the order of the clustering.
    """
    blank = [""] * len(image_set)
    labels = blank if image_set.labels is None else image_set.labels
    patients = blank if image_set.groups is None else image_set.groups
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CLUSTER_COLUMNS)
        for *known, cluster, distance in zip(
            image_set.ids, labels, patients, clustering.assignment, clustering.distance, strict=True
        ):
            writer.writerow(neutral_cells([*known, cluster, "" if np.isnan(distance) else f"{distance:.6g}"]))
