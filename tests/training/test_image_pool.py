import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.training.image_pool import ImagePool

SHAPE = (2, 3, 1)


def numbered_images(start, count):
    """Images that can be told apart: all pixels of image i are i."""
    return np.broadcast_to(np.arange(start, start + count, dtype=np.float32)[:, None, None, None], (count, *SHAPE))


def numbers(images):
    assert np.all(images == images[:, :1, :1, :1])
    return images[:, 0, 0, 0].astype(int).tolist()


class ListPool:
    """The pool as CycleGAN describes it, on a list of image numbers."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.stored = []

    def query(self, new, seed):
        draws = tf.random.stateless_uniform([len(new)], seed, 0, 2 * self.capacity, tf.int64).numpy()
        returned = []
        for number, draw in zip(new, draws, strict=True):
            if len(self.stored) < self.capacity:
                self.stored.append(number)
                returned.append(number)
            elif draw < self.capacity:
                returned.append(self.stored[draw])
                self.stored[draw] = number
            else:
                returned.append(number)
        return returned


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_pool_equals_a_python_list(batch_size):
    pool, oracle = ImagePool(5, SHAPE), ListPool(5)
    for step in range(24):
        images = numbered_images(step * batch_size + 1, batch_size)
        seed = tf.constant([17, step])
        returned = pool.query(tf.constant(images), seed).numpy()
        assert numbers(returned) == oracle.query(numbers(images), seed)
        held = numbers(pool.images.numpy())
        assert held[: pool.count.numpy()] == oracle.stored
        assert held[pool.count.numpy() :] == [0] * (5 - len(oracle.stored))


def test_pool_returns_new_images_while_it_fills():
    pool = ImagePool(4, SHAPE)
    for start in (1, 3):
        images = numbered_images(start, 2)
        np.testing.assert_array_equal(pool.query(tf.constant(images), tf.constant([0, start])), images)
    assert pool.count.numpy() == 4
    np.testing.assert_array_equal(pool.images, numbered_images(1, 4))


def test_half_of_the_images_are_exchanged_and_every_place_is_used():
    pool, count = ImagePool(10, SHAPE), 4000
    pool.query(tf.constant(numbered_images(0, 10)), tf.constant([0, 0]))
    images = numbered_images(10, count)
    returned = np.array(numbers(pool.query(tf.constant(images), tf.constant([0, 1])).numpy()))
    exchanged = returned != np.arange(10, 10 + count)
    assert exchanged.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(count))
    # Nothing is lost or doubled: what was given is either returned or still held.
    assert sorted([*returned, *numbers(pool.images.numpy())]) == list(range(10 + count))
    assert set(range(10)) <= set(returned)


def test_pool_works_inside_a_compiled_step_of_any_batch_size():
    pool, oracle = ImagePool(3, SHAPE), ListPool(3)

    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE)), tf.TensorSpec((), tf.int64)], autograph=False)
    def step(images, number):
        return pool.query(images, tf.stack([5, number]))

    start = 1
    for number, batch_size in enumerate([1, 4, 2, 7, 1]):
        images = numbered_images(start, batch_size)
        returned = step(tf.constant(images), tf.constant(number, tf.int64)).numpy()
        assert numbers(returned) == oracle.query(numbers(images), tf.constant([5, number], tf.int64))
        start += batch_size


def test_pool_works_in_the_replica_of_a_strategy():
    strategy, oracle = tf.distribute.MirroredStrategy(["CPU:0"]), ListPool(3)
    with strategy.scope():
        pool = ImagePool(3, SHAPE)

    @tf.function
    def step(images, seed):
        return strategy.run(pool.query, (images, seed))

    for number in range(4):
        images, seed = numbered_images(1 + 4 * number, 4), tf.constant([9, number])
        assert numbers(step(tf.constant(images), seed).numpy()) == oracle.query(numbers(images), seed)
    assert numbers(pool.images.numpy()) == oracle.stored


def test_no_gradient_flows_through_the_pool():
    pool, images = ImagePool(2, SHAPE), tf.constant(numbered_images(1, 2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(pool.query(images, tf.constant([0, 0])))
    assert tape.gradient(total, images) is None


def test_pool_without_capacity_returns_its_input():
    pool, images = ImagePool(0, SHAPE), numbered_images(1, 3)
    np.testing.assert_array_equal(pool.query(tf.constant(images), tf.constant([0, 0])), images)
    assert pool.count.numpy() == 0 and pool.images.shape == (0, *SHAPE)


@pytest.mark.parametrize("capacity", [0, 4])
def test_restored_pool_goes_on_as_if_never_stopped(tmp_path, capacity):
    def run(pool, steps):
        returned = []
        for step in steps:
            images = tf.random.stateless_uniform((3, *SHAPE), [1, step])
            returned.append(pool.query(images, tf.constant([2, step])).numpy().tobytes())
        return returned

    unstopped, stopped, resumed = (ImagePool(capacity, SHAPE) for _ in range(3))
    expected = run(unstopped, range(8))
    first = run(stopped, range(3))
    path = tf.train.Checkpoint(pool=stopped).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(pool=resumed).read(path).assert_consumed()
    assert resumed.count.numpy() == stopped.count.numpy() == capacity
    assert first + run(resumed, range(3, 8)) == expected
    assert resumed.images.numpy().tobytes() == unstopped.images.numpy().tobytes()
