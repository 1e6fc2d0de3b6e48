"""The base of the classes that make the stages of a study."""

from __future__ import annotations

from collections.abc import Callable

from histogan_tf.config import Config
from histogan_tf.paper.configs import StudyConfigs
from histogan_tf.paper.study_images import StudyImages


class StageMaker:
    """Holds what all stages of one study are made from.

    Args:
        config: the resolved Config of --mode=paper.
        images: the images of its dataset, with their split.
        backbone: digest of the classifier's pretrained weights.
        perform: runs the command of a Config of another mode.
    """

    def __init__(self, config: Config, images: StudyImages, backbone: str, perform: Callable[[Config], None]) -> None:
        self._config, self._images, self._backbone, self._perform = config, images, backbone, perform
        self._configs = StudyConfigs(config)
        self._directory = self._configs.directory
