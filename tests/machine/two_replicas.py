"""What tests/test_replicas.py asks of two replicas on this host's CPU.

A process of its own, for logical devices can be made only before TensorFlow starts. Every trainer is made twice, alone
and on two replicas, with SGD: Adam would hide a gradient of the wrong scale. Writes a JSON of largest differences.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.classifier import features
from histogan_tf.classifier.fine_tuning import FineTuner
from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError
from histogan_tf.machine import workers
from histogan_tf.models.resnet import build_classifier
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.projected_step import ProjectedTrainer

OF_ALL = ("--batch_size=8", "--num_blocks=1")
TINY = {
    "--model=projected": (*OF_ALL, "--gf_dim=4", "--df_dim=4", "--z_dim=5"),
    "--model=cyclegan": (*OF_ALL, "--gf_dim=4", "--df_dim=4"),
    "--model=resnet18": OF_ALL,
}
TINY_DCGAN = (*TINY["--model=projected"], "--gfc_dim=8", "--dfc_dim=8")
ALL_OPTIONS = (
    "--generator_updates=1",
    "--ema_decay=0.9",
    "--diffaugment=color,translation,cutout,dihedral",
    "--ada_target=0.6",
    "--r1_gamma=3",
)
PROJECTED = (
    "--model=projected",
    "--conditional",
    "--weights=random",
    "--feature_size=32",
    "--num_modes=2",
    "--ada_target=0.6",
    "--ema_decay=0.9",
)
SHAPE = (32, 32, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (16, *SHAPE), np.uint8)
LABELS = np.arange(16, dtype=np.int32) % 2


def config_of(*flags: str) -> Config:
    tiny = next((TINY[flag] for flag in flags if flag in TINY), TINY_DCGAN)
    return command_line.parse(["main.py", *tiny, *flags])


def largest_difference(ones, others) -> float:
    return max(float(np.max(np.abs(one.numpy() - other.numpy()))) for one, other in zip(ones, others, strict=True))


def variables_of(trainer) -> list:
    """Weights, spectral norm's vectors, moving statistics, averages, pools."""
    networks = [*trainer.networks, *([trainer.sampled_generator] if hasattr(trainer, "sampled_generator") else [])]
    pools = [trainer.pool_A, trainer.pool_B] if hasattr(trainer, "pool_A") else []
    of_pools = [variable for pool in pools for variable in (pool.images, pool.count)]
    return [variable for network in networks for variable in network.variables] + of_pools


def compared(make, num_steps: int, *batch: np.ndarray, flags: tuple[str, ...], more: tuple[str, ...] = ()) -> dict:
    """How far a trainer on two replicas is from one alone: in its variables after the first step, in losses after all.

    Each further step multiplies the rounding of the one before it, by a hundred where an activation changes its sign.
    """
    one = make(config_of(*flags))
    config = config_of(*flags, "--distribution=mirrored", *more)
    with workers.scope(config):
        two = make(config)
    found = {"losses": 0.0}
    for step in range(num_steps):
        arguments = [tf.constant(step, tf.int64), *map(tf.constant, batch)]
        losses = one.train_step(*arguments).losses
        with workers.scope(config):
            losses_of_two = two.train_step(*arguments).losses
        differences = [abs(float(losses[name]) - float(losses_of_two[name])) for name in losses]
        found["losses"] = max(found["losses"], *differences)
        if step == 0:
            found["variables"] = largest_difference(variables_of(one), variables_of(two))
    return found


def dcgan(config: Config) -> DCGANTrainer:
    trainer = DCGANTrainer(config, SHAPE, 2)
    trainer.g_optimizer, trainer.d_optimizer = keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.02)
    return trainer


def projected(config: Config) -> ProjectedTrainer:
    trainer = ProjectedTrainer(config, IMAGES, LABELS, 2)
    trainer.g_optimizer, trainer.d_optimizer = keras.optimizers.SGD(0.02), keras.optimizers.SGD(0.02)
    return trainer


def cyclegan(config: Config) -> CycleGANTrainer:
    trainer = CycleGANTrainer(config, SHAPE, 5, (IMAGES[:1], IMAGES[1:2]))
    trainer._g_optimizer, trainer._d_optimizer = keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01)
    return trainer


def copies_of_adam() -> tuple[float, float]:
    """How far the replicas' copies of weights and of Adam's moments are from each other, and weights from the start."""
    flags = ("--model=dcgan2", "--generator_updates=1", "--learning_rate=0.01")
    config = config_of(*flags, "--distribution=mirrored", "--sync_batch_norm")
    with workers.scope(config):
        trainer = DCGANTrainer(config, SHAPE, 2)
        weights = [*trainer.generator.trainable_variables, *trainer.discriminator.trainable_variables]
        start = [weight.numpy() for weight in weights]
        for step in range(2):
            trainer.train_step(tf.constant(step, tf.int64), tf.constant(IMAGES[:8]), tf.constant(LABELS[:8]))
    variables = [*weights, *trainer.g_optimizer.variables, *trainer.d_optimizer.variables]
    apart = largest_difference(*zip(*(variable.value.values for variable in variables), strict=True))
    changes = [np.max(np.abs(weight.numpy() - before)) for weight, before in zip(weights, start, strict=True)]
    return apart, float(min(changes))


def fine_tuned(config: Config) -> list:
    classifier = build_classifier(SHAPE, size=32, weights="random", seed=1)
    images = ImageSet(IMAGES, LABELS, np.arange(16).astype(str), None, "noise", ("0", "1"))
    tuner = FineTuner(config, classifier, images, images)
    tuner._optimizer = keras.optimizers.SGD(0.01)
    loss = tuner._train_epoch(0)
    return [tf.constant(loss), *classifier.trainable_variables("last_stage")]


def fine_tuning() -> float:
    flags = ("--model=resnet18", "--fine_tune=last_stage", "--perturbations=flips,noise", "--views=1")
    one = fine_tuned(config_of(*flags))
    config = config_of(*flags, "--distribution=mirrored")
    with workers.scope(config):
        two = fine_tuned(config)
    return largest_difference(one, two)


def frozen_features(folder: Path) -> float:
    """Seven batches, the last one smaller: four turns of two replicas."""
    features.BATCH = 16
    images = np.random.default_rng(1).integers(0, 256, (100, *SHAPE), np.uint8)
    image_set = ImageSet(images, None, np.arange(100).astype(str), None, "noise")

    def views(name: str) -> np.ndarray:
        initializer = keras.initializers.GlorotUniform(seed=1)
        inputs = keras.Input(SHAPE, dtype="uint8")
        hidden = keras.layers.Conv2D(5, 3, strides=4, kernel_initializer=initializer)(keras.ops.cast(inputs, "float32"))
        network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(hidden))
        return features.FeatureCache(folder / name, network, (), 1).views(image_set, ("rotation", "noise"), 1)

    one = views("one")
    with workers.scope(config_of("--distribution=mirrored")):
        two = views("two")
    assert one.shape == (2, 100, 5), one.shape
    return float(np.max(np.abs(one - two)))


def run_command(*flags: str) -> str:
    try:
        commands.run_command(command_line.parse(["main.py", *flags]))
    except UserError as error:
        return str(error)
    return ""


def main(folder: Path, *flags: str) -> None:
    """Flags: of a run that is begun on two replicas."""
    workers.start(config_of("--distribution=mirrored"))
    sync, batch = ("--sync_batch_norm",), (IMAGES[:8], LABELS[:8])
    found = {
        "dcgan_options": compared(dcgan, 4, *batch, flags=("--model=dcgan2", *ALL_OPTIONS), more=sync),
        "dcgan_spectral": compared(
            dcgan,
            3,
            *batch,
            flags=("--model=dcgan1", "--conditional", "--spectral_norm", "--adversarial_loss=hinge"),
            more=sync,
        ),
        "dcgan_unsynchronized": compared(dcgan, 1, *batch, flags=("--model=dcgan2", "--generator_updates=1")),
        "projected": compared(projected, 2, *batch, flags=PROJECTED, more=sync),
        "cyclegan": compared(cyclegan, 2, IMAGES[:4], IMAGES[4:8], flags=("--model=cyclegan", "--pool_size=3")),
        "copies_of_adam": copies_of_adam(),
        "fine_tuning": fine_tuning(),
        "features": frozen_features(folder),
        "begun": run_command(*flags, "--distribution=mirrored", "--sync_batch_norm"),
        "indivisible": run_command(*flags, "--distribution=mirrored", "--batch_size=7"),
    }
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
