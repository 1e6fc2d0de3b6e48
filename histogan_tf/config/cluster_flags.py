"""Flags of --mode=cluster."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class ClusterFlags:
    """How images are grouped by what SIFT sees in them."""

    num_clusters: int = flag(4, "Clusters to make.", section="cluster", minimum=1)
    vocabulary_size: int = flag(100, "Visual words.", section="cluster", minimum=1)
    upsample: int = flag(
        2,
        "Enlarge images so many times before SIFT, which finds little in small ones.",
        section="cluster",
        minimum=1,
        maximum=8,
    )
    dense: bool = flag(False, "SIFT on a grid instead of at key points.", section="cluster")
    root_sift: bool = flag(False, "RootSIFT descriptors.", section="cluster")
    tf_idf: bool = flag(False, "Weigh visual words by how rare they are.", section="cluster")
    num_workers: int | None = flag(
        None, "Threads for SIFT; all cores if left out. The result is the same.", section="cluster", minimum=1
    )
    vocabulary: str | None = flag(
        None,
        "A vocabulary.npz of an earlier --mode=cluster: sort images into its clusters instead of making new ones, as "
        "it was made.",
        section="cluster",
    )
