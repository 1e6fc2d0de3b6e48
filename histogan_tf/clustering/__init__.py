"""Clusters of images that look alike: SIFT -> bag of visual words -> k-means.

A GAN that sees one kind of tissue has an easier distribution to learn. The way there is that of Sivic & Zisserman,
"Video Google: A Text Retrieval Approach to Object Matching in Videos" (ICCV 2003): local descriptors (descriptors.py)
are quantized to the words of a vocabulary (vocabulary.py), each image becomes a histogram of words, and k-means groups
the histograms (clusters.py). scores.py compares clusters with what is known of the images, outputs.py and montages.py
write what a person looks at, and model.py keeps what new images need. data/membership.py reads a cluster back.
"""

from histogan_tf.clustering.clusters import Clustering, assign_images, cluster_images
from histogan_tf.clustering.model import ClusterModel, load_model, save_model
from histogan_tf.clustering.outputs import write_clusters

__all__ = [
    "ClusterModel",
    "Clustering",
    "assign_images",
    "cluster_images",
    "load_model",
    "save_model",
    "write_clusters",
]
