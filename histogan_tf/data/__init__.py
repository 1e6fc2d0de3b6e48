"""Datasets: readers, the training/validation split, and the tf.data pipeline. Nothing here knows a network."""
