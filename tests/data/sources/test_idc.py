import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from histogan_tf.data.decoding import UnusableImageError
from histogan_tf.data.sources.idc import load_idc, pad_to_patch
from histogan_tf.errors import UserError


def load(root, strict=False, prepare=lambda image: image, edge_patches="pad"):
    return load_idc(str(root), name="idc", prepare=prepare, edge_patches=edge_patches).in_memory(strict=strict)


@pytest.fixture
def write(tmp_path):
    """Writes a patch of one value."""

    def write_patch(name: str, value: int = 0, size: tuple[int, int] = (50, 50)) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), value, np.uint8)).save(tmp_path / name)

    return write_patch


class TestFiles:
    NAMES = (
        "9347/1/9347_idx5_x1_y1_class1.png",
        "10253/0/10253_idx5_x51_y1_class0.png",
        "10253/1/10253_idx5_x1_y1_class1.png",
        "9347/0/9347_idx5_x1_y51_class0.png",
    )

    def test_patient_folders_ordered_by_label_then_patient(self, tmp_path, write):
        for value, name in enumerate(self.NAMES):
            write(name, value)
        image_set = load(tmp_path)
        assert image_set.ids.tolist() == [self.NAMES[index] for index in (1, 3, 2, 0)]
        assert image_set.images[:, 0, 0, 0].tolist() == [1, 3, 2, 0]
        assert image_set.labels.tolist() == [0, 0, 1, 1] and image_set.labels.dtype == np.int32
        assert image_set.groups.tolist() == ["10253", "9347", "10253", "9347"]
        assert image_set.class_names == ("non-idc", "idc")
        assert image_set.image_shape == (50, 50, 3)

    def test_nested_copy_is_not_counted_twice(self, tmp_path, write):
        names = [*self.NAMES, "patient/1/a.png"]
        for name in names:
            write(name)
            write("IDC_regular_ps50_idx5/" + name)
        assert sorted(load(tmp_path).ids) == sorted(names)

    def test_nested_copy_alone_is_read(self, tmp_path, write):
        for name in self.NAMES:
            write("IDC_regular_ps50_idx5/" + name)
        image_set = load(tmp_path)
        assert len(image_set) == 4 and image_set.groups.tolist() == ["10253", "9347", "10253", "9347"]

    def test_label_folders_take_patients_from_the_file_names(self, tmp_path, write):
        for name in self.NAMES:
            write(name.partition("/")[2])
        image_set = load(tmp_path)
        assert image_set.labels.tolist() == [0, 0, 1, 1]
        assert image_set.groups.tolist() == ["10253", "9347", "10253", "9347"]

    def test_label_folders_with_other_names_have_no_patients(self, tmp_path, write):
        write("0/a b.png", 5)
        write("1/ü.png", 6)
        image_set = load(tmp_path)
        assert image_set.groups is None and image_set.labels.tolist() == [0, 1]
        assert image_set.ids.tolist() == ["0/a b.png", "1/ü.png"]

    @pytest.mark.parametrize("with_patients", [True, False])
    def test_folders_of_a_split_are_its_parts_and_no_patients(self, tmp_path, write, with_patients):
        for part, name in zip(("training", "validation", "testing", "training"), self.NAMES, strict=True):
            write(f"{part}/{name if with_patients else name.partition('/')[2]}")
        image_set = load(tmp_path)
        assert image_set.labels.tolist() == [0, 0, 1, 1]
        assert image_set.groups.tolist() == ["10253", "9347", "10253", "9347"]
        assert image_set.parts.tolist() == ["validation", "train", "test", "train"]

    def test_strays_are_named(self, tmp_path, write, caplog):
        write("1/a.png")
        write("2/b.png")
        write("c.png")
        image_set = load(tmp_path)
        assert image_set.ids.tolist() == ["1/a.png"]
        assert image_set.left_out == {"images that are not in a folder 0 or 1": 2}
        assert "ignored 2 images" in caplog.text and "2/b.png" in caplog.text

    def test_no_known_layout(self, tmp_path, write):
        write("benign/a.png")
        with pytest.raises(UserError, match="looks for X.npy and Y.npy, PATIENT/0"):
            load(tmp_path)

    def test_small_patches_are_padded_and_counted(self, tmp_path, write, caplog):
        write("0/a.png", 7, size=(50, 31))
        write("1/b.png", 8)
        image_set = load(tmp_path)
        assert image_set.images.shape == (2, 50, 50, 3) and (image_set.images[0] == 7).all()
        assert "smaller than 50x50, padded by reflection: 1" in caplog.text

    def test_padded_patches_are_counted_once_however_often_they_are_read(self, tmp_path, write, caplog):
        for value in range(3):
            write(f"0/{value}.png", value, size=(50, 31))
        lazy = load_idc(str(tmp_path), name="idc", prepare=lambda image: image)
        assert lazy.images[[2, 2, 0]][:, 0, 0, 0].tolist() == [2, 2, 0]
        lazy.select(np.array([1, 2])).in_memory()
        assert "padded by reflection: 2" in caplog.text

    def test_small_patches_are_left_out_if_asked(self, tmp_path, write, caplog):
        write("0/a.png", 7, size=(50, 31))
        write("1/b.png", 8)
        image_set = load(tmp_path, edge_patches="skip", strict=True)
        assert image_set.ids.tolist() == ["1/b.png"] and image_set.labels.tolist() == [1]
        assert image_set.num_skipped == 1 and "left out 1 of 2 images" in caplog.text
        assert not [record for record in caplog.records if record.levelname == "WARNING"]

    def test_large_patches_are_skipped(self, tmp_path, write):
        write("0/a.png", size=(51, 50))
        write("1/b.png")
        image_set = load(tmp_path)
        assert image_set.ids.tolist() == ["1/b.png"] and image_set.num_skipped == 1
        with pytest.raises(UserError, match=r"'0/a\.png': 51x50 is larger"):
            load(tmp_path, strict=True)


class TestPadToPatch:
    def test_reflects_at_the_right_and_the_bottom(self):
        image = np.random.default_rng(0).integers(0, 256, (48, 30, 3), np.uint8)
        padded = pad_to_patch(image)
        assert padded.shape == (50, 50, 3)
        np.testing.assert_array_equal(padded[:48, :30], image)
        np.testing.assert_array_equal(padded[48:, :30], image[[46, 45]])
        np.testing.assert_array_equal(padded[:48, 30:], image[:, 28:8:-1])

    @pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 2)])
    def test_tiny_patches_too(self, size):
        assert pad_to_patch(np.full((*size, 1), 9, np.uint8)).tolist() == np.full((50, 50, 1), 9).tolist()

    def test_larger_ones_do_not_fit(self):
        with pytest.raises(UnusableImageError, match="50x60 is larger than a patch of this set, 50x50"):
            pad_to_patch(np.zeros((50, 60, 3), np.uint8))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


class TestArrays:
    IMAGES = np.random.default_rng(0).integers(0, 256, (4, 50, 50, 3), np.uint8)
    LABELS = np.array([0, 0, 1, 1])

    @pytest.fixture
    def save(self, tmp_path):
        def save_arrays(images=self.IMAGES, labels=self.LABELS):
            np.save(tmp_path / "X.npy", images)
            np.save(tmp_path / "Y.npy", labels)
            return tmp_path

        return save_arrays

    @pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32, bool])
    def test_in_their_order(self, save, dtype):
        image_set = load(save(labels=self.LABELS.astype(dtype)))
        np.testing.assert_array_equal(image_set.images, self.IMAGES)
        assert image_set.labels.tolist() == [0, 0, 1, 1] and image_set.labels.dtype == np.int32
        assert image_set.ids.tolist() == ["0", "1", "2", "3"] and image_set.groups is None

    def test_images_stay_on_disk(self, save):
        image_set = load_idc(str(save()), name="idc", prepare=lambda image: image[:9])
        assert image_set.is_lazy and image_set.image_shape == (9, 50, 3)
        np.testing.assert_array_equal(image_set.images[[3, 1]], self.IMAGES[[3, 1], :9])

    def test_fortran_order_is_read_at_once(self, save):
        image_set = load_idc(str(save(images=np.asfortranarray(self.IMAGES))), name="idc", prepare=lambda image: image)
        assert not image_set.is_lazy
        np.testing.assert_array_equal(image_set.images, self.IMAGES)

    def test_prepared(self, save):
        image_set = load(save(), prepare=lambda image: image[:20, :30])
        np.testing.assert_array_equal(image_set.images, self.IMAGES[:, :20, :30])

    @pytest.mark.parametrize(
        "images",
        [
            IMAGES.astype(np.float32),
            IMAGES[..., :1],
            IMAGES[:, :49],
            IMAGES[0],
            np.moveaxis(IMAGES, -1, 1),
        ],
    )
    def test_wrong_images(self, save, images):
        with pytest.raises(UserError, match=r"X\.npy .* has to be uint8 \(N, 50, 50, 3\)"):
            load(save(images=images))

    @pytest.mark.parametrize("labels", [LABELS[:3], LABELS[:, np.newaxis], np.array(1)])
    def test_wrong_shape_of_labels(self, save, labels):
        with pytest.raises(UserError, match=r"Y\.npy .* has to be \(4,\)"):
            load(save(labels=labels))

    @pytest.mark.parametrize("labels", [[0, 1, 2, 1], [0, -1, 0, 1], [0, 1, np.nan, 1], [0, 0.5, 1, 1], list("0011")])
    def test_wrong_labels(self, save, labels):
        with pytest.raises(UserError, match="something else than 0"):
            load(save(labels=np.array(labels)))

    def test_empty(self, save):
        with pytest.raises(UserError, match="no patch"):
            load(save(images=self.IMAGES[:0], labels=self.LABELS[:0]))

    def test_missing_labels(self, tmp_path):
        np.save(tmp_path / "X.npy", self.IMAGES)
        with pytest.raises(UserError, match="cannot read Y.npy"):
            load(tmp_path)

    def test_objects_are_never_unpickled(self, save):
        class Explosive:
            def __reduce__(self):
                return (pytest.fail, ("was unpickled",))

        array = np.empty(4, object)
        array[:] = [Explosive()] * 4
        with pytest.raises(UserError, match="cannot read Y.npy"):
            load(save(labels=array))

    def test_truncated(self, save, tmp_path):
        save()
        content = (tmp_path / "X.npy").read_bytes()
        (tmp_path / "X.npy").write_bytes(content[:-1])
        with pytest.raises(UserError, match="cannot read X.npy"):
            load(tmp_path)

    @pytest.mark.filterwarnings("ignore")  # of NumPy, about the damaged header
    @pytest.mark.fuzz
    @given(data=st.data(), file_name=st.sampled_from(["X.npy", "Y.npy"]))
    def test_mutated_bytes_load_or_are_the_users_error(self, tmp_path_factory, data, file_name):
        root = tmp_path_factory.mktemp("mutated")
        contents = {"X.npy": bytearray(npy(self.IMAGES[:1])), "Y.npy": bytearray(npy(self.LABELS[:1]))}
        positions = st.integers(0, 140)  # the header takes 128 bytes
        content = contents[file_name]
        for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
            content[min(position, len(content) - 1)] = value
        if data.draw(st.booleans()):
            del content[data.draw(positions) :]
        for name, mutated in contents.items():
            (root / name).write_bytes(mutated)
        try:
            image_set = load(root)
        except UserError:
            return
        assert image_set.images.shape == (1, 50, 50, 3) and image_set.labels[0] in (0, 1)
