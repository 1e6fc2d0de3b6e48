"""The flags of the classifier: its weights, its training set, its fine-tuning, and how runs are compared."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import Table, flag

_FEATURE_NETWORKS = Table("histogan_tf.models.feature_extractors:FEATURE_NETWORKS")


@dataclasses.dataclass(frozen=True)
class ClassifierFlags:
    """The flags of the training of the classifier, resnet18."""

    classifier_size: int = flag(
        224,
        "Side in pixels to which the classifier resizes images; pretrained weights expect 224.",
        section="classifier",
        minimum=32,
        maximum=1024,
    )
    feature_layer: str | None = flag(
        None,
        "Stage of the --backbone whose features are used: stage1 to stage4 of a ResNet or DenseNet, stage1 to stage5 "
        "of the others; or several joined by +, such as stage2+stage3, whose features stand side by side. The last "
        "stage if left out, as in the paper. Earlier stages see finer structure and are less bound to ImageNet's "
        "classes.",
        section="classifier",
    )
    center_crop: bool = flag(
        False,
        "Whether the --backbone sees the centre of images alone, as in its evaluation on ImageNet: the share that its "
        "config.json calls crop_pct. Off, because the border of a patch is tissue, too.",
        section="classifier",
    )
    train_on: str = flag(
        "real",
        "Images to train the classifier on; synthetic ones come from --synthetic_dir. It is always validated on real "
        "images.",
        section="classifier",
        choices=("real", "synthetic", "both"),
    )
    synthetic_dir: str | None = flag(
        None,
        "Folder of synthetic images, as --mode=generate writes it: sub-folders 0/ and 1/, or 0.npz and 1.npz, or "
        "images.npz; and classes.json, which names their classes.",
        section="classifier",
        fixed=False,
    )
    perturbations: tuple[str, ...] | None = flag(
        None,
        "Changes that make perturbed views of each training image, separated by commas: quarter turns (rotation), "
        "mirroring (flips), other amounts of haematoxylin and eosin (stain), added noise (noise). No "
        "views are made if left out.",
        section="classifier",
        choices=("rotation", "flips", "stain", "noise"),
    )
    views: int = flag(
        3,
        "Number of perturbed views of each training image to train on, besides the image itself; with --perturbations.",
        section="classifier",
        minimum=1,
        maximum=1000,
    )
    fine_tune: str = flag(
        "none",
        "Layers of the --backbone to train as well, once its linear head is trained, for at most --epoch epochs: none "
        "as in the paper, the last stage, or all.",
        section="classifier",
        choices=("none", "last_stage", "all"),
    )
    fine_tune_learning_rate: float = flag(
        0.0001, "Adam's learning rate in fine-tuning.", section="classifier", minimum=1e-12, maximum=1.0
    )


@dataclasses.dataclass(frozen=True)
class EvaluationFlags:
    """The flags with which classifiers and synthetic images are measured."""

    features: str | None = flag(
        None,
        "Network whose features the measures of synthetic images compare. {entries}. If left out: random, and backbone "
        "as well where its pretrained weights are at hand, as a folder or in the cache of Hugging Face; random alone "
        "where --mode=paper selects images.",
        section="evaluate",
        choices=_FEATURE_NETWORKS,
        described=_FEATURE_NETWORKS,
    )
    recall_at_least: float | None = flag(
        None,
        "Also report precision and specificity at the threshold that reaches this recall on held-out training images.",
        section="evaluate",
        minimum=1e-6,
        maximum=1.0,
    )
    compare: tuple[str, ...] | None = flag(
        None,
        "Names of classifier runs to compare, separated by commas; each is compared with the first.",
        section="evaluate",
    )
    map: bool = flag(
        False,
        "With --mode=classify, also draw a map of each slide: the probability at each patch's place beside the true "
        "class, as one page, maps/maps.html. For patches whose names say their place, such as "
        "9290_idx5_x1101_y601_class0.png.",
        section="evaluate",
    )
