"""Defines the workloads: the work that is measured, and the contenders that do it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from histogan_tf.cli import command_line
from histogan_tf.config import Config
from histogan_tf.machine.cores import num_usable_cores

OURS = "ours"

GROWING_SIZES = (1_000, 10_000, 100_000)
PAPER_EPOCHS = 25
CLASSIFIER_BATCH = 64  # equals histogan_tf.models.inference.INFERENCE_BATCH, whose import would load TensorFlow

# PyTorch loops as the authors' code writes them; that of CycleGAN freezes the discriminators in the generators' update.
_EAGER = {"DCGAN": {}, "CycleGAN": {"frozen_discriminator": True}, "Projected": {}}
_TUNED = {"fused_adam": True, "shared": True, "frozen_discriminator": True}
# CycleGAN is not channels-last: at batch 1, on a CPU, torch 2.13's instance norm takes a channels-last gradient for a
# contiguous one and returns wrong gradients.
_CHANNELS_LAST = {**_TUNED, "channels_last": True}
_TUNINGS = {"DCGAN": _CHANNELS_LAST, "CycleGAN": _TUNED, "Projected": _CHANNELS_LAST}


@dataclasses.dataclass(frozen=True)
class Contender:
    """A program that does the work.

    Attributes:
        name: its name in the table.
        precision: `float32` or `bfloat16`; `uint8` for input.
        factory: `module:class` in benchmarks.contenders.
        arguments: the arguments of the class.
        amount: units of work in one of its calls.
        needs: a package that it needs and that may be missing; None if there is none.
        is_whole: whether one call is a whole block, because a call takes long and the check has warmed it up.
    """

    name: str
    precision: str
    factory: str
    arguments: Mapping[str, Any]
    amount: float = 1.0
    needs: str | None = None
    is_whole: bool = False

    @property
    def title(self) -> str:
        """The name and the precision."""
        return f"{self.name}, {self.precision}"


@dataclasses.dataclass(frozen=True)
class Workload:
    """One piece of work and its contenders.

    Attributes:
        name: its name in --workloads.
        title: what the work is, in words.
        unit: the unit of work, such as `step`.
        contenders: the contenders, ours first.
        leader: name of the contender that the others are compared with.
        is_checked: whether all must do the same work, which is checked before they are timed.
    """

    name: str
    title: str
    unit: str
    contenders: Sequence[Contender]
    leader: str = OURS
    is_checked: bool = True


def dcgan(model: str, precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of a DCGAN's training step on 50x50 patches."""
    flags = [f"--model={model}"]
    flags += ["--gf_dim=4", "--df_dim=4", "--batch_size=4", "--z_dim=5"] if is_tiny else []
    shape = (20, 20, 3) if is_tiny else (50, 50, 3)
    config = _config(flags)
    title = f"{model.upper()}, batch {config.batch_size} at {shape[0]}x{shape[1]}, gf_dim {config.gf_dim}"
    contenders = _trained(flags, shape, precisions, "DCGAN")
    original = {"config": _config(flags), "image_shape": shape}
    if "float32" in precisions:
        contenders.append(Contender("original's order", "float32", "original:OriginalDCGAN", original))
    return Workload(model, title, "step", contenders)


def cyclegan(batch_size: int, precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of CycleGAN's training step on 50x50 patches."""
    flags = ["--model=cyclegan", f"--batch_size={batch_size}"]
    flags += ["--gf_dim=4", "--df_dim=4", "--num_blocks=1"] if is_tiny else ["--num_blocks=6"]  # as published
    shape = (34, 34, 3) if is_tiny else (50, 50, 3)
    title = f"CycleGAN, batch {batch_size} at {shape[0]}x{shape[1]}"
    contenders = _trained(flags, shape, precisions, "CycleGAN")
    return Workload(f"cyclegan_b{batch_size}", title, "step", contenders)


def tissue(precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of the step of a projected GAN, the generator of tissue, on 50x50 patches."""
    flags = ["--model=projected", "--weights=random"]
    flags += ["--gf_dim=4", "--max_gf_dim=4", "--df_dim=4", "--batch_size=4", "--feature_size=48"] if is_tiny else []
    flags += ["--num_modes=2"] if is_tiny else []
    shape = (20, 20, 3) if is_tiny else (50, 50, 3)
    contenders = []
    for precision in precisions:
        config = _config([*flags, f"--precision={precision}"])
        contenders.append(Contender(OURS, precision, "ours:OurProjected", {"config": config, "image_shape": shape}))
        contenders += _torchs(config, shape, "Projected", "torch_projected")
        plain = {"config": dataclasses.replace(config, cpu_kernels=False), "image_shape": shape}
        contenders.append(Contender("ours of plain Keras layers", precision, "ours:OurProjected", plain))
    title = (
        f"Projected GAN, batch {config.batch_size} at {shape[0]}x{shape[1]}, features of {config.feature_size} pixels"
    )
    return Workload("tissue", title, "step", contenders)


def growing(
    name: str, title: str, factory: str, arguments: Mapping[str, Any], precisions: Sequence[str], is_tiny: bool
) -> Workload:
    """Returns the workload of a command on sets of 1,000, 10,000 and 100,000 patches; the precision does not matter.

    The smallest set leads: how many times as fast a patch is there than in a larger set should be 1.
    """
    sizes = (24, 48) if is_tiny else GROWING_SIZES
    contenders = [
        Contender(
            f"{size:,} patches", "float32", f"growing:{factory}", {"num_images": size, **arguments}, size, is_whole=True
        )
        for size in sizes
    ]
    return Workload(name, title, "image", contenders, leader=contenders[0].name, is_checked=False)


def evaluate(precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of measuring synthetic patches against as many real ones; the precision does not matter."""
    flags = ["--mode=evaluate", "--features=random"] + (["--classifier_size=32"] if is_tiny else [])
    arguments = {"flags": flags, "measures_synthetic": True}
    workload = growing("evaluate", "", "CommandOnFiles", arguments, precisions, is_tiny)
    title = "--mode=evaluate --features=random of 50x50 patches in files, against as many real ones"
    return dataclasses.replace(workload, title=title, contenders=workload.contenders[:2])


def _trained(
    flags: Sequence[str], shape: tuple[int, int, int], precisions: Sequence[str], kind: str
) -> list[Contender]:
    """Returns the contenders for a training step: ours, PyTorch and Keras, each in every precision."""
    contenders = []
    for precision in precisions:
        arguments = {"config": _config([*flags, f"--precision={precision}"]), "image_shape": shape}
        contenders.append(Contender(OURS, precision, f"ours:Our{kind}", arguments))
        contenders += _torchs(arguments["config"], shape, kind, "torch_loop")
        for name, is_eager in (("Keras, train_step", False), ("Keras, eager tape", True)):
            factory = f"keras_loop:Keras{kind}"
            contenders.append(Contender(name, precision, factory, {**arguments, "is_eager": is_eager}))
    return contenders


def _torchs(config: Config, shape: tuple[int, int, int], kind: str, module: str) -> list[Contender]:
    """Returns PyTorch's contenders for a training step, in the precision of the configuration."""
    tunings = {
        "PyTorch, eager": _EAGER[kind],
        "PyTorch, compiled": {**_EAGER[kind], "compiled": True},
        "PyTorch, tuned": _TUNINGS[kind],
    }
    arguments = {"config": config, "image_shape": shape}
    return [
        Contender(name, config.precision, f"{module}:Torch{kind}", {**arguments, "tuning": tuning}, needs="torch")
        for name, tuning in tunings.items()
    ]


def frozen_features(precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of training a classifier's head for the paper's 25 epochs of 3,716 patches.

    The usual loop is timed on single batches, and its time is scaled to the whole training.
    """
    num_images, size = (130, 32) if is_tiny else (3716, 96)
    contenders = []
    for precision in precisions:
        arguments = {"num_images": num_images, "size": size, "precision": precision}
        config = _config(["--model=resnet18", f"--precision={precision}"])
        as_configured = {**arguments, "cpu_kernels": config.cpu_kernels}
        ours = Contender(OURS, precision, "frozen_features:FeaturesOnce", as_configured, is_whole=True)
        share = CLASSIFIER_BATCH / (PAPER_EPOCHS * num_images)
        loop = Contender("backbone in each epoch", precision, "frozen_features:EveryEpoch", arguments, share)
        contenders += [ours, loop]
    title = f"Frozen ResNet-18, {num_images:,} patches at {size}x{size}, {PAPER_EPOCHS} epochs"
    return Workload("frozen_features", title, "training", contenders)


def sift(precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of clustering patches; the precision does not matter to it."""
    num_images, num_cores = 120 if is_tiny else 1200, num_usable_cores()
    kinds = [
        (OURS, "sift:ParallelClustering", {"num_workers": num_cores}),
        ("ours on one core", "sift:ParallelClustering", {"num_workers": 1}),
        ("OpenCV on one core", "sift:PlainClustering", {}),
    ]
    contenders = [
        Contender(name, "float32", factory, {"num_images": num_images, **arguments}, num_images, is_whole=True)
        for name, factory, arguments in kinds
    ]
    title = f"SIFT and visual words, {num_images:,} patches of 50x50 enlarged twice, {num_cores} cores"
    return Workload("sift", title, "image", contenders)


def input_pipeline(precisions: Sequence[str], is_tiny: bool) -> Workload:
    """Returns the workload of reading batches from PNG files, beside the images that DCGAN1's step consumes."""
    step = dcgan("dcgan1", precisions, is_tiny).contenders
    batch_size = step[0].arguments["config"].batch_size
    arguments = {"num_images": 64 if is_tiny else 2000, "batch_size": batch_size}
    reader = Contender("input", "uint8", "input_pipeline:FilesRead", arguments, batch_size)
    eaters = [
        dataclasses.replace(contender, name="DCGAN1's step", amount=batch_size)
        for contender in step
        if contender.name == OURS
    ]
    title = "Input from 50x50 PNG files, read batch by batch, beside what a step consumes"
    return Workload("input", title, "image", [reader, *eaters], leader=reader.name, is_checked=False)


def _config(flags: Sequence[str]) -> Config:
    return command_line.parse(["main.py", *flags])


_OF_FILES = "{} of 50x50 patches in files"

WORKLOADS: Mapping[str, Callable[[Sequence[str], bool], Workload]] = {
    "dcgan1": functools.partial(dcgan, "dcgan1"),
    "dcgan3": functools.partial(dcgan, "dcgan3"),
    "cyclegan_b1": functools.partial(cyclegan, 1),
    "cyclegan_b8": functools.partial(cyclegan, 8),
    "frozen_features": frozen_features,
    "sift": sift,
    "input": input_pipeline,
    "tissue": tissue,
    "describe": functools.partial(
        growing, "describe", _OF_FILES.format("--mode=describe"), "CommandOnFiles", {"flags": ["--mode=describe"]}
    ),
    "cluster": functools.partial(
        growing, "cluster", _OF_FILES.format("--mode=cluster"), "CommandOnFiles", {"flags": ["--mode=cluster"]}
    ),
    "features": functools.partial(
        growing, "features", _OF_FILES.format("Features of ResNet-18 at 96 pixels"), "FeaturesOfFiles", {"size": 96}
    ),
    "evaluate": evaluate,
}
# These take hours in all, and are measured only if --workloads names them.
LONG_WORKLOADS = ("describe", "cluster", "features", "evaluate")
