"""The flags of --mode=cluster."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class ClusterFlags:
    """The flags with which images are described by SIFT and grouped into clusters."""

    num_clusters: int = flag(4, "Number of clusters to make.", section="cluster", minimum=1, maximum=100_000)
    vocabulary_size: int = flag(
        100, "Number of visual words in the vocabulary.", section="cluster", minimum=1, maximum=1_000_000
    )
    upsample: int = flag(
        2,
        "Factor by which images are enlarged before SIFT, which finds few key points in small images.",
        section="cluster",
        minimum=1,
        maximum=8,
    )
    dense: bool = flag(False, "Compute SIFT descriptors on a regular grid instead of at key points.", section="cluster")
    root_sift: bool = flag(False, "Use RootSIFT descriptors instead of plain SIFT descriptors.", section="cluster")
    tf_idf: bool = flag(False, "Weigh visual words by how rare they are in the images.", section="cluster")
    num_workers: int | None = flag(
        None,
        "Threads for SIFT; one for each core if left out. The result does not depend on it.",
        section="cluster",
        minimum=1,
        maximum=1024,
    )
    vocabulary: str | None = flag(
        None,
        "A vocabulary.npz that an earlier --mode=cluster wrote: sort the images into its clusters, with its settings, "
        "instead of making new clusters.",
        section="cluster",
    )
