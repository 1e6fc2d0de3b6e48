import os
import time

import numpy as np
import pytest
from PIL import Image

from histogan_tf.data.decoding import UnwantedImageError
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import ArraySource, FileSource, LazyImages
from histogan_tf.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Writes 2x3 images of one grey level, numbered, and gives them back as lazy ones."""

    def write_images(levels, shapes=None, prepare=lambda image: image) -> LazyImages:
        names = [f"{number:02d}.png" for number in range(len(levels))]
        for number, (name, level) in enumerate(zip(names, levels, strict=True)):
            shape = shapes[number] if shapes else (2, 3)
            if level is None:
                (tmp_path / name).write_bytes(b"junk")
            else:
                Image.fromarray(np.full(shape, level % 256, np.uint8)).save(tmp_path / name)
        return LazyImages(FileSource(str(tmp_path), names, prepare))

    return write_images


def levels(images: np.ndarray) -> list[int]:
    return images[:, 0, 0, 0].tolist()


class TestAsAnArray:
    def test_shape_and_type(self, write):
        images = write(range(7))
        assert images.shape == (7, 2, 3, 1) and len(images) == 7 and images.ndim == 4 and images.dtype == np.uint8
        assert images.nbytes == 42

    @pytest.mark.parametrize(
        "key",
        [0, -1, np.int64(3), slice(None), slice(5, 1, -2), [4, 4, 0], np.array([6, -1]), np.arange(7) > 4, slice(0, 0)],
    )
    def test_indexing_gives_what_an_array_gives(self, write, key):
        array = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
        found = write(range(7))[key]
        np.testing.assert_array_equal(found, array[key])
        assert found.dtype == np.uint8

    def test_as_numpy_array(self, write):
        images = write(range(3))
        assert levels(np.concatenate([images, images[:1]])) == [0, 1, 2, 0]

    def test_out_of_range(self, write):
        with pytest.raises(IndexError):
            write(range(3))[3]

    def test_more_than_one_task(self, write):
        assert levels(write(range(100))[::-1]) == list(range(100))[::-1]

    def test_prepared(self, write):
        assert write([9, 8], prepare=lambda image: image[:1, :1] + 1)[:].tolist() == [[[[10]]], [[[9]]]]

    def test_decoded_as_they_lie_there(self, write):
        images = write([9, 8], prepare=lambda image: image[:1, :1]).select(np.array([1]))
        np.testing.assert_array_equal(images.decode(0), np.full((2, 3, 1), 8))

    def test_grey_among_rgb_becomes_rgb(self, write):
        images = write([5, 6], shapes=[(2, 3), (2, 3, 3)])
        np.testing.assert_array_equal(images[:], np.repeat([5, 6], 18).reshape(2, 2, 3, 3))

    def test_selections_of_selections(self, write):
        some = write(range(10)).select(np.array([8, 3, 5, 1])).select(np.array([2, 0]))
        assert levels(some[:]) == [5, 8]

    def test_nothing_is_decoded_before_it_is_asked_for(self, write):
        read = []
        images = write(range(200), prepare=lambda image: read.append(1) or image)
        images.select(np.arange(100))
        assert not read
        assert images.shape and len(read) == 64  # enough to tell the size


class TestUnusable:
    def test_the_next_one_stands_in(self, write, caplog):
        images = write([0, None, None, 3, None])
        for _ in range(2):
            found, taken = images.take(np.array([4, 1, 3, 2]))
            assert levels(found) == [0, 3, 3, 3] and taken.tolist() == [0, 3, 3, 3]
        named = [record.args[0] for record in caplog.records if record.levelname == "WARNING"]
        assert sorted(named) == ["01.png", "02.png", "04.png"]  # once each

    def test_the_next_one_of_the_selection(self, write):
        _, taken = write([0, None, 2, 3]).select(np.array([1, 3])).take(np.array([0]))
        assert taken.tolist() == [1]

    def test_other_sizes_and_colours(self, write, caplog):
        shapes = [(2, 3)] * 200
        shapes[1], shapes[2] = (3, 2), (2, 3, 3)  # not among the 64 that tell the size
        found, taken = write([7] * 200, shapes).take(np.array([0, 1, 2, 3]))
        assert taken.tolist() == [0, 3, 3, 3] and found.shape == (4, 2, 3, 1)
        assert "it is 3x2, the others 2x3" in caplog.text and "it has colours" in caplog.text

    def test_sizes_that_differ_among_the_first_looked_at(self, write):
        with pytest.raises(UserError, match=r"'00\.png' is 2x3, '01\.png' 4x3; resize all with --output_height"):
            _ = write([1, 2], shapes=[(2, 3), (4, 3)]).shape

    def test_none_is_usable(self, write):
        with pytest.raises(UserError, match=r"none of 3 images tried, of 3, can be used; the last, '02\.png': not"):
            _ = write([None] * 3).shape

    def test_all_files_vanish(self, write, tmp_path):
        images = write([1, 2])
        assert images.shape
        for name in ("00.png", "01.png"):
            os.remove(tmp_path / name)
        with pytest.raises(UserError, match=r"no image can be used any more; the last tried, '00\.png': No such file"):
            images.take(np.array([1]))

    def test_check_names_the_first(self, write):
        write([1, 2]).check()
        with pytest.raises(UserError, match=r"cannot use '01\.png'"):
            write([1, None, None]).check()

    def test_unwanted_ones_are_not_named(self, write, caplog):
        def refuse_five(image):
            if image[0, 0, 0] == 5:
                raise UnwantedImageError("five")
            return image

        images = write([5, 6], prepare=refuse_five)
        assert levels(images[:]) == [6, 6]
        images.check()
        assert not caplog.records


class TestInMemory:
    def test_drops_what_cannot_be_used(self, write):
        array, kept = write([0, None, 2, 3]).select(np.array([3, 1, 0])).in_memory(strict=False)
        assert levels(array) == [3, 0] and kept.tolist() == [0, 2]

    def test_a_set_keeps_its_columns_in_step(self, write):
        lazy = ImageSet(
            write([0, None, 2]), np.array([0, 1, 2], np.int32), np.array(list("abc")), None, "set", tuple("xyz")
        )
        image_set = lazy.in_memory()
        assert not image_set.is_lazy and image_set.in_memory() is image_set
        assert image_set.labels.tolist() == [0, 2] and image_set.ids.tolist() == ["a", "c"]
        assert image_set.num_skipped == 1 and levels(image_set.images) == [0, 2]


class TestFingerprint:
    def test_is_that_of_the_same_set_and_survives_copying(self, write, tmp_path):
        fingerprint = write(range(300)).fingerprint()
        time.sleep(0.01)  # other dates
        assert write(range(300)).fingerprint() == fingerprint

    @pytest.mark.parametrize(
        "change",
        [
            lambda images: images.select(np.arange(299)),
            lambda images: images.select(np.arange(300)[::-1]),
            lambda images: LazyImages(FileSource(images.source._root, images.source.names, lambda image: image[:1])),
            lambda images: LazyImages(FileSource(images.source._root, images.source.names, lambda image: 255 - image)),
        ],
    )
    def test_changes_with_selection_order_and_preparation(self, write, change):
        images = write(range(300))
        assert change(images).fingerprint() != images.fingerprint()

    def test_changes_with_the_size_of_any_file(self, write, tmp_path):
        images = write([7] * 300)
        before = images.fingerprint()
        for number in (1, 2, 3):
            path = tmp_path / f"{number:02d}.png"
            path.write_bytes(path.read_bytes() + b"\0")
            after = images.fingerprint()
            assert after != before
            before = after

    def test_of_a_set_depends_on_its_labels(self, write):
        images = write([1, 2])
        fingerprints = {
            ImageSet(images, np.array(labels, np.int32), np.array(["a", "b"]), None, "set", ("x", "y")).fingerprint()
            for labels in ([0, 1], [1, 0])
        }
        assert len(fingerprints) == 2


class TestArraySource:
    ARRAY = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)

    @pytest.fixture
    def images(self, tmp_path):
        np.save(tmp_path / "X.npy", self.ARRAY)
        return LazyImages(ArraySource(np.load(tmp_path / "X.npy", mmap_mode="r"), lambda image: image))

    def test_rows(self, images):
        np.testing.assert_array_equal(images[:], self.ARRAY)
        np.testing.assert_array_equal(images.select(np.array([4, 2]))[[1, 0]], self.ARRAY[[2, 4]])

    def test_cut_off_afterwards(self, images, tmp_path, caplog):
        assert images.shape == (5, 4, 6, 3)
        os.truncate(tmp_path / "X.npy", os.path.getsize(tmp_path / "X.npy") - 1)
        assert images.take(np.array([4]))[1].tolist() == [0]
        assert "skipped '4': " in caplog.text and "has become shorter" in caplog.text


@pytest.mark.parametrize(
    ("brightest", "words"), [(4095, "only 12 of their 16 bits"), (16383, "only 14"), (40000, None)]
)
def test_16_bit_sets_whose_upper_bits_are_unused_are_told_once(tmp_path, caplog, brightest, words):
    for number in range(3):
        Image.fromarray(np.full((4, 5), brightest - number, np.uint16)).save(tmp_path / f"{number}.png")
    images = LazyImages(FileSource(str(tmp_path), ["0.png", "1.png", "2.png"], lambda image: image))
    assert images.shape == images.select(np.arange(3)).shape == (3, 4, 5, 1)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (words is not None)
    assert words is None or (words in warnings[0] and "multiply their pixels by" in warnings[0])


def test_files_with_several_pages_are_counted_over_the_whole_set_and_told_once(tmp_path, caplog):
    pages = [Image.new("L", (5, 4), level) for level in (3, 9)]
    names = [f"{number:03}.tif" for number in range(150)]
    for number, name in enumerate(names):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:] if number % 3 == 0 else [])
    images = LazyImages(FileSource(str(tmp_path), names, lambda image: image))
    assert images.shape == (150, 4, 5, 1) and not caplog.records  # 64 of them were read
    for _ in range(2):
        assert set(images.in_memory(strict=False)[0].flat) == {3}
        images.check()
    assert [record.getMessage() for record in caplog.records] == [
        f"found 50 files in {str(tmp_path)!r} with several pages or frames, of which only the first is read"
    ]
