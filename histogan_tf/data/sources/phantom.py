"""Makes the phantom, the built-in dataset: procedural H&E patches in two classes, drawn from a seed."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.sources.phantom_tissue import IDC, NON_IDC, draw_tissue
from histogan_tf.errors import UserError, counted

logger = logging.getLogger("histogan_tf")

NUM_PATIENTS = 12
PHANTOM_SIZE = 50
MIN_PHANTOM_SIZE = 16

# Optical density in red, green and blue of one unit of hematoxylin and of eosin (Ruifrok & Johnston, Anal. Quant.
# Cytol. Histol. 23:291, 2001).
STAIN_VECTORS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]], np.float32)

# Share of each band of light (column: red, green, blue) in what a scanner's channel (row) records, since its filters
# overlap. Fitted to real patches of the IDC set: without it eosin is magenta, with it the pink of collagen.
CROSSTALK = np.array([[1.0, 0.0, 0.0], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6]], np.float32)

# First number of each seed, so that a patient and an image never draw the same random numbers.
_PATIENT_STREAM, _IMAGE_STREAM = 1, 2


@dataclasses.dataclass(frozen=True)
class _Patient:
    """The staining and scanning that all patches of one patient share."""

    stain_vectors: np.ndarray  # (2, 3), as STAIN_VECTORS
    stain_strength: np.ndarray  # (2,), factors of the concentrations
    white: np.ndarray  # (3,), grey levels of bare glass
    sharpening: float  # share of the unsharp mask that the scanner adds
    noise: float  # standard deviation of the noise, in grey levels


def _patient(seed: int, number: int) -> _Patient:
    rng = np.random.default_rng((_PATIENT_STREAM, seed, number))
    return _Patient(
        stain_vectors=np.maximum(STAIN_VECTORS + 0.03 * rng.standard_normal((2, 3), np.float32), 0.01),
        stain_strength=1 + 0.08 * rng.standard_normal(2, np.float32),
        white=243 + rng.standard_normal(3, np.float32),
        sharpening=rng.uniform(0.1, 0.6),
        noise=rng.uniform(0.5, 1.2),
    )


def beer_lambert(concentrations: np.ndarray, stain_vectors: np.ndarray) -> np.ndarray:
    """Returns the share of the light that passes the tissue, (…, 3) in (0, 1]: exp(-concentrations @ stain_vectors).

    Args:
        concentrations: (…, num_stains), the amount of each stain, at least 0.
        stain_vectors: (num_stains, 3), natural optical density in red, green and blue of one unit of each stain.
    """
    return np.exp(-(concentrations @ stain_vectors))


def _scan(rng: np.random.Generator, concentrations: np.ndarray, patient: _Patient) -> np.ndarray:
    """Returns the scanner's image of stained tissue: uint8 (size, size, 3)."""
    import cv2

    light = beer_lambert(concentrations * patient.stain_strength, patient.stain_vectors) @ CROSSTALK.T
    light += patient.sharpening * (light - cv2.GaussianBlur(light, (3, 3), 0.8))
    # Uniform noise is several times as fast as normal noise, and so weak a noise looks the same after rounding.
    noise = (rng.random(light.shape, np.float32) - 0.5) * (12**0.5 * patient.noise)
    return np.clip(np.rint(np.minimum(light, 1) * patient.white + noise), 0, 255).astype(np.uint8)


def make_phantom(num_images: int = 1212, size: int = PHANTOM_SIZE, seed: int = 42) -> ImageSet:
    """Returns procedural H&E patches of twelve patients: first the non-IDC half (label 0), then the IDC half (label 1).

    They replace real patches to try the program, to test it, and to compare settings. IDC has crowds of larger nuclei
    and small tubules in compact stroma; non-IDC has loose stroma, fat, and a few ducts. The classes overlap: logistic
    regression on the mean colour is right on 0.82 of the held-out images (on 909 real patches of two patients: 0.79),
    measured by

        colour = phantom.images.mean(axis=(1, 2))
        parts = train_test_split(colour, phantom.labels, test_size=0.33, random_state=42)
        LogisticRegression(max_iter=1000).fit(parts[0], parts[2]).score(parts[1], parts[3])

    An image depends only on the seed, its index, its label and its patient, not on the other images; a patient depends
    only on the seed and the patient's number. One core makes about 1,300 patches of 50x50 in a second.

    Args:
        num_images: the number of images, at least 2. If it is odd, IDC gets the extra one. From 24 on, every patient
            has both classes.
        size: the side of an image in pixels, at least 16. A larger patch shows more tissue at the same scale.
        seed: the seed of all random draws, at least 0.

    Raises:
        UserError: if a number is below its minimum.
    """
    if num_images < 2 or size < MIN_PHANTOM_SIZE or seed < 0:
        raise UserError(
            f"the phantom data set cannot have {counted(num_images, 'image')} of {size}x{size} pixels from seed "
            f"{seed}: give at least 2 images, a size of at least {MIN_PHANTOM_SIZE}, and a seed of at least 0"
        )
    labels = (np.arange(num_images) >= num_images // 2).astype(np.int32)
    patients = [_patient(seed, number) for number in range(NUM_PATIENTS)]
    images = np.empty((num_images, size, size, 3), np.uint8)
    for index, label in enumerate(labels.tolist()):
        rng = np.random.default_rng((_IMAGE_STREAM, seed, index, label))
        tissue = draw_tissue(rng, size, IDC if label else NON_IDC)
        images[index] = _scan(rng, tissue, patients[index % NUM_PATIENTS])
    return ImageSet(
        images=images,
        labels=labels,
        ids=np.array([f"phantom-{index:05d}" for index in range(num_images)]),
        groups=np.array([f"patient-{index % NUM_PATIENTS:02d}" for index in range(num_images)]),
        name="phantom",
        class_names=("non-idc", "idc"),
    )


def load_phantom(
    *, name: str, phantom_images: int, crop: bool, output_height: int | None, output_width: int | None
) -> ImageSet:
    """Returns the phantom that the flags ask for. Its seed is fixed, whatever --seed says.

    Args:
        name: the name of the set.
        phantom_images: the value of --phantom_images.
        crop: the value of --crop, which must be off.
        output_height: the value of --output_height, the side of an image in pixels; 50 if None.
        output_width: the value of --output_width, which must be None or equal to the height.

    Raises:
        UserError: if a flag is only for images from files, or asks for patches that are not square.
    """
    if crop:
        raise UserError("--crop is for images from files; the phantom is drawn at --output_height, so leave --crop out")
    size = output_height or PHANTOM_SIZE
    if output_width not in (None, size):
        raise UserError(
            f"the phantom is square, not {size}x{output_width}: leave --output_width out, or name a --dataset"
        )
    logger.info("%s: built-in patches; for real ones give --dataset=idc (or a name) and --data_path", name)
    return dataclasses.replace(make_phantom(phantom_images, size), name=name)
