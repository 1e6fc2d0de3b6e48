"""How much cheaper it is to train a head on features computed once than to run the backbone every epoch.

    python benchmarks/frozen_features.py --images=3716 --size=96 --naive_epochs=2

Both train the last layer of a frozen ResNet-18 (random weights, which cost what trained ones do) on phantom patches of
50x50. Ours: one pass through the backbone, the penalty chosen on five folds, the head fitted to convergence. Naive:
each epoch runs the backbone on every batch and makes one step of SGD; --naive_epochs of them are timed after a warm-up,
and scaled to the paper's 25.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.classifier.features import BATCH, FeatureCache
from histogan_tf.classifier.head import HeadFitter, TrainingFeatures, choose_penalty
from histogan_tf.data.phantom import make_phantom
from histogan_tf.models.resnet import ResNetClassifier, build_classifier

PAPER_EPOCHS = 25


def main() -> None:
    """Prints seconds and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=3716, help="the paper's training part has 3,716")
    parser.add_argument("--size", type=int, default=96, help="side that the classifier resizes to")
    parser.add_argument("--naive_epochs", type=int, default=2)
    arguments = parser.parse_args()
    phantom = make_phantom(arguments.images)
    classifier = build_classifier(phantom.image_shape, size=arguments.size, weights="random", seed=42)

    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(Path(folder), classifier.features, [arguments.size], seed=42)
        cache.views(phantom.select(np.arange(BATCH)))  # compiles
        started = time.perf_counter()
        features = cache.views(phantom)
        pass_seconds = time.perf_counter() - started
    started = time.perf_counter()
    training = TrainingFeatures(features, phantom.labels, phantom.groups, np.ones(len(phantom), bool))
    fitter = HeadFitter(training)
    penalty, _ = choose_penalty(training, fitter, seed=42)
    fitter.fits(np.ones(len(phantom), bool))(penalty)
    head_seconds = time.perf_counter() - started

    naive_seconds = PAPER_EPOCHS * _naive_epoch_seconds(
        classifier, phantom.images, phantom.labels, arguments.naive_epochs
    )
    print(f"{len(phantom)} images at {arguments.size}x{arguments.size}")
    print(f"  ours:  {pass_seconds:.1f} s through the backbone + {head_seconds:.1f} s for the head and its penalty")
    print(f"  naive: {naive_seconds:.1f} s for {PAPER_EPOCHS} epochs, scaled from {arguments.naive_epochs}")
    print(f"  ratio: {naive_seconds / (pass_seconds + head_seconds):.1f}")


def _naive_epoch_seconds(
    classifier: ResNetClassifier, images: np.ndarray, labels: np.ndarray, num_epochs: int
) -> float:
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    optimizer.build(classifier.head.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec((None, *images.shape[1:]), tf.uint8), tf.TensorSpec((None,), tf.int32)])
    def step(batch: tf.Tensor, batch_labels: tf.Tensor) -> None:
        features = classifier.features(batch, training=False)
        with tf.GradientTape() as tape:
            logits = classifier.head(features)[:, 0]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(batch_labels, tf.float32), logits=logits)
            loss = tf.reduce_mean(losses)
        variables = classifier.head.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    step(images[:BATCH], labels[:BATCH])  # compiles
    started = time.perf_counter()
    for _ in range(num_epochs):
        for start in range(0, len(images), BATCH):
            step(images[start : start + BATCH], labels[start : start + BATCH])
    return (time.perf_counter() - started) / num_epochs


if __name__ == "__main__":
    main()
