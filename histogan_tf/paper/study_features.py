"""The features that all classifiers of a study share: those of the frozen pretrained backbone."""

from __future__ import annotations

from pathlib import Path

from histogan_tf.classifier.features import FeatureCache, feature_cache
from histogan_tf.config import Config
from histogan_tf.models.resnet import configured_classifier


def study_features(config: Config, image_shape: tuple[int, int, int], directory: Path) -> FeatureCache:
    """Returns the cache of features of the backbone, as a classifier of the study has it before any fine-tuning.

    Args:
        config: the settings of the classifier that is trained on real images.
        image_shape: the (height, width, channels) of the images.
        directory: the folder of cached features that the classifiers of the study share.

    Raises:
        UserError: if the weights cannot be read.
    """
    return feature_cache(config, configured_classifier(config, image_shape).features, directory)
