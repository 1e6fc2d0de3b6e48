"""The images of a classifier: the two parts of the dataset, and the synthetic images beside them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_parts
from histogan_tf.data.synthetic import load_synthetic, refuse_copies
from histogan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClassifierData:
    """Images to train on and to measure on. Training images are numbered: first the real ones, then the synthetic ones.

    Attributes:
        real: the training part of the dataset; empty with --train_on=synthetic.
        synthetic: synthetic images; None if there are none.
        validation: the validation part, real images only.
    """

    real: ImageSet
    synthetic: ImageSet | None
    validation: ImageSet

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the labels; of two, label 1 is the positive class."""
        return self.validation.class_names

    @property
    def parts(self) -> list[ImageSet]:
        """The sets of training images, without empty ones."""
        return [part for part in (self.real, self.synthetic) if part is not None and len(part)]

    @property
    def labels(self) -> np.ndarray:
        """The labels of the training images, int32 (num_training,)."""
        return np.concatenate([part.labels for part in self.parts])

    @property
    def ids(self) -> np.ndarray:
        """The ids of the training images, str (num_training,)."""
        return np.concatenate([part.ids for part in self.parts])

    @property
    def groups(self) -> np.ndarray | None:
        """The patient of each training image, str (num_training,); a synthetic image has its own; None if unknown."""
        if not len(self.real) or self.real.groups is None:
            return None
        return np.concatenate([self.real.groups, *([] if self.synthetic is None else [self.synthetic.ids])])

    @property
    def is_real(self) -> np.ndarray:
        """Whether each training image is real, bool (num_training,)."""
        return np.arange(len(self.labels)) < len(self.real)

    def counts(self, is_chosen: np.ndarray) -> dict[str, int]:
        """Returns the number of chosen training images by class name.

        Args:
            is_chosen: bool (num_training,).
        """
        counts = np.bincount(self.labels[is_chosen], minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def images_at(self, indices: np.ndarray) -> np.ndarray:
        """Returns the training images of these numbers, uint8 (num_indices, height, width, channels)."""
        images = np.empty((len(indices), *self.validation.image_shape), np.uint8)
        is_real = indices < len(self.real)
        images[is_real] = self.real.images[indices[is_real]]
        if self.synthetic is not None:
            images[~is_real] = self.synthetic.images[indices[~is_real] - len(self.real)]
        return images

    def training_set(self) -> ImageSet:
        """Returns all training images as one set, in memory if there are both real and synthetic ones."""
        if len(self.parts) == 1:
            return self.parts[0]
        images = np.concatenate([np.asarray(part.images) for part in self.parts])
        columns = {"labels": self.labels, "ids": self.ids, "groups": self.groups, "parts": None}
        return dataclasses.replace(self.real, images=images, **columns)

    def description(self) -> dict[str, Any]:
        """Returns what the run records of its images."""
        parts = {"training": self.real, "synthetic": self.synthetic, "validation": self.validation}
        return {
            "name": self.validation.name,
            "image_shape": list(self.validation.image_shape),
            "class_names": list(self.class_names),
            "parts": {
                name: {"images_per_class": part.counts(), "fingerprint": part.fingerprint()}
                for name, part in parts.items()
                if part is not None
            },
        }


def load_data(config: Config, images: ImageSet | None = None, synthetic: ImageSet | None = None) -> ClassifierData:
    """Loads and checks the dataset's two parts and the synthetic images.

    Args:
        config: resolved.
        images: real ones, both parts of them; None to read the dataset.
        synthetic: images for --train_on=both or synthetic; None to read --synthetic_dir.

    Raises:
        UserError: if images cannot be loaded; if there are not two labels or more; if a label is missing in training or
            in validation; if synthetic images differ in shape from real ones, or one is a copy of a validation image.
    """
    real, validation = load_parts(config, images)
    if validation.num_classes < 2:
        raise UserError(
            f"a classifier needs two labels or more, and {validation.name!r} has {validation.num_classes}: sort its "
            f"images into a sub-folder for each"
        )
    if config.train_on != "real":
        if synthetic is None:
            synthetic = load_synthetic(config.synthetic_dir, validation.class_names, strict=config.strict)
        if synthetic.image_shape != validation.image_shape:
            where = "synthetic" if config.synthetic_dir is None else f"--synthetic_dir={config.synthetic_dir}"
            raise UserError(
                f"{where}: its images are {_shape(synthetic)}, but those of "
                f"{validation.name!r} are {_shape(validation)}; make synthetic images of that size, or resize the real "
                f"ones with --output_height"
            )
        refuse_copies(synthetic, validation)
    if config.train_on == "synthetic":
        real = real.select(np.arange(0))
    data = ClassifierData(real, synthetic, validation)
    for part, labels in (("training", data.labels), ("validation", validation.labels)):
        counts = dict(
            zip(validation.class_names, np.bincount(labels, minlength=validation.num_classes).tolist(), strict=True)
        )
        missing = [name for name, count in counts.items() if not count]
        if missing:
            raise UserError(
                f"the {part} images hold none of the label {missing[0]!r} ({counts}): give more images, "
                f"another --split_seed, or --split_by=image"
            )
    return data


def _shape(image_set: ImageSet) -> str:
    return "x".join(map(str, image_set.image_shape))
