"""Flags of the networks and of their training."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import Table, flag

DIFFAUGMENT_POLICIES = Table("histogan_tf.training.augmentation:POLICIES")
ADVERSARIAL_LOSSES = Table("histogan_tf.training.losses:LOSSES")
MIXED_PRECISION = "mixed"  # becomes another precision once the device is known
PRECISIONS = ("float32", "bfloat16", "float16", MIXED_PRECISION)
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class NetworkFlags:
    """The shape of the GANs."""

    z_dim: int | None = flag(
        None,
        "Dimensions of the latent z; 100, and 128 for projected, if left out.",
        section="network",
        minimum=1,
        maximum=16_384,
    )
    z_dist: str | None = flag(
        None,
        "Distribution of z: U(-1, 1), U(0, 1) or N(0, 1); uniform_signed, and normal01 for projected, if left out.",
        section="network",
        choices=("uniform_signed", "uniform_unsigned", "normal01"),
    )
    gf_dim: int | None = flag(
        None,
        "Channels of the generator's last hidden layer; 64, 16 for dcgan3 and 32 for projected if left out. "
        "--gf_dim=64 gives the paper-wide dcgan3, whose generator costs about 83 times dcgan1's at 50x50 (5 times with "
        "16).",
        section="network",
        minimum=1,
        maximum=4096,
    )
    df_dim: int | None = flag(
        None,
        "Channels of the discriminator's first convolution, 64 if left out; for projected, the most channels of its "
        "discriminators' convolutions, 128 if left out.",
        section="network",
        minimum=1,
        maximum=4096,
    )
    gfc_dim: int = flag(
        1024,
        "Units of the conditional generator's fully connected layer.",
        section="network",
        minimum=1,
        maximum=65_536,
    )
    dfc_dim: int = flag(
        1024,
        "Units of the conditional discriminator's fully connected layer.",
        section="network",
        minimum=1,
        maximum=65_536,
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
        "How generators enlarge their feature maps: by transposed convolutions as published, or by resizing and a "
        "convolution, which leaves no checkerboard.",
        section="network",
        choices=("transposed", "resize"),
    )
    spectral_norm: bool = flag(
        False, "Use spectral instead of batch normalization in the DCGAN's discriminator.", section="network"
    )
    conditional: bool = flag(
        False,
        "Train the original's label-conditioned DCGAN, which makes images of a chosen label; needs a labelled dataset.",
        section="network",
    )


@dataclasses.dataclass(frozen=True)
class TrainingFlags:
    """How networks are trained."""

    epoch: int = flag(
        25,
        "Number of epochs in total, those of an earlier start included. A run that has made them is finished.",
        section="training",
        minimum=1,
        maximum=1_000_000,
        fixed=False,
    )
    max_steps: int | None = flag(
        None,
        "Number of training steps in total after which to stop, whatever --epoch says.",
        section="training",
        minimum=1,
        maximum=1_000_000_000,
        fixed=False,
    )
    batch_size: int | None = flag(
        None,
        "Number of images in a batch, all replicas together; 64, 16 for projected and 1 of each domain for cyclegan, "
        "if left out.",
        section="training",
        minimum=1,
        maximum=65_536,
    )
    init_from: str | None = flag(
        None,
        "Run whose networks this training starts from: a name in --checkpoint_dir, the folder of a run or of one that "
        "--format=safetensors exported, or pretrained:NAME. It must be of the same kind and shape. Optimizers and step "
        "counts start anew; a classifier takes the backbone alone.",
        section="training",
    )
    learning_rate: float | None = flag(
        None,
        "Learning rate of the optimizer Adam; 0.0002, and 0.002 for projected, if left out.",
        section="training",
        minimum=1e-12,
        maximum=1.0,
    )
    discriminator_learning_rate: float | None = flag(
        None,
        "Learning rate of the discriminator; 0.0002 for projected, and --learning_rate for the DCGANs, if left out.",
        section="training",
        minimum=1e-12,
        maximum=1.0,
    )
    beta1: float | None = flag(
        None,
        "Decay rate of Adam's first moment, its momentum; 0.5, and 0 for projected, if left out.",
        section="training",
        minimum=0.0,
        maximum=0.999999,
    )
    generator_updates: int | None = flag(
        None,
        "Number of generator updates after each discriminator update, all with the same z; 2, and 1 for projected, if "
        "left out.",
        section="training",
        minimum=1,
        maximum=16,
    )
    label_smoothing: float | None = flag(
        None,
        "Target of the discriminator for real images; 1 for dcgan1, 0.9 for dcgan2 and dcgan3, if left out.",
        section="training",
        minimum=0.5,
        maximum=1.0,
    )
    instance_noise: float | None = flag(
        None,
        "Standard deviation of the Gaussian noise on every discriminator input, whose range is [-1, 1]; 0 for dcgan1, "
        "0.2 for dcgan2 and dcgan3, if left out.",
        section="training",
        minimum=0.0,
        maximum=10.0,
    )
    adversarial_loss: str | None = flag(
        None,
        "Loss by which discriminator and generator play; as published, cross_entropy for the DCGANs, least_squares for "
        "cyclegan and hinge for projected, if left out.",
        section="training",
        choices=ADVERSARIAL_LOSSES,
    )
    ema_decay: float | None = flag(
        None,
        "Decay, in one step, of a moving average of the generator's weights, from which samples are made; it is ramped "
        "up from 0.1. 0 samples from the generator itself. 0 for the DCGANs and 0.995 for projected, if left out.",
        section="training",
        minimum=0.0,
        maximum=0.999999,
    )
    diffaugment: tuple[str, ...] | None = flag(
        None,
        "DiffAugment policies, separated by commas: the random changes to every image, real and fake, before the "
        "discriminator sees it. If left out, none for the DCGANs, dihedral and reflected_translation for projected.",
        section="training",
        choices=DIFFAUGMENT_POLICIES,
    )
    ada_target: float = flag(
        0.0,
        "Target of ADA (published: 0.6). ADA applies each --diffaugment policy to a share of the images. The share "
        "rises while the mean sign of the discriminator's logits for real images is above the target, a mark of "
        "overfitting, and falls while it is below. It lies between 0 and 1, and goes from 0 to 1 in 100,000 images at "
        "the fastest (ada_kimg 100 of StyleGAN2-ADA). 0 applies each policy to all images.",
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
        "Numbers to compute with. Weights, statistics of normalization and losses are always float32. bfloat16 is fast "
        "where the processor or GPU has instructions for it. float16, for older GPUs, is trained with loss scaling. "
        "mixed stands for the one of these that the machine has fast instructions for, or for float32 if it has none; "
        "the run records which.",
        section="training",
        choices=PRECISIONS,
    )
    cpu_kernels: bool = flag(
        True,
        "Build networks from layers that compute the same as Keras's, to within rounding, in less time: on a CPU all "
        "layers, of which the convolutions are measured once to find the fastest way on this processor; on a GPU the "
        "normalizations and the optimizer. If it is off, from plain Keras layers.",
        section="training",
    )
    deterministic: bool = flag(
        True,
        "Use TensorFlow's deterministic operations, so that the same command gives the same bytes on the same kind of "
        "machine, and a run that goes on ends as one that was never stopped. They cost no measurable time on a CPU; on "
        "a GPU, leaving them out may save time.",
        section="training",
        fixed=False,
    )
    jit_compile: bool | None = flag(
        None,
        "Compile the training step by XLA, which fuses its operations. If left out, it is compiled on one GPU, unless "
        "XLA has no deterministic operation for a part of it: --model=projected and --fine_tune=all need "
        "--deterministic=false for that. Never on a CPU or on several devices, if left out. A classifier without "
        "--fine_tune has no step to compile.",
        section="training",
        fixed=False,
    )
    distribution: str = flag(
        "none",
        "Train on several devices: the GPUs of this host (mirrored), or those of several hosts (multi_worker). "
        "For several hosts, start the same command on each, with its own TF_CONFIG in the environment and "
        "--checkpoint_dir on a file system that they share. A run may be continued with another value.",
        section="training",
        choices=DISTRIBUTIONS,
        fixed=False,
    )
    num_replicas: int | None = flag(
        None,
        "Number of GPUs to use with --distribution=mirrored; all if left out. On a host without a GPU, the number of "
        "parts into which its CPU is divided, to try it out; 2 if left out.",
        section="training",
        minimum=1,
        maximum=64,
        fixed=False,
    )
    sync_batch_norm: bool = flag(
        False,
        "Let batch normalization in DCGANs and in projected use the statistics of the whole batch, over all replicas, "
        "so that several replicas learn what one would. If it is off, each replica uses the statistics of its share, "
        "and the moving averages are those of the first replica.",
        section="training",
        fixed=False,
    )
