"""Flags of the networks and of their training."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import Table, flag

DIFFAUGMENT_POLICIES = Table("histogan_tf.training.augmentation:POLICIES")
ADVERSARIAL_LOSSES = Table("histogan_tf.training.losses:LOSSES")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class NetworkFlags:
    """The shape of the GANs."""

    z_dim: int = flag(100, "Dimensions of the latent z.", section="network", minimum=1)
    z_dist: str = flag(
        "uniform_signed",
        "Distribution of z: U(-1, 1), U(0, 1) or N(0, 1).",
        section="network",
        choices=("uniform_signed", "uniform_unsigned", "normal01"),
    )
    gf_dim: int | None = flag(
        None,
        "Channels of the generator's last hidden layer; 64, and 16 for dcgan3, if left out. --gf_dim=64 gives the "
        "paper-wide dcgan3, whose generator costs about 83 times dcgan1's at 50x50 (5 times with 16).",
        section="network",
        minimum=1,
    )
    df_dim: int = flag(64, "Channels of the discriminator's first convolution.", section="network", minimum=1)
    gfc_dim: int = flag(
        1024, "Units of the conditional generator's fully connected layer.", section="network", minimum=1
    )
    dfc_dim: int = flag(
        1024, "Units of the conditional discriminator's fully connected layer.", section="network", minimum=1
    )
    strides: tuple[int, ...] | None = flag(
        None,
        "Strides of the DCGAN generator's transposed convolutions, first to last. One number is for all of the "
        "original's four (two if --conditional). Several make as many transposed convolutions, and as many strided "
        "convolutions in the discriminator: 2,2,2,2,2 suits 128x128 images. Channels double from layer to layer, away "
        "from the image. 2 for dcgan1 and dcgan2, 1 for dcgan3, if left out.",
        section="network",
        minimum=1,
        maximum=8,
    )
    kernel_size: tuple[int, ...] = flag(
        (5,),
        "Side, in pixels, of the kernels of the DCGAN generator's transposed convolutions, first to last: one number "
        "for all, or as many as there are strides.",
        section="network",
        minimum=1,
        maximum=15,
    )
    upsampling: str = flag(
        "transposed",
        "Of the generators: transposed convolutions as published, or resize and convolve, the cure for checkerboards.",
        section="network",
        choices=("transposed", "resize"),
    )
    spectral_norm: bool = flag(
        False, "Spectral instead of batch normalization in the DCGAN's discriminator.", section="network"
    )
    conditional: bool = flag(
        False, "The original's label-conditioned network; needs a labelled dataset.", section="network"
    )


@dataclasses.dataclass(frozen=True)
class TrainingFlags:
    """How networks are trained."""

    epoch: int = flag(
        25, "Epochs in total: a run that has made them is finished.", section="training", minimum=1, fixed=False
    )
    max_steps: int | None = flag(
        None, "Stop after so many steps in total, whatever --epoch says.", section="training", minimum=1, fixed=False
    )
    batch_size: int | None = flag(
        None,
        "Images a batch, all replicas together; 64, and 1 of each domain for cyclegan, if left out.",
        section="training",
        minimum=1,
    )
    learning_rate: float = flag(0.0002, "Of Adam.", section="training", minimum=1e-12, maximum=1.0)
    beta1: float = flag(0.5, "Adam's first momentum.", section="training", minimum=0.0, maximum=0.999999)
    generator_updates: int = flag(
        2,
        "Generator updates after each discriminator update, with the same z.",
        section="training",
        minimum=1,
        maximum=16,
    )
    label_smoothing: float | None = flag(
        None,
        "The discriminator's target for real images; 1 for dcgan1, 0.9 for dcgan2 and dcgan3.",
        section="training",
        minimum=0.5,
        maximum=1.0,
    )
    instance_noise: float | None = flag(
        None,
        "Standard deviation of the Gaussian noise on every discriminator input, whose range is [-1, 1]; 0 for dcgan1, "
        "0.2 for dcgan2 and dcgan3.",
        section="training",
        minimum=0.0,
        maximum=10.0,
    )
    adversarial_loss: str | None = flag(
        None,
        "Loss by which discriminator and generator play; as published, cross_entropy for the DCGANs and least_squares "
        "for cyclegan, if left out.",
        section="training",
        choices=ADVERSARIAL_LOSSES,
    )
    ema_decay: float = flag(
        0.0,
        "Sample from a moving average of the DCGAN's generator with this decay a step, ramped up from 0.1; 0 turns it "
        "off.",
        section="training",
        minimum=0.0,
        maximum=0.999999,
    )
    diffaugment: tuple[str, ...] | None = flag(
        None,
        "DiffAugment: how every image is changed at random before the DCGAN's discriminator sees it, separated by "
        "commas. None if left out.",
        section="training",
        choices=DIFFAUGMENT_POLICIES,
    )
    ada_target: float = flag(
        0.0,
        "ADA: apply each --diffaugment policy to a share of the images, which rises while the discriminator tells real "
        "images apart more surely than this (mean sign of its logits; published: 0.6), and falls otherwise; 0 turns it "
        "off, and each policy is applied to all images.",
        section="training",
        minimum=0.0,
        maximum=1.0,
    )
    r1_gamma: float = flag(
        0.0,
        "Weight of the R1 penalty on the DCGAN's discriminator; 0 turns it off.",
        section="training",
        minimum=0.0,
        maximum=1e6,
    )
    precision: str = flag(
        "float32",
        "bfloat16 computes in bfloat16 and keeps weights, batch-norm statistics and losses in float32.",
        section="training",
        choices=("float32", "bfloat16"),
    )
    cpu_kernels: bool = flag(
        True,
        "On a CPU, make the networks of layers that compute the same as Keras's in less time, to within rounding. Off, "
        "and on a GPU always, they are plain Keras layers.",
        section="training",
    )
    distribution: str = flag(
        "none",
        "Train on the GPUs of this host together (mirrored), or of several hosts (multi_worker: the same command on "
        "each, which the environment variable TF_CONFIG tells apart, and --checkpoint_dir on a file system that they "
        "share). A run can change it when it goes on.",
        section="training",
        choices=DISTRIBUTIONS,
        fixed=False,
    )
    num_replicas: int | None = flag(
        None,
        "GPUs of --distribution=mirrored; all if left out. On a host without one, parts of its CPU, to try it on; 2 if "
        "left out.",
        section="training",
        minimum=1,
        fixed=False,
    )
    sync_batch_norm: bool = flag(
        False,
        "Let batch norm in the DCGANs take statistics over all replicas, which then learn together what one learns "
        "from the same batch; else each takes those of its share, and the moving averages are the first replica's.",
        section="training",
        fixed=False,
    )
