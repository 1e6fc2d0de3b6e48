"""Clusters of images that look alike, so that a GAN can learn one kind of tissue, which is easier to learn than all.

The method is that of Sivic & Zisserman, "Video Google: A Text Retrieval Approach to Object Matching in Videos"
(ICCV 2003): SIFT descriptors of an image (descriptors.py) are assigned to the visual words of a vocabulary
(vocabulary.py), each image becomes a histogram of visual words, and k-means groups the histograms (clusters.py).
scores.py compares clusters with labels and patients, outputs.py and montages.py write files and pictures, model.py
saves what is needed to cluster new images, and cluster_dataset.py is --mode=cluster. data/membership.py reads the
images of a cluster back.
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
