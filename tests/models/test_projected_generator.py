"""The generator of the projected GAN: sizes, parameters, and what each input changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.metrics.symmetries import apply_symmetry
from histogan_tf.models.projected_generator import LatentNoise, build_projected_generator, map_sizes


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((50, 50), [(4, 4), (7, 7), (13, 13), (25, 25), (50, 50)]),
        ((16, 40), [(4, 10), (8, 20), (16, 40)]),
        ((8, 8), [(4, 4), (8, 8)]),
        ((256, 256), [(4, 4), (8, 8), (16, 16), (32, 32), (64, 64), (128, 128), (256, 256)]),
    ],
)
def test_maps_double_up_to_the_size_of_the_image(size, sizes):
    assert map_sizes(*size) == sizes


def test_a_margin_makes_maps_larger_and_not_more():
    assert map_sizes(50, 50, margin=7) == [(4, 4), (8, 8), (15, 15), (29, 29), (57, 57)]
    assert map_sizes(16, 40, margin=1) == [(5, 11), (9, 21), (17, 41)]


def test_too_small_images_are_refused():
    with pytest.raises(UserError, match="7x20 pixels are too small for --model=projected: set --output_height"):
        map_sizes(7, 20)


@pytest.mark.parametrize("image_shape", [(50, 50, 3), (33, 57, 1), (8, 16, 3), (256, 256, 3)])
def test_images_have_any_size_and_depth(image_shape):
    generator = build_projected_generator(image_shape, z_dim=6, gf_dim=1, max_gf_dim=2)
    images = generator({"z": np.ones((2, 6), np.float32)})
    assert images.shape == (2, *image_shape) and images.dtype == tf.float32
    assert float(tf.reduce_max(tf.abs(images))) <= 1.0


def test_parameters_of_the_generator():
    generator = build_projected_generator((16, 16, 3), z_dim=5, gf_dim=2, max_gf_dim=6)
    # Maps of 4, 8 and 16 pixels have 6, 4 and 2 channels; twice as many before the gates.
    first = 5 * 4 * 4 * 12 + 4 * 4 * 12 + 4 * 12
    block1 = (9 * 6 * 8 + 8) + (9 * 4 * 8 + 8) + 2 * (4 * 8 + 1)  # two convolutions, normalizations, noise weights
    block2 = (9 * 4 * 4 + 4) + (9 * 2 * 4 + 4) + 2 * (4 * 4 + 1)
    image = 9 * 2 * 3 + 3
    assert generator.count_params() == first + block1 + block2 + image


def test_finer_maps_are_excited_by_coarser_ones():
    names = [weight.path for weight in build_projected_generator((50, 50, 3), gf_dim=1).weights]
    excited = sorted({name.split("/")[0] for name in names if "excite" in name})
    assert excited == ["block3_excite_dense", "block4_excite_dense"]


def test_the_image_depends_on_the_label_and_on_the_mode():
    generator = build_projected_generator((8, 8, 3), z_dim=4, gf_dim=2, num_classes=2, num_modes=3)
    latents = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    latents[0, 0] = 0.0  # the mode in the middle
    image = generator({"z": latents, "label": np.array([0])})
    assert not np.allclose(image, generator({"z": latents, "label": np.array([1])}))
    same_mode, other_mode = latents.copy(), latents.copy()
    same_mode[0, 0], other_mode[0, 0] = 0.2, 2.0
    np.testing.assert_array_equal(generator({"z": same_mode, "label": np.array([0])}), image)
    assert not np.allclose(generator({"z": other_mode, "label": np.array([0])}), image)


def test_z_turns_the_image_and_nothing_else_of_it():
    generator = build_projected_generator((8, 8, 3), z_dim=4, gf_dim=2, num_modes=3, is_turned=True)
    latents = np.repeat(np.random.default_rng(0).normal(size=(1, 4)), 8, axis=0).astype(np.float32)
    mode = generator.get_layer("mode")
    latents[:, 0] = np.sqrt(2) * tf.math.erfinv(2 * (np.arange(8) + 0.5) / 8 - 1)
    latents = mode.moved_to(np.full(8, 1), latents)
    images = np.asarray(generator({"z": latents}))
    for symmetry in range(8):
        np.testing.assert_array_equal(images[symmetry], apply_symmetry(images[:1], symmetry)[0])
        assert symmetry == 0 or not np.allclose(images[symmetry], images[0])


def test_z_chooses_a_part_of_a_larger_image():
    generator = build_projected_generator((12, 14, 3), z_dim=4, gf_dim=2, z_dist="uniform_unsigned", is_shifted=True)
    latents = np.repeat(np.random.default_rng(0).uniform(size=(1, 4)), 4, axis=0).astype(np.float32)
    latents[:, 0] = (np.arange(4) + 0.5) / 4
    images = np.asarray(generator({"z": latents}))
    assert images.shape == (4, 12, 14, 3)
    np.testing.assert_array_equal(images[0][1:], images[1][:-1])  # one pixel further down
    np.testing.assert_array_equal(images[0][:, 1:], images[2][:, :-1])  # one pixel further right
    np.testing.assert_array_equal(images[0][1:, 1:], images[3][:-1, :-1])


def test_noise_is_a_projection_of_z_of_unit_variance():
    layer = LatentNoise((3, 5), seed=7)
    maps, latents = np.zeros((4000, 3, 5, 2), np.float32), np.random.default_rng(0).normal(size=(4000, 40))
    assert np.all(layer(maps, latents.astype(np.float32)) == 0)  # its weight starts at 0
    layer.weight.assign(2.0)
    noise = np.asarray(layer(maps, latents.astype(np.float32)))
    np.testing.assert_array_equal(noise[..., 0], noise[..., 1])
    np.testing.assert_allclose(noise[..., 0].std(axis=0), 2.0, rtol=0.06)
    other_latents = latents.copy()
    other_latents[:, :8] = 0.0  # only the last 32 numbers are used
    np.testing.assert_array_equal(layer(maps, other_latents.astype(np.float32)), noise)
    again = LatentNoise((3, 5), seed=7)
    again.weight.assign(2.0)
    np.testing.assert_array_equal(again(maps[:9], latents[:9].astype(np.float32)), noise[:9])


def test_equal_seeds_make_equal_networks():
    def weights(seed: int) -> list[np.ndarray]:
        return build_projected_generator((8, 8, 3), z_dim=4, gf_dim=2, seed=seed).get_weights()

    for one, same in zip(weights(1), weights(1), strict=True):
        np.testing.assert_array_equal(one, same)
    assert any(not np.array_equal(one, other) for one, other in zip(weights(1), weights(2), strict=True))


def test_a_step_has_no_slow_gradient_of_a_slice_of_maps():
    generator = build_projected_generator(
        (50, 50, 3), z_dim=6, gf_dim=1, max_gf_dim=2, is_turned=True, is_shifted=True, cpu_kernels=True
    )

    @tf.function
    def gradients(z):
        with tf.GradientTape() as tape:
            images = generator({"z": z}, training=True)
        return tape.gradient(images, generator.trainable_variables)

    operations = gradients.get_concrete_function(tf.zeros((2, 6))).graph.get_operations()
    kinds = [
        operation.type for operation in operations if len(operation.outputs) and operation.outputs[0].shape.rank == 4
    ]
    assert "StridedSliceGrad" not in kinds and "Conv2DBackpropFilter" in kinds
