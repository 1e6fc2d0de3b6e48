import os
from pathlib import Path

import pytest

from histogan_tf.data.sources.file_search import find_images_below, list_images, readable_name
from histogan_tf.errors import UserError


class TestListImages:
    def test_recursive_and_sorted_with_every_suffix(self, root, write):
        write("a.png")
        content = Path(root, "a.png").read_bytes()
        names = ["A.PNG", "b.JpE", "c.TIF", "d.TIFF", "e.jfif", "f.jif", "g.bmp", "h.webp", "i.jpeg", "j/k/l.jpg"]
        for name in names:
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            Path(root, name).write_bytes(content)
        assert list_images(root) == sorted([*names, "a.png"])

    def test_other_and_hidden_files_are_left_out(self, root, write):
        for name in ("a.png", ".b.png", ".c/d.png", "e/.f.png"):
            write(name)
        for name in ("notes.txt", "png", "a.png.part"):
            (open(os.path.join(root, name), "w")).close()
        assert list_images(root) == ["a.png"]

    def test_what_is_left_out_is_counted_by_reason(self, root, write, caplog):
        for name in (
            "a.png",
            "b.bmp",
            ".c.png",
            ".AppleDouble/d.png",
            "x/@eaDir/e.png",
            "#recycle/f.png",
            "__MACOSX/g.png",
        ):
            write(name)
        for name in ("notes.txt", "more.TXT", "README", "slide.svs"):
            (open(os.path.join(root, name), "w")).close()
        os.mkfifo(os.path.join(root, "pipe.png"))
        found = find_images_below(root, "*.png")
        assert found.names == ["a.png"]
        assert found.left_out == {
            "hidden": 2,
            "folders of a storage system or desktop": 3,
            "images that do not match --input_fname_pattern": 1,
            "files .txt": 2,
            "files without suffix": 1,
            "files .svs": 1,
            "neither files nor folders": 1,
        }
        assert "left out in" in caplog.text and "files .txt (2)" in caplog.text

    def test_spaces_and_letters_of_any_script(self, root, write):
        for name in ("zwei Wörter/á é.png", "乳腺/图.png"):
            write(name)
        assert list_images(root) == ["zwei Wörter/á é.png", "乳腺/图.png"]

    @pytest.mark.parametrize("suffix", ["svs", "NDPI", "mrxs", "scn", "vms", "bif"])
    def test_whole_slides_are_to_be_cut_into_patches(self, root, suffix):
        for name in (f"1.{suffix}", "notes.txt"):
            Path(root, name).touch()
        with pytest.raises(UserError, match=r"\(1\); whole slides are not read: cut them into patches, with QuPath"):
            find_images_below(root)
        Path(root, f"1.{suffix}").unlink()
        with pytest.raises(UserError, match=r"files \.txt \(1\)$"):
            find_images_below(root)

    def test_pattern_matches_the_file_name(self, root, write):
        for name in ("a.png", "b.jpg", "c/d.jpg"):
            write(name)
        assert list_images(root, "*.jpg") == ["b.jpg", "c/d.jpg"]

    def test_pattern_with_a_slash_matches_the_path(self, root, write):
        for name in ("a.jpg", "b/c.jpg", "d/e.jpg"):
            write(name)
        assert list_images(root, "b/*.jpg") == ["b/c.jpg"]

    def test_links_to_other_places_are_followed_and_told(self, root, write, tmp_path, caplog):
        write("a.png")
        for name in ("outside", "outside/deep"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "b.png").write_bytes((tmp_path / "root" / "a.png").read_bytes())
        os.symlink(tmp_path / "outside", os.path.join(root, "class"))
        assert list_images(root) == ["a.png", "class/b.png", "class/deep/b.png"]
        assert f"followed 1 symbolic link in {root!r}: class -> {tmp_path / 'outside'}" in caplog.text

    def test_no_file_is_read_twice_through_links(self, root, write, tmp_path):
        write("in/a.png")
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "b.png").write_bytes((tmp_path / "root" / "in" / "a.png").read_bytes())
        for name, target in {
            "a": tmp_path / "outside",  # followed
            "b": tmp_path / "outside",
            "c.png": tmp_path / "outside" / "b.png",
            "d": root,
            "e": tmp_path,
            "f": os.path.join(root, "in"),
        }.items():
            os.symlink(target, os.path.join(root, name))
        os.symlink(tmp_path / "outside", tmp_path / "outside" / "again")
        found = find_images_below(root)
        assert found.names == ["a/b.png", "in/a.png"]
        assert found.left_out == {"links to what is searched anyway": 6}

    @pytest.mark.parametrize("target", ["gone", "class"])  # nothing, and itself
    def test_a_class_that_is_a_link_to_nowhere_is_refused(self, root, write, target):
        write("other/a.png")
        os.symlink(os.path.join(root, target), os.path.join(root, "class"))
        with pytest.raises(UserError, match="class' is a symbolic link that leads nowhere .* mend or remove it"):
            list_images(root)

    def test_deeper_links_to_nowhere_are_counted(self, root, write):
        write("other/a.png")
        os.symlink("gone.png", os.path.join(root, "other", "b.png"))
        assert find_images_below(root).left_out == {"links that lead nowhere": 1}

    def test_the_folder_itself_may_be_a_link(self, root, write, tmp_path):
        write("a.png")
        os.symlink(root, tmp_path / "link")
        assert list_images(str(tmp_path / "link")) == ["a.png"]

    def test_no_image(self, root, write):
        with pytest.raises(UserError, match="no image in .* looked for .bmp, .jfif"):
            list_images(root)
        write("a.png")
        with pytest.raises(UserError, match=r"no image that matches '\*\.jpg' in"):
            list_images(root, "*.jpg")

    def test_folder_that_cannot_be_listed(self, root):
        with pytest.raises(UserError, match="cannot list the folder .*gone"):
            list_images(os.path.join(root, "gone"))


def test_bytes_that_are_not_utf8_are_shown_as_their_numbers():
    assert readable_name(os.fsdecode(b"M\xfcller/\xc3\xa9")) == r"M\xfcller/é"
