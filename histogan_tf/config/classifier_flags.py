"""Flags of the classifier: its weights, its training set, its fine-tuning, and how runs are measured and compared."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class ClassifierFlags:
    """How resnet18 is trained."""

    weights: str = flag(
        "imagenet",
        "Of the backbone: imagenet (from Hugging Face), random (untrained, for trying things out), or a folder with a "
        "timm checkpoint of a resnet18 (config.json, model.safetensors).",
        section="classifier",
    )
    classifier_size: int = flag(
        224,
        "Side in pixels to which the classifier resizes images; pretrained weights expect 224.",
        section="classifier",
        minimum=32,
        maximum=1024,
    )
    train_on: str = flag(
        "real",
        "Images to train on; synthetic ones come from --synthetic_dir. Validation images are real, always.",
        section="classifier",
        choices=("real", "synthetic", "both"),
    )
    synthetic_dir: str | None = flag(
        None,
        "Folder of synthetic images: sub-folders 0/ and 1/, or 0.npz and 1.npz, or images.npz.",
        section="classifier",
        fixed=False,
    )
    perturbations: tuple[str, ...] | None = flag(
        None,
        "What training images are also shown as, separated by commas: quarter turns (rotation), mirrored (flips), with "
        "noise. None if left out.",
        section="classifier",
        choices=("rotation", "flips", "noise"),
    )
    views: int = flag(
        3, "Perturbed views of each training image, beside the image itself.", section="classifier", minimum=1
    )
    fine_tune: str = flag(
        "none",
        "What to train of the backbone after the head, a step beyond the paper; for at most --epoch epochs.",
        section="classifier",
        choices=("none", "last_stage", "all"),
    )
    fine_tune_learning_rate: float = flag(
        0.0001, "Of Adam in fine-tuning.", section="classifier", minimum=1e-12, maximum=1.0
    )


@dataclasses.dataclass(frozen=True)
class EvaluationFlags:
    """How classifiers and synthetic images are measured."""

    features: str = flag(
        "random",
        "Of synthesis metrics: random (a fixed untrained network), resnet18 (with --weights), or inception "
        "(InceptionV3 from ImageNet, whose Fréchet distance is the FID; fetched once by keras.applications).",
        section="evaluate",
        choices=("random", "resnet18", "inception"),
    )
    recall_at_least: float | None = flag(
        None,
        "Report precision and specificity at a threshold that reaches this recall on held-out training images.",
        section="evaluate",
        minimum=1e-6,
        maximum=1.0,
    )
    compare: tuple[str, ...] | None = flag(
        None,
        "Classifier runs to compare, separated by commas, the first being what the others are measured against.",
        section="evaluate",
    )
