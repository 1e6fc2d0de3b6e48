import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.data.decoding import UnusableImageError
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import ArraySource, LazyImages
from histogan_tf.data.pipeline import batches, steps_per_epoch, to_float, to_uint8, two_domain_batches
from histogan_tf.errors import UserError


def make_set(num_images: int, labelled: bool = True) -> ImageSet:
    """Image i is 2x1 pixels, which hold i % 256 and i // 256; its label is i."""
    numbers = np.arange(num_images)
    return ImageSet(
        images=np.stack([numbers % 256, numbers // 256], axis=-1).astype(np.uint8).reshape(-1, 2, 1, 1),
        labels=numbers.astype(np.int32) if labelled else None,
        ids=numbers.astype(str),
        groups=None,
        name="set",
    )


def steps_and_indices(num_images, batch_size, seed, start_step, stop_step):
    dataset = batches(
        make_set(num_images), batch_size=batch_size, seed=seed, start_step=start_step, stop_step=stop_step
    )
    steps, indices = [], []
    for step, images, labels in dataset.as_numpy_iterator():
        pixels = images.reshape(batch_size, 2).astype(int)
        np.testing.assert_array_equal(pixels[:, 0] + 256 * pixels[:, 1], labels)
        steps.append(int(step))
        indices.append(labels.tolist())
    return steps, indices


class TestRange:
    def test_ends_and_middle(self):
        values = to_float(tf.constant([0, 51, 127, 128, 255], tf.uint8))
        assert values.dtype == tf.float32
        np.testing.assert_allclose(values, [-1, -0.6, -1 / 255, 1 / 255, 1], atol=1e-7)

    @pytest.mark.parametrize("wrap", [lambda function: function, tf.function])
    def test_every_level_comes_back(self, wrap):
        levels = tf.cast(tf.range(256), tf.uint8)
        np.testing.assert_array_equal(wrap(lambda images: to_uint8(to_float(images)))(levels), levels)

    def test_rounds_to_the_nearest_then_clips(self):
        values = np.array([-9, -1, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 1 - 0.51 / 127.5, 1, 1.01, 9], np.float32)
        assert to_uint8(values).numpy().tolist() == [0, 0, 0, 1, 254, 255, 255, 255]
        assert to_uint8(values).dtype == tf.uint8

    def test_bfloat16(self):
        assert to_uint8(tf.constant([-1.0, 0.5, 1.0], tf.bfloat16)).numpy().tolist() == [0, 191, 255]


class TestStepsPerEpoch:
    def test_partial_batches_are_dropped(self):
        assert [steps_per_epoch(num_images, 20) for num_images in (20, 39, 40)] == [1, 1, 2]

    def test_fewer_images_than_a_batch(self):
        with pytest.raises(UserError, match="19 images cannot fill a batch of 20: .*--batch_size=19"):
            steps_per_epoch(19, 20)
        with pytest.raises(UserError, match="19 images cannot fill a batch of 20"):
            batches(make_set(19), batch_size=20, seed=0, start_step=0, stop_step=1)


class TestBatches:
    def test_element_spec(self):
        dataset = batches(make_set(10), batch_size=4, seed=0, start_step=0, stop_step=2)
        assert dataset.element_spec == (
            tf.TensorSpec((), tf.int64),
            tf.TensorSpec((4, 2, 1, 1), tf.uint8),
            tf.TensorSpec((4,), tf.int32),
        )

    def test_an_epoch_is_a_permutation(self):
        for num_images in (1, 2, 3, 17, 255, 256, 257, 1000):
            steps, indices = steps_and_indices(num_images, 1, seed=3, start_step=0, stop_step=2 * num_images)
            assert steps == list(range(2 * num_images))
            for epoch in (indices[:num_images], indices[num_images:]):
                assert sorted(index for (index,) in epoch) == list(range(num_images))

    def test_no_image_twice_in_an_epoch_with_a_partial_batch(self):
        _, indices = steps_and_indices(23, 5, seed=0, start_step=0, stop_step=8)
        for epoch in (indices[:4], indices[4:]):
            assert len(set(sum(epoch, []))) == 20

    def test_left_out_images_change_from_epoch_to_epoch(self):
        _, indices = steps_and_indices(23, 5, seed=0, start_step=0, stop_step=40)
        assert set(sum(indices, [])) == set(range(23))

    def test_parts_are_the_whole_batches(self):
        whole = list(batches(make_set(23), 6, seed=9, start_step=2, stop_step=5).as_numpy_iterator())
        parts = [list(batches(make_set(23), 6, 9, 2, 5, part, num_parts=3).as_numpy_iterator()) for part in range(3)]
        for number, (step, images, labels) in enumerate(whole):
            assert [part[number][0] for part in parts] == [step] * 3
            np.testing.assert_array_equal(np.concatenate([part[number][1] for part in parts]), images)
            np.testing.assert_array_equal(np.concatenate([part[number][2] for part in parts]), labels)

    def test_resuming_anywhere_gives_the_same_batches(self):
        _, whole = steps_and_indices(23, 5, seed=9, start_step=0, stop_step=12)
        for start in range(12):
            steps, rest = steps_and_indices(23, 5, seed=9, start_step=start, stop_step=12)
            assert steps == list(range(start, 12)) and rest == whole[start:]

    def test_nothing_to_do(self):
        for start, stop in ((0, 0), (4, 4), (7, 4)):
            assert steps_and_indices(23, 5, seed=0, start_step=start, stop_step=stop) == ([], [])

    def test_order_depends_on_seed_and_epoch(self):
        orders = set()
        for seed in (0, 1):
            _, indices = steps_and_indices(20, 20, seed=seed, start_step=0, stop_step=1000)
            orders.update(map(tuple, indices))
        assert len(orders) == 2000  # of 20! = 2.4e18

    def test_every_image_comes_at_every_position(self):
        # 2,000 epochs of 5 images: a count is binomial(2000, 1/5), mean 400, standard deviation 17.9.
        _, indices = steps_and_indices(5, 5, seed=1, start_step=0, stop_step=2000)
        counts = np.array([np.bincount(column, minlength=5) for column in np.transpose(indices)])
        assert np.abs(counts - 400).max() < 4.5 * 17.9

    def test_unlabelled_sets_have_label_0(self):
        dataset = batches(make_set(6, labelled=False), batch_size=3, seed=0, start_step=0, stop_step=2)
        assert [labels.tolist() for _, _, labels in dataset.as_numpy_iterator()] == [[0, 0, 0]] * 2


class TestLazyImages:
    """Images that are read when they are wanted come in the batches of those in memory."""

    @pytest.fixture
    def lazy_set(self, tmp_path):
        image_set = make_set(23)
        np.save(tmp_path / "X.npy", image_set.images)
        source = ArraySource(np.load(tmp_path / "X.npy", mmap_mode="r"), refuse_number_7)
        return dataclasses.replace(image_set, images=LazyImages(source))

    def test_same_batches_after_a_resume_too(self, lazy_set):
        whole = list(batches(make_set(23), 5, seed=9, start_step=0, stop_step=12).as_numpy_iterator())
        for start in (0, 3, 4, 11):
            found = list(batches(lazy_set, 5, seed=9, start_step=start, stop_step=12).as_numpy_iterator())
            assert len(found) == 12 - start
            for (step, images, labels), (expected_step, expected, numbers) in zip(found, whole[start:], strict=True):
                readable = np.where(numbers == 7, 8, numbers)  # the next one stands in for it, label and all
                assert step == expected_step and labels.tolist() == readable.tolist()
                np.testing.assert_array_equal(images[:, 0, 0, 0], readable)
                np.testing.assert_array_equal(images[numbers != 7], expected[numbers != 7])

    def test_element_spec(self, lazy_set):
        in_memory = batches(make_set(23), 4, seed=0, start_step=0, stop_step=2)
        assert batches(lazy_set, 4, seed=0, start_step=0, stop_step=2).element_spec == in_memory.element_spec


def refuse_number_7(image: np.ndarray) -> np.ndarray:
    if image[0, 0, 0] == 7:
        raise UnusableImageError("number 7")
    return image


class TestTwoDomainBatches:
    def draw(self, num_a, num_b, batch_size, start_step, stop_step, seed=3):
        sets = (make_set(num_a), make_set(num_b))
        dataset = two_domain_batches(*sets, batch_size, seed, start_step, stop_step)
        steps, images_a, images_b = zip(*dataset.as_numpy_iterator(), strict=True)
        indices = [np.array(images).reshape(-1, batch_size, 2)[:, :, 0].tolist() for images in (images_a, images_b)]
        return list(map(int, steps)), *indices

    def test_each_domain_runs_through_its_own_epochs(self):
        steps, indices_a, indices_b = self.draw(7, 4, 1, 0, 28)
        assert steps == list(range(28))
        for indices, num_images in ((indices_a, 7), (indices_b, 4)):
            for start in range(0, 28, num_images):
                assert sorted(sum(indices[start : start + num_images], [])) == list(range(num_images))

    def test_each_domain_is_drawn_as_if_it_were_alone(self):
        _, indices_a, _ = self.draw(23, 9, 5, 0, 12)
        assert indices_a == steps_and_indices(23, 5, 3, 0, 12)[1]
        _, _, indices_b = self.draw(9, 23, 5, 0, 12)
        assert indices_b == steps_and_indices(23, 5, 3 + 2**31, 0, 12)[1]

    def test_images_do_not_go_in_pairs(self):
        # Of 100 pairs of images drawn independently from 10, 10 are expected to be equal, and 30 have a chance of 1e-8.
        _, indices_a, indices_b = self.draw(10, 10, 1, 0, 100)
        assert sum(a == b for a, b in zip(indices_a, indices_b, strict=True)) < 30

    def test_resuming_anywhere_gives_the_same_batches(self):
        whole = self.draw(7, 5, 2, 0, 11)
        for start in range(1, 11):
            assert self.draw(7, 5, 2, start, 11) == tuple(column[start:] for column in whole)

    def test_a_domain_smaller_than_a_batch(self):
        for sizes in ((19, 30), (30, 19)):
            with pytest.raises(UserError, match="19 images cannot fill a batch of 20"):
                two_domain_batches(*map(make_set, sizes), 20, 0, 0, 1)
