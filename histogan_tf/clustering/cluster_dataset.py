"""--mode=cluster: groups the images of a dataset into new clusters, or into those of an earlier vocabulary."""

from __future__ import annotations

import logging
from pathlib import Path

from histogan_tf.clustering.clusters import assign_images, cluster_images
from histogan_tf.clustering.model import load_model
from histogan_tf.clustering.outputs import FILE_NAMES, write_clusters
from histogan_tf.config import Config
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError, counted
from histogan_tf.runs.own_results import require_own_results

logger = logging.getLogger(__name__)

_CLUSTERING_FLAGS = ("num_clusters", "vocabulary_size", "upsample", "dense", "root_sift", "tf_idf")


def cluster_dataset(config: Config) -> None:
    """Groups the images of a dataset by their SIFT descriptors, and writes the clusters to --output_dir.

    Raises:
        UserError: if the dataset or the --vocabulary cannot be read, or flags contradict the vocabulary.
    """
    image_set = load_dataset(config)
    label = f"-{config.label}" if config.label else ""
    default_directory = Path(config.checkpoint_dir) / f"clusters-{image_set.name}{label}"
    directory = Path(config.output_dir or default_directory).expanduser()
    require_own_results(directory, FILE_NAMES)  # before the work, which may take minutes
    if config.vocabulary:
        ignored = sorted(set(_CLUSTERING_FLAGS) & config.given)
        if ignored:
            raise UserError(
                f"--vocabulary={config.vocabulary} has its own values of --{', --'.join(ignored)}: leave them out"
            )
        model = load_model(Path(config.vocabulary).expanduser())
        result = assign_images(image_set, model, num_workers=config.num_workers)
    else:
        settings = {name: getattr(config, name) for name in _CLUSTERING_FLAGS}
        result = cluster_images(image_set, seed=config.seed, num_workers=config.num_workers, **settings)
    summary = write_clusters(result, image_set, directory, seed=config.seed)
    if summary["num_images_without_descriptors"]:
        without = counted(summary["num_images_without_descriptors"], "image")
        logger.warning("%s without key points: in cluster -1", without)
    sizes = ", ".join(f"{row['size']} in {row['cluster']}" for row in summary["clusters"])
    logger.info("images in each cluster: %s; see %s", sizes, directory)
