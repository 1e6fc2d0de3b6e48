"""The networks, optimizers and training step of the projected GAN.

Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021: the discriminators see features of a frozen pretrained
network. The features of the generated images are computed once in a step. The discriminators' update takes them as they
are; the generator's update passes its gradient through them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.data.pipeline import to_float
from histogan_tf.machine import replicas, workers
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.modes import ModeOfFeatures, pool
from histogan_tf.models.precision import dtype_policy
from histogan_tf.models.projected_discriminators import build_projected_discriminators
from histogan_tf.models.projected_generator import build_projected_generator
from histogan_tf.models.projector import FeatureProjector, feature_shapes
from histogan_tf.runs.checkpoints import Restorable
from histogan_tf.training.generator_trainer import GeneratorTrainer, restorable_generator
from histogan_tf.training.loop import StepResult

_BETA_2 = 0.99  # of Adam's second moment, as in the authors' code
_FEATURE_BATCH = 64
_AUGMENTED_VIEWS = 4096  # of all images together, by which the shares of another run's modes are told


def projected_generator(
    config: Config, image_shape: tuple[int, int, int], num_classes: int, proportions: np.ndarray | None = None
) -> keras.Model:
    """Returns the generator that `config` describes, for training and for sampling.

    Args:
        config: the resolved flags.
        image_shape: the (height, width, channels) of the images.
        num_classes: the number of labels of a conditional network; 0 for a network without labels.
        proportions: the shares of the modes for training; a trained network restores them.
    """
    return build_projected_generator(
        image_shape,
        z_dim=config.z_dim,
        gf_dim=config.gf_dim,
        max_gf_dim=config.max_gf_dim,
        num_classes=num_classes,
        num_modes=config.num_modes,
        proportions=proportions,
        z_dist=config.z_dist,
        is_turned="dihedral" in config.diffaugment,
        is_shifted=bool({"translation", "reflected_translation"} & set(config.diffaugment)),
        sync_batch_norm=config.sync_batch_norm,
        precision=dtype_policy(config.precision),
        cpu_kernels=config.cpu_kernels,
        seed=config.seed,
    )


class ProjectedTrainer(GeneratorTrainer):
    """The networks, the optimizers and the step of a projected GAN, conditional or not.

    Args:
        config: the resolved flags.
        images: training images, uint8 (n, height, width, channels), by which the modes are found.
        labels: their labels, int32 (n,); only read if the networks are conditional.
        num_classes: the number of classes of the dataset.

    Raises:
        UserError: if the pretrained network's weights cannot be loaded, or the images are too small.
    """

    def __init__(self, config: Config, images: np.ndarray, labels: np.ndarray | None, num_classes: int) -> None:
        image_shape, num_classes = images.shape[1:], num_classes if config.conditional else 0
        self._images, self._labels = images, labels if num_classes else None
        self.projector = FeatureProjector(
            image_shape,
            feature_size=config.feature_size,
            stages=config.feature_stages,
            weights=config.weights,
            backbone=config.backbone,
            precision=dtype_policy(config.precision),
            cpu_kernels=config.cpu_kernels,
        )
        shapes = self.projector.feature_shapes
        self.mode_of_features, proportions = None, None
        if config.num_modes > 1:
            self.mode_of_features = _empty_modes(config, shapes, num_classes)
            pooled = self._pooled_features(lambda images, step: images)
            self.mode_of_features.find(pooled, self._labels, config.seed)
            for weight in self.mode_of_features.weights:
                weight.assign(workers.of_the_chief(weight.numpy()))
            proportions = workers.of_the_chief(self.mode_of_features.proportions(pooled, self._labels))
        build = functools.partial(projected_generator, config, image_shape, num_classes, proportions)
        discriminator = _discriminator(config, shapes, num_classes)
        super().__init__(
            config,
            num_classes,
            build,
            discriminator,
            _BETA_2,
            averages_statistics=True,
            refused_by_xla=("MaxPoolGrad",),  # of the projector's backbone
        )

    def state(self) -> dict[str, tf.__internal__.tracking.Trackable]:
        """Returns the objects that a checkpoint must hold, by name.

        The frozen network is among them, so that a run goes on with the features with which it began.
        """
        modes = {"mode_of_features": self.mode_of_features} if self.mode_of_features else {}
        # In a Checkpoint, because a layer would be one of the networks that another run can start from.
        return super().state() | {"projector": tf.train.Checkpoint(network=self.projector)} | modes

    def after_start(self) -> None:
        """Gives the modes of the run that this one started from the shares that they have in these images.

        The shares are those of augmented images, since the step takes the modes of these. Modes without a share are
        removed: an image that was taken for one of them would be paired with a generated image of another mode, since z
        has no place for it.
        """
        if self.mode_of_features:
            num_views = max(1, _AUGMENTED_VIEWS // len(self._images))
            augmented = functools.partial(self._as_seen, purpose=Purpose.REAL_AUGMENTATION)
            pooled = self._pooled_features(augmented, num_views)
            labels = None if self._labels is None else np.tile(self._labels, num_views)
            proportions = workers.of_the_chief(self.mode_of_features.proportions(pooled, labels))
            self.mode_of_features.leave_out(proportions == 0)
            for generator in {id(network): network for network in (self.generator, self.sampled_generator)}.values():
                generator.get_layer("mode").set_proportions(proportions)

    def _pooled_features(self, seen: Callable[..., tf.Tensor], num_views: int = 1) -> np.ndarray:
        """Returns the features of all images `num_views` times, pooled over all positions, float32 (n, channels).

        Args:
            seen: a function of a batch of images in [-1, 1], and of a number `step`, which returns the images that the
                projector is shown. The number is another one for each batch and view.
            num_views: how often all images are passed through the projector.
        """

        @functools.partial(tf.function, reduce_retracing=True)
        def pooled(batch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            return pool(self.projector(seen(to_float(batch), step=number)))

        starts = [*range(0, len(self._images), _FEATURE_BATCH)] * num_views
        batches = (self._images[start : start + _FEATURE_BATCH] for start in starts)
        return np.concatenate([pooled(batch, tf.constant(n, tf.int64)) for n, batch in enumerate(batches)])

    @replicas.on_all_replicas
    def train_step(self, step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """Makes one update of the discriminators, then --generator_updates generator updates, all with the same z.

        Args:
            step: int64 scalar, the number of steps made before.
            images: uint8 (batch, height, width, channels), this replica's share of the batch.
            labels: int32 (batch,); only read if the networks are conditional.
        """
        latents = self._draw_latents(step, images.shape[0])
        real_features = self.projector(self._as_seen(to_float(images), Purpose.REAL_AUGMENTATION, step))
        conditions = labels
        if self.mode_of_features:
            # Each generated image has the mode of a real one, so that both halves of a batch are of the same modes.
            conditions = self.mode_of_features(pool(real_features), labels)
            latents = self.generator.get_layer("mode").moved_to(conditions, latents)
        tapes, fake_images, fake_features = self._generate_features(step, 0, latents, labels)
        step_losses, histograms = self._update_discriminators(step, real_features, fake_features, conditions)
        step_losses |= self._update_generator(tapes, real_features, fake_images, fake_features, conditions)
        for update in range(1, self._config.generator_updates):
            tapes, fake_images, fake_features = self._generate_features(step, update, latents, labels)
            step_losses |= self._update_generator(tapes, real_features, fake_images, fake_features, conditions)
        self._average(step, latents, labels)
        return StepResult(step_losses, histograms | {"z": latents})

    def _generate_features(
        self, step: tf.Tensor, update: int, latents: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tuple[tf.GradientTape, tf.GradientTape], tf.Tensor, list[tf.Tensor]]:
        """Returns the tapes of the generator and of the projector, the generated images, and their features."""
        with tf.GradientTape() as generator_tape:
            fake_images = self._generate(latents, labels)
        with tf.GradientTape(watch_accessed_variables=False) as projector_tape:
            projector_tape.watch(fake_images)
            seen_images = self._as_seen(fake_images, Purpose.FAKE_AUGMENTATION, step, part=update)
            fake_features = self.projector(seen_images)
        return (generator_tape, projector_tape), fake_images, fake_features

    def _update_discriminators(
        self, step: tf.Tensor, real_features: list[tf.Tensor], fake_features: list[tf.Tensor], conditions: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        # Without batch norm, real and fake features can go through the discriminators as one batch.
        both = [tf.concat(pair, axis=0) for pair in zip(real_features, fake_features, strict=True)]
        with tf.GradientTape() as tape:
            logits = self._discriminate(both, tf.concat([conditions, conditions], axis=0))
            real_logits, fake_logits = zip(*(tf.split(of_scale, 2) for of_scale in logits), strict=True)
            terms = [
                self._adversarial_loss.discriminator_terms(real, fake, self._config.label_smoothing)
                for real, fake in zip(real_logits, fake_logits, strict=True)
            ]
            mean_terms = {name: _mean([of_scale[name] for of_scale in terms]) for name in terms[0]}
            loss = self.d_optimizer.scale_loss(replicas.share_of_loss(mean_terms["d_loss"]))
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, variables), variables)
        real_logits, fake_logits = (tf.concat(of_scales, axis=1) for of_scales in (real_logits, fake_logits))
        mean_terms |= self._augmentation.adapt(step, real_logits)
        return mean_terms, {"D(x)": tf.sigmoid(real_logits), "D(G(z))": tf.sigmoid(fake_logits)}

    def _update_generator(
        self,
        tapes: tuple[tf.GradientTape, tf.GradientTape],
        real_features: list[tf.Tensor],
        fake_images: tf.Tensor,
        fake_features: list[tf.Tensor],
        conditions: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        generator_tape, projector_tape = tapes
        real_logits = [None] * len(fake_features)
        if self._adversarial_loss.generator_sees_real:
            real_logits = self._discriminate(real_features, conditions)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(fake_features)
            fake_logits = self._discriminate(fake_features, conditions)
            pairs = zip(real_logits, fake_logits, strict=True)
            g_loss = _mean([self._adversarial_loss.generator(real, fake) for real, fake in pairs])
            loss = self.g_optimizer.scale_loss(replicas.share_of_loss(g_loss))
        feature_gradients = tape.gradient(loss, fake_features)
        image_gradient = projector_tape.gradient(fake_features, fake_images, output_gradients=feature_gradients)
        variables = self.generator.trainable_variables
        gradients = generator_tape.gradient(fake_images, variables, output_gradients=image_gradient)
        self.g_optimizer.apply(gradients, variables)
        return {"g_loss": g_loss}

    def _discriminate(self, features: list[tf.Tensor], conditions: tf.Tensor) -> list[tf.Tensor]:
        """Returns the logits of each scale, float32 (batch, patches)."""
        inputs = dict(zip(self.discriminator.input, [*features, conditions], strict=False))
        return list(self.discriminator(inputs, training=True).values())

    def _as_seen(self, images: tf.Tensor, purpose: Purpose, step: tf.Tensor, part: int = 0) -> tf.Tensor:
        """Returns augmented images; each pass has its own draws (Zhao et al. 2020, section 3.2)."""
        return self._augmentation(images, stateless_seed(self._config.seed, purpose, step, part))


def projected_networks(config: Config, dataset: Mapping[str, Any], **_: Any) -> list[Restorable]:
    """Returns the generator that a run samples from, ready to be restored from a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `jobs.dataset_record`.
    """
    return restorable_generator(config, dataset, projected_generator)


def projected_discriminators(config: Config, dataset: Mapping[str, Any]) -> dict[str, keras.Layer]:
    """Returns the networks of a run that only training needs, by the names that they have in a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `jobs.dataset_record`.
    """
    num_classes = len(dataset["class_names"]) if config.conditional else 0
    shapes = feature_shapes(tuple(dataset["image_shape"]), config.feature_size, config.feature_stages, config.backbone)
    networks: dict[str, keras.Layer] = {"discriminator": _discriminator(config, shapes, num_classes)}
    if config.num_modes > 1:
        networks["mode_of_features"] = _empty_modes(config, shapes, num_classes)
    return networks


def _discriminator(config: Config, shapes: Sequence[tuple[int, int, int]], num_classes: int) -> keras.Model:
    return build_projected_discriminators(
        shapes,
        df_dim=config.df_dim,
        num_conditions=max(1, num_classes) * config.num_modes,
        precision=dtype_policy(config.precision),
        cpu_kernels=config.cpu_kernels,
        seed=config.seed,
    )


def _empty_modes(config: Config, shapes: Sequence[tuple[int, int, int]], num_classes: int) -> ModeOfFeatures:
    return ModeOfFeatures(sum(channels for *_, channels in shapes), max(1, num_classes), config.num_modes)


def _mean(values: list[tf.Tensor]) -> tf.Tensor:
    """Returns the mean of scalars, added up in their order."""
    return tf.reduce_mean(tf.stack(values))
