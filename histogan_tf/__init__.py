"""histogan_tf: train GANs on few histology patches and learn whether their images help a classifier.

In a program or a notebook:

    import histogan_tf as hg

    images = hg.load_images("data/idc", dataset="idc", label="idc")
    run = hg.train(images, model="dcgan3", epoch=50, run="dcgan3-idc")
    patches = run.sample(64, seed=7)
    scores = hg.evaluate(images, patches)

Keyword arguments are the flags of the command line, by their names; `python main.py --help` tells about each. What is
wrong with one raises the `UserError` that the command line prints. Messages go to the logger "histogan_tf", which shows
warnings only, unless you set it up: `logging.basicConfig(level=logging.INFO)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from histogan_tf.errors import UserError

if TYPE_CHECKING:
    import os

    import numpy as np

    from histogan_tf.data.image_set import ImageSet
    from histogan_tf.trained.trained_run import TrainedRun

__all__ = ["UserError", "__version__", "evaluate", "load_images", "load_run", "train"]
__version__ = "0.1.0"


def load_images(path: str | os.PathLike[str] | None = None, **flags: Any) -> ImageSet:
    """Loads a dataset.

    A labelled set is split 67/33 into a training and a validation part, as --split_seed and --split_by say, before a
    label or a cluster is chosen. Each image keeps its part, so that a GAN and a classifier that are trained on the
    result never mix them. All images are returned, unless `part` is given.

    Args:
        path: folder of the dataset, as in --data_path; None for <data_dir>/<dataset>, or the built-in patches (phantom)
            if no dataset is named either.
        **flags: the flags of the section "data" in --help but train_size, such as dataset="idc", label="idc",
            output_height=64. The dataset is the folder's name if left out: "idc", "mnist" and the like name a layout,
            and any other name is that of a folder of images.

    Returns:
        An ImageSet of n images: `images`, uint8 (n, height, width, channels) in [0, 255], an array or, beyond
        --memory_budget_gb, something that can be indexed like one and reads from disk; `labels`, int32 (n,), or None;
        `ids`, str (n,), the file names; `groups`, str (n,), the patients, or None; `parts`, str (n,), "train",
        "validation" or "test", or None if the set is not split; `class_names`, `name`, and len().

    Raises:
        UserError: if a flag is wrong, or the dataset cannot be read or has no such images.
    """
    import os

    from histogan_tf.data.given_images import loading_config
    from histogan_tf.data.loading import load_with_parts

    if path is not None:
        if "data_path" in flags:
            raise UserError(f"path={path!r} and data_path={flags['data_path']!r} are both given: leave one out")
        if not isinstance(path, (str, os.PathLike)):
            raise UserError(
                f"path={path!r} is of the type {type(path).__name__}: give the dataset's folder as text or Path"
            )
        flags = {"dataset": _folder_name(path), **flags, "data_path": path}
    return load_with_parts(loading_config(flags))


def train(
    images: ImageSet | np.ndarray,
    *,
    model: str | None = None,
    synthetic: Mapping[int | str, np.ndarray] | ImageSet | str | os.PathLike[str] | None = None,
    labels: Sequence[int] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    **flags: Any,
) -> TrainedRun:
    """Trains a GAN or a classifier, or continues where its run stopped, and returns the run.

    It does what --mode=train does, and makes the same run directory: from images that `load_images` returned, the
    trained weights are the same bytes as by the command line with the same flags. (A warning tells where they are not,
    since TensorFlow has begun with other threads than a CycleGAN takes.) Of labelled images, a GAN sees the training
    part only, unless `part` says otherwise. A classifier (resnet18) learns from the training part and is measured on
    the validation part; where images of one label were loaded, it loads the whole dataset.

    A run that is finished is returned as it is; a larger `epoch` continues it. On an interrupt (Ctrl-C, or the stop
    button of a notebook) it saves a checkpoint after the step at hand and raises KeyboardInterrupt; the same call
    continues from there. In a thread other than the main one, no interrupt arrives.

    Args:
        images: what `load_images` returned, or uint8 (n, height, width, channels) in [0, 255] with 1 or 3 channels.
        model: as in --model; dcgan3 if None.
        synthetic: images for a classifier's training set beside the real ones (`train_on` is "both" if left out): uint8
            arrays by label (number or class name), a labelled ImageSet, or a folder as in --synthetic_dir.
        labels: whole numbers (n,) from 0 on of images in an array; None if they have none.
        class_names: the names of labels 0, 1, …; their numbers if None. Of two, label 1 is the positive class, unless
            positive_class names the other.
        **flags: flags of training by name, such as epoch=50, run="my-run", batch_size=32, label="idc", train_size=200.
            For an array, dataset="cells" gives the set a name; it is "images" if left out.

    Returns:
        The run: its losses, and `sample`, `translate` or `predict`, whichever its model can do.

    Raises:
        UserError: if a flag or an image is wrong, a run of the same name has other settings, or a loss is not finite.
        KeyboardInterrupt: on an interrupt, when the checkpoint is saved.
    """
    from histogan_tf.data.given_images import as_image_set

    image_set = as_image_set(images, labels, class_names, name=flags.get("dataset") or "images")
    _import_tensorflow()
    from histogan_tf.trained.trained_run import find_run
    from histogan_tf.training.jobs import train_given_images
    from histogan_tf.training.loop import Interrupted

    try:
        directory = train_given_images(image_set, {"model": model, **flags}, synthetic)
    except Interrupted as stop:
        raise (KeyboardInterrupt if stop.exit_code == 130 else SystemExit(stop.exit_code)) from None
    return find_run(directory)


def load_run(
    run: str | os.PathLike[str], checkpoint: str = "last", checkpoint_dir: str | os.PathLike[str] = "checkpoints"
) -> TrainedRun:
    """Opens a run that was trained before, here or by the command line.

    Args:
        run: the run directory, or the run's name below `checkpoint_dir`; or pretrained:NAME, one that comes with the
            program.
        checkpoint: "last", or "best" of a DCGAN that was trained with --eval_freq.
        checkpoint_dir: the folder in which a name is looked for.

    Returns:
        The run: its settings and losses, and `sample`, `translate` or `predict`, whichever its model can do. The
        network is restored when it is first needed.

    Raises:
        UserError: if there is no such run.
    """
    _import_tensorflow()
    from histogan_tf.trained.trained_run import find_run

    return find_run(run, checkpoint, checkpoint_dir)


def evaluate(
    images: ImageSet | np.ndarray,
    patches: ImageSet | np.ndarray,
    *,
    labels: Sequence[int] | np.ndarray | None = None,
    **flags: Any,
) -> dict[str, Any]:
    """Measures synthetic patches against real images, as --mode=evaluate does, and writes nothing.

    Args:
        images: real images, of labelled ones the training part, unless `part` says otherwise: what `load_images`
            returned, or uint8 (n, height, width, channels) in [0, 255]; at least 12.
        patches: synthetic images, an ImageSet or an array of the same shape as the real ones; at least 6.
        labels: the label that each patch of an array was made for, whole numbers (n,), numbered as those of `images`;
            None if they have none. An ImageSet has its own.
        **flags: flags by name: features, backbone, feature_layer, center_crop, weights, classifier_size, seed; label,
            part, train_size, clusters and cluster choose among the images; output_dir names a folder for the whole
            report, its sheets included.

    Returns:
        For each metric by name, the columns "synthetic" (the patches), "floor" (other real images) and "ceiling"
        (noise; for checkerboards, real images whose pixels are repeated); each is a dict of `value` and either
        `deviation` over draws or bounds `low` and `high` of a 95 % interval. They are the "metrics" of synthesis.json.
        If the patches have labels, and no `label` chooses among the images, "class_truth" is GAN-test and GAN-train as
        class_truth.json has them: whether patches belong to their label. For these, the dataset is loaded again, to
        split it by patient. They are left out, with a warning, where they cannot be measured.

    Raises:
        UserError: if a flag is wrong, there are too few images, or their shapes differ.
    """
    from histogan_tf.data.given_images import as_image_set

    real = as_image_set(images)
    class_names = real.class_names if labels is not None and real.labels is not None else None
    synthetic = as_image_set(patches, labels, class_names, name="synthetic", what="patches")
    _import_tensorflow()
    from histogan_tf.synthesis.evaluation import evaluate_given_images

    return evaluate_given_images(real, synthetic, flags)


def _folder_name(path: str | os.PathLike[str]) -> str:
    import os

    return os.path.basename(os.path.abspath(os.path.expanduser(path)))


def _import_tensorflow() -> None:
    """Starts TensorFlow and Keras, which takes seconds at first, without the lines that their C++ code prints then."""
    import sys

    from histogan_tf.machine.keras_settings import start_keras

    if "tensorflow" in sys.modules:
        start_keras()
        return
    from histogan_tf.machine.console import quiet_tensorflow

    with quiet_tensorflow():
        start_keras()
        import tensorflow  # noqa: F401
