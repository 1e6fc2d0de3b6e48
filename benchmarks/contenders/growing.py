"""Commands of the program on sets of growing size, each in a process of its own: the cost of an image must not grow.

The images are phantoms of 50x50 pixels in PNG files, made a thousand at a time, so that the memory of the process is
that of the command.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from histogan_tf.classifier.features import FeatureCache
from histogan_tf.cli import command_line, commands
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.machine import device
from histogan_tf.models.precision import dtype_policy
from histogan_tf.models.resnet import build_classifier
from histogan_tf.reporting.pictures import save_png

_IMAGES_AT_ONCE = 1000
_SYNTHETIC_SEED = 10**6  # beyond the seeds of the real images


class CommandOnFiles:
    """Carries out a command on the files of a folder; a call is a whole command.

    Attributes:
        folder: the folder of the images and of the results, which is gone when the contender is.

    Args:
        num_images: the number of images.
        flags: the command, such as `--mode=describe`, without the folders.
        measures_synthetic: whether it compares the images with as many synthetic ones.
    """

    def __init__(self, num_images: int, flags: Sequence[str], measures_synthetic: bool = False) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = root = Path(self._temporary.name)
        write_phantoms(root / "real", num_images, 0)
        self._flags = ["main.py", "--dataset=growing", f"--data_path={root / 'real'}", "--part=all", *flags]
        if "--mode=describe" in flags:
            self._flags.remove("--part=all")
        if measures_synthetic:
            write_phantoms(root / "synthetic", num_images, _SYNTHETIC_SEED)
            self._flags.append(f"--synthetic_dir={root / 'synthetic'}")
        self._num_calls = 0

    def run(self, count: int) -> None:
        """Carries out the command `count` times, each with a folder of its own for the results."""
        for _ in range(count):
            self._num_calls += 1
            output = self.folder / f"output-{self._num_calls}"
            commands.run_command(command_line.parse([*self._flags, f"--output_dir={output}"]))

    def flops(self) -> None:
        """Returns None: the operations are not counted."""


class FeaturesOfFiles:
    """Computes a classifier's features of the files of a folder; a call reads and describes all of them.

    Attributes:
        folder: the folder of the images and of the features, which is gone when the contender is.

    Args:
        num_images: the number of images.
        size: side, in pixels, that the classifier resizes images to.
    """

    def __init__(self, num_images: int, size: int) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = root = Path(self._temporary.name)
        write_phantoms(root / "real", num_images, 0)
        self._config = command_line.parse(
            ["main.py", "--dataset=growing", f"--data_path={root / 'real'}", "--part=all"]
        )
        device.prepare(self._config)
        self._cache = root / "features"
        options = {"precision": dtype_policy(self._config.precision), "cpu_kernels": self._config.cpu_kernels}
        self._features = build_classifier((50, 50, 3), size=size, weights="random", seed=0, **options).features

    def run(self, count: int) -> None:
        """Reads the images and computes their features `count` times, each with an empty cache."""
        for _ in range(count):
            for path in self._cache.glob("*"):
                path.unlink()
            FeatureCache(self._cache, self._features, (), seed=0).views(load_dataset(self._config))

    def flops(self) -> None:
        """Returns None: the operations are not counted."""


def write_phantoms(folder: Path, num_images: int, seed: int) -> None:
    """Writes different phantoms as PNG files, with a sub-folder for each label, 0 and 1.

    Args:
        folder: the folder, which must not exist.
        num_images: the number of images, at least 2.
        seed: the seed of the first thousand; each further thousand has the next one.
    """
    for part, start in enumerate(range(0, num_images, _IMAGES_AT_ONCE)):
        phantom = make_phantom(max(2, min(_IMAGES_AT_ONCE, num_images - start)), seed=seed + part)
        for label in range(phantom.num_classes):
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(phantom.images, phantom.labels, strict=True), start):
            save_png(folder / str(label) / f"{number:06d}.png", image)
