import os

import numpy as np
import pytest
from PIL import Image

from histogan_tf.data.sources.folder import list_images, load_folder, sort_class_names
from histogan_tf.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Writes a 2x3 grey image of one value."""

    def write_image(name: str, value: int = 0) -> None:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3), value, np.uint8)).save(path)

    return write_image


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return str(tmp_path / "root")


def load(root, pattern="*", strict=False):
    return load_folder(root, name="set", input_fname_pattern=pattern, prepare=lambda image: image).in_memory(
        strict=strict
    )


class TestListImages:
    def test_recursive_and_sorted_with_every_suffix(self, root, write):
        for name in ("b.PNG", "a/z.jpg", "a/b/c.tiff", "d.jpeg", "e.tif", "f.bmp", "g.webp"):
            write(name)
        assert list_images(root) == ["a/b/c.tiff", "a/z.jpg", "b.PNG", "d.jpeg", "e.tif", "f.bmp", "g.webp"]

    def test_other_and_hidden_files_are_left_out(self, root, write):
        for name in ("a.png", ".b.png", ".c/d.png", "e/.f.png"):
            write(name)
        for name in ("notes.txt", "png", "a.png.part"):
            (open(os.path.join(root, name), "w")).close()
        assert list_images(root) == ["a.png"]

    def test_spaces_and_letters_of_any_script(self, root, write):
        for name in ("zwei Wörter/á é.png", "乳腺/图.png"):
            write(name)
        assert list_images(root) == ["zwei Wörter/á é.png", "乳腺/图.png"]

    def test_pattern_matches_the_file_name(self, root, write):
        for name in ("a.png", "b.jpg", "c/d.jpg"):
            write(name)
        assert list_images(root, "*.jpg") == ["b.jpg", "c/d.jpg"]

    def test_pattern_with_a_slash_matches_the_path(self, root, write):
        for name in ("a.jpg", "b/c.jpg", "d/e.jpg"):
            write(name)
        assert list_images(root, "b/*.jpg") == ["b/c.jpg"]

    def test_links_are_not_followed(self, root, write, tmp_path, caplog):
        write("a.png")
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "b.png").write_bytes((tmp_path / "root" / "a.png").read_bytes())
        os.symlink(tmp_path / "outside", os.path.join(root, "folder"))
        os.symlink(tmp_path / "outside" / "b.png", os.path.join(root, "file.png"))
        os.symlink(root, os.path.join(root, "loop"))
        assert list_images(root) == ["a.png"]
        assert "did not follow 3 symbolic links" in caplog.text and "file.png, folder, loop" in caplog.text

    def test_the_folder_itself_may_be_a_link(self, root, write, tmp_path):
        write("a.png")
        os.symlink(root, tmp_path / "link")
        assert list_images(str(tmp_path / "link")) == ["a.png"]

    def test_no_image(self, root, write):
        with pytest.raises(UserError, match="no image in .* looked for .bmp, .jpeg"):
            list_images(root)
        write("a.png")
        with pytest.raises(UserError, match=r"no image that matches '\*\.jpg' in"):
            list_images(root, "*.jpg")

    def test_folder_that_cannot_be_listed(self, root):
        with pytest.raises(UserError, match="cannot list the folder .*gone"):
            list_images(os.path.join(root, "gone"))


class TestSortClassNames:
    def test_numbers_by_number(self):
        assert sort_class_names({"10", "9", "1"}) == ["1", "9", "10"]

    def test_letters_by_letter(self):
        assert sort_class_names({"10", "9", "b", "a"}) == ["10", "9", "a", "b"]


class TestLoadFolder:
    def test_classes_are_the_direct_sub_folders(self, root, write):
        for value, name in enumerate(["10/a.png", "9/deep/er/b.png", "9/c.png"]):
            write(name, value)
        image_set = load(root)
        assert image_set.class_names == ("9", "10")
        assert image_set.ids.tolist() == ["9/c.png", "9/deep/er/b.png", "10/a.png"]
        assert image_set.labels.tolist() == [0, 0, 1] and image_set.labels.dtype == np.int32
        assert image_set.images[:, 0, 0, 0].tolist() == [2, 1, 0]
        assert image_set.groups is None and image_set.num_skipped == 0 and image_set.name == "set"

    def test_images_stay_on_disk(self, root, write):
        write("a.png", 1)
        lazy = load_folder(root, name="set", prepare=lambda image: image[:1])
        write("a.png", 2)
        assert lazy.is_lazy and lazy.images[0].tolist() == [[[2]] * 3]

    def test_flat_folder_has_no_labels(self, root, write):
        write("b.png", 1)
        write("a.png", 2)
        image_set = load(root)
        assert image_set.labels is None and image_set.class_names == ()
        assert image_set.ids.tolist() == ["a.png", "b.png"]
        assert image_set.images[:, 0, 0, 0].tolist() == [2, 1]

    def test_one_sub_folder_is_no_class(self, root, write):
        write("only/a.png")
        assert load(root).labels is None

    def test_images_beside_sub_folders_have_no_labels(self, root, write, caplog):
        for name in ("a.png", "b/c.png", "d/e.png"):
            write(name)
        image_set = load(root)
        assert image_set.labels is None and image_set.ids.tolist() == ["a.png", "b/c.png", "d/e.png"]
        assert "taken as one set without labels" in caplog.text

    def test_skipped_files_leave_labels_in_step(self, root, write):
        for value, name in enumerate(["a/1.png", "a/2.png", "b/3.png", "b/4.png"]):
            write(name, value)
        for name in ("a/1.png", "b/3.png"):
            with open(os.path.join(root, name), "wb") as file:
                file.write(b"junk")
        image_set = load(root)
        assert image_set.ids.tolist() == ["a/2.png", "b/4.png"]
        assert image_set.labels.tolist() == [0, 1] and image_set.num_skipped == 2
        assert image_set.images[:, 0, 0, 0].tolist() == [1, 3]
        with pytest.raises(UserError, match=r"'a/1\.png'"):
            load(root, strict=True)
