import io
import struct

import lmdb
import numpy as np
import pytest
from PIL import Image

from histogan_tf.config import Config, resolve
from histogan_tf.data.image_set import ImageSet, count_of_class, label_number
from histogan_tf.data.loading import load_dataset, load_parts, load_with_parts
from histogan_tf.data.splits import split_indices, warn_if_parts_share_patients
from histogan_tf.errors import UserError


def load_with(**settings) -> ImageSet:
    return load_dataset(resolve(Config(**settings)))


def write(path, value: int, size: tuple[int, int] = (18, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


@pytest.fixture
def animals(tmp_path):
    """12 cats of grey values 0-11 and 18 Dogs of 12-29."""
    for value in range(30):
        write(tmp_path / "data" / "animals" / ("cat" if value < 12 else "Dog") / f"{value:02d}.png", value)
    return {"dataset": "animals", "data_dir": str(tmp_path / "data")}


def values(image_set: ImageSet) -> list[int]:
    return image_set.images[:, 0, 0, 0].tolist()


class TestPhantom:
    def test_default_is_the_training_part_of_the_built_in_set(self, caplog):
        whole = load_with(part="all", output_height=16)
        assert whole.image_shape == (16, 16, 3) and np.bincount(whole.labels).tolist() == [606, 606]
        train = load_with(output_height=16)
        expected, _ = split_indices(whole, seed=42, by="image")
        np.testing.assert_array_equal(train.images, whole.images[np.sort(expected)])
        assert "built-in" in caplog.text and "--dataset=idc" in caplog.text and "--data_path" in caplog.text
        assert "data: phantom --part=train, 16x16 RGB: 812 images (390 non-idc, 422 idc) of 1212" in caplog.messages

    def test_seed_does_not_change_the_data(self):
        sets = [load_with(part="all", output_height=16, seed=seed) for seed in (1, 2)]
        assert sets[0].fingerprint() == sets[1].fingerprint()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"output_height": 16, "output_width": 18}, "square, not 16x18"),
            ({"data_path": "/some/where"}, "--data_path=/some/where needs a --dataset"),
            ({"crop": True, "input_height": 20}, "leave --crop out"),
        ],
    )
    def test_flags_that_do_not_fit(self, settings, message):
        with pytest.raises(UserError, match=message):
            load_with(**settings)


class TestWhere:
    def test_data_dir_and_dataset(self, animals):
        assert len(load_with(**animals, part="all")) == 30

    def test_data_path(self, animals):
        path = f"{animals['data_dir']}/animals"
        image_set = load_with(dataset="zoo", data_path=path, part="all")
        assert len(image_set) == 30 and image_set.name == "zoo"

    def test_home_and_variables(self, animals, monkeypatch):
        monkeypatch.setenv("HOME", animals["data_dir"])
        monkeypatch.setenv("ANIMALS", "animals")
        assert len(load_with(dataset="zoo", data_path="~/$ANIMALS", part="all")) == 30

    def test_no_such_folder(self, tmp_path):
        with pytest.raises(UserError, match="no folder '.*nowhere' for --dataset=nowhere: say where .* --data_path"):
            load_with(dataset="nowhere", data_dir=str(tmp_path))

    def test_archive(self, tmp_path):
        (tmp_path / "set.zip").write_bytes(b"PK")
        with pytest.raises(UserError, match=r"set\.zip' is a file where a folder .* unpack"):
            load_with(dataset="idc", data_path=str(tmp_path / "set.zip"))

    @pytest.mark.parametrize("dataset", ["idc", "empty"])
    def test_no_image(self, tmp_path, dataset):
        with pytest.raises(UserError, match="no image in"):
            load_with(dataset=dataset, data_path=str(tmp_path))


class TestSources:
    def test_idc(self, tmp_path):
        for patient, label in (("8863", 0), ("8863", 1), ("9000", 1)):
            write(tmp_path / patient / str(label) / f"{patient}_idx5_x1_y1_class{label}.png", label, (50, 50))
        image_set = load_with(dataset="idc", data_path=str(tmp_path), part="all", output_height=16)
        assert image_set.labels.tolist() == [0, 1, 1] and image_set.groups.tolist() == ["8863", "8863", "9000"]
        assert image_set.image_shape == (16, 16, 3)

    def test_mnist(self, tmp_path):
        for part, num_images in (("train", 6), ("t10k", 4)):
            images = struct.pack(">4i", 0x803, num_images, 28, 28) + bytes(num_images * 28 * 28)
            labels = struct.pack(">2i", 0x801, num_images) + bytes(num_images)
            (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
            (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        image_set = load_with(dataset="mnist", data_path=str(tmp_path), part="all", output_height=16)
        assert len(image_set) == 10 and image_set.image_shape == (16, 16, 1) and image_set.num_classes == 10

    def test_folder_with_pattern_and_crop(self, animals):
        image_set = load_with(
            **animals, input_fname_pattern="*9.png", crop=True, input_height=10, input_width=12, part="all"
        )
        assert values(image_set) == [19, 29, 9] and image_set.image_shape == (10, 12, 3)
        assert image_set.class_names == ("Dog", "cat")

    def test_strict(self, animals, tmp_path, caplog):
        (tmp_path / "data" / "animals" / "cat" / "00.png").write_bytes(b"junk")
        image_set = load_with(**animals, part="all")
        assert len(image_set) == 29 and image_set.num_skipped == 1
        assert "1 file skipped; left: 29 images (18 Dog, 11 cat)" in caplog.text
        with pytest.raises(UserError, match=r"cat/00\.png"):
            load_with(**animals, part="all", strict=True)

    def test_idc_full_is_read_as_patients(self, tmp_path):
        write(tmp_path / "8863" / "0" / "8863_idx5_x1_y1_class0.png", 0, (50, 50))
        write(tmp_path / "9000" / "1" / "9000_idx5_x1_y1_class1.png", 1, (50, 20))
        path = str(tmp_path)
        assert load_with(dataset="idc-full", data_path=path, part="all").groups.tolist() == ["8863", "9000"]
        skipped = load_with(dataset="idc-full", data_path=path, part="all", edge_patches="skip")
        assert skipped.groups.tolist() == ["8863"]

    def test_lsun(self, tmp_path):
        with lmdb.open(str(tmp_path / "bedroom_val_lmdb"), map_size=1 << 20) as environment:
            for level in range(8):
                file = io.BytesIO()
                Image.fromarray(np.full((20, 24, 3), level, np.uint8)).save(file, "WEBP", lossless=True)
                with environment.begin(write=True) as transaction:
                    transaction.put(b"key%d" % level, file.getvalue())
        image_set = load_with(dataset="lsun", data_path=str(tmp_path), train_size=5, seed=3)
        assert values(image_set) == np.sort(np.random.default_rng(3).choice(8, 5, replace=False)).tolist()
        assert image_set.ids.tolist() == [f"key{level}" for level in values(image_set)]


class TestMemoryBudget:
    def test_a_set_that_fits_is_in_memory(self, animals, caplog):
        size = 30 * 18 * 20 * 3 / 1e9
        assert not load_with(**animals, part="all", memory_budget_gb=size).is_lazy
        assert "stay on disk" not in caplog.text
        assert load_with(**animals, part="all", memory_budget_gb=size * 0.99).is_lazy
        assert "30 images would take 0.0 GB" in caplog.text and "stay on disk" in caplog.text

    def test_only_what_is_chosen_counts(self, animals):
        assert not load_with(**animals, train_size=5, memory_budget_gb=5 * 18 * 20 * 3 / 1e9).is_lazy

    def test_same_images_either_way(self, animals):
        settings = {**animals, "label": "cat", "train_size": 5, "output_height": 16}
        held, lazy = load_with(**settings), load_with(**settings, memory_budget_gb=0.0)
        np.testing.assert_array_equal(lazy.images[:], held.images)
        assert lazy.ids.tolist() == held.ids.tolist() and lazy.labels.tolist() == held.labels.tolist()
        assert lazy.image_shape == (16, 16, 3)

    def test_strict_reads_all_at_the_start(self, animals, tmp_path):
        (tmp_path / "data" / "animals" / "cat" / "00.png").write_bytes(b"junk")
        assert len(load_with(**animals, part="all", memory_budget_gb=0.0)) == 30
        with pytest.raises(UserError, match=r"cat/00\.png"):
            load_with(**animals, part="all", memory_budget_gb=0.0, strict=True)

    def test_the_split_does_not_depend_on_what_can_be_read(self, animals, tmp_path):
        before = load_with(**animals).ids.tolist()
        lost = before[3]
        (tmp_path / "data" / "animals" / lost).write_bytes(b"junk")
        assert load_with(**animals).ids.tolist() == [name for name in before if name != lost]


class TestPart:
    def test_parts_are_those_of_the_split_in_file_order(self, animals, caplog):
        whole = load_with(**animals, part="all")
        train, validation = split_indices(whole, seed=42, by="image")
        assert values(load_with(**animals)) == values(whole.select(np.sort(train)))
        assert values(load_with(**animals, part="train")) == values(whole.select(np.sort(train)))
        assert values(load_with(**animals, part="validation")) == values(whole.select(np.sort(validation)))
        assert caplog.messages[0] == "data: animals --part=all, 18x20 RGB: 30 images (18 Dog, 12 cat)"
        assert caplog.messages[-1] == "data: animals --part=validation, 18x20 RGB: 10 images (6 Dog, 4 cat) of 30"
        load_with(**animals, label="cat", train_size=5)
        words = "data: animals --part=train --label=cat --train_size=5, 18x20 RGB: 5 images (0 Dog, 5 cat) of 30"
        assert caplog.messages[-1] == words

    def test_split_seed_moves_the_split_and_seed_does_not(self, animals):
        parts = [values(load_with(**animals, **seeds)) for seeds in ({}, {"seed": 7}, {"split_seed": 7})]
        assert parts[0] == parts[1] != parts[2]

    def test_by_patient(self, tmp_path):
        for number in range(12):
            name = f"{number % 3}_idx5_x{number}_y1_class{number % 2}.png"
            write(tmp_path / str(number % 2) / name, number, (50, 50))
        parts = [
            load_with(dataset="idc", data_path=str(tmp_path), part=part, split_by="patient")
            for part in ("train", "validation")
        ]
        assert sorted(values(parts[0]) + values(parts[1])) == list(range(12))
        assert [len(set(part.groups)) for part in parts] == [2, 1]

    def test_unlabelled_set_is_whole_by_default(self, animals, tmp_path):
        path = str(tmp_path / "data" / "animals" / "cat")
        image_set = load_with(dataset="cats", data_path=path)
        assert values(image_set) == list(range(12)) and image_set.labels is None
        for part in ("train", "validation"):
            with pytest.raises(UserError, match=f"--part={part}: 'cats' has no labels"):
                load_with(dataset="cats", data_path=path, part=part)


class TestLabel:
    @pytest.mark.parametrize("label", ["cat", "CAT", "1"])
    def test_by_name_in_any_case_or_number(self, animals, label):
        image_set = load_with(**animals, label=label, part="all")
        assert values(image_set) == list(range(12)) and set(image_set.labels) == {1}
        assert image_set.class_names == ("Dog", "cat")

    def test_a_name_that_is_a_number_goes_before_the_number(self, tmp_path):
        for value in (1, 2):
            write(tmp_path / str(value) / "a.png", value)
        assert values(load_with(dataset="set", data_path=str(tmp_path), label="1", part="all")) == [1]
        assert values(load_with(dataset="set", data_path=str(tmp_path), label="0", part="all")) == [1]

    def test_exact_spelling_goes_before_any_case(self, tmp_path):
        for value, name in enumerate(("A", "a")):
            write(tmp_path / name / "a.png", value)
        assert values(load_with(dataset="set", data_path=str(tmp_path), label="a", part="all")) == [1]

    def test_names_that_differ_in_case_alone_need_their_spelling(self):
        assert label_number("ab", ("AB", "ab", "c")) == 1
        with pytest.raises(UserError, match=r"--domain_a=Ab: the labels are 0 \(AB\), 1 \(ab\), 2 \(c\); choose one"):
            label_number("Ab", ("AB", "ab", "c"), "domain_a")
        with pytest.raises(UserError, match="--label=0: the images have no labels; leave --label out"):
            label_number("0", ())

    def test_within_the_part(self, animals):
        train_cats = load_with(**animals, label="cat")
        assert values(train_cats) == [value for value in values(load_with(**animals)) if value < 12]

    @pytest.mark.parametrize("label", ["mouse", "2", "-1"])
    def test_unknown(self, animals, label):
        with pytest.raises(UserError, match=r"the labels are 0 \(Dog\), 1 \(cat\); choose one"):
            load_with(**animals, label=label, part="all")

    def test_unlabelled_set(self, animals, tmp_path):
        with pytest.raises(UserError, match="--label=cat: the images have no labels; leave --label out"):
            load_with(dataset="cats", data_path=str(tmp_path / "data" / "animals" / "cat"), label="cat")

    def test_class_without_images(self, tmp_path):
        write(tmp_path / "0" / "a.png", 0, (50, 50))
        with pytest.raises(UserError, match=r"--label=idc: none of 1 image \(1 non-idc, 0 idc\) has this label"):
            load_with(dataset="idc", data_path=str(tmp_path), label="idc", part="all")


class TestTrainSize:
    def test_draws_so_many_in_order(self, animals):
        subsets = [values(load_with(**animals, part="all", train_size=5, seed=seed)) for seed in (1, 1, 2)]
        assert subsets[0] == subsets[1] != subsets[2]
        whole = values(load_with(**animals, part="all"))
        assert len(set(subsets[0])) == 5 and [value for value in whole if value in subsets[0]] == subsets[0]

    def test_more_than_there_are(self, animals):
        assert len(load_with(**animals, part="all", train_size=31)) == 30


class TestImagesLoadedBefore:
    """What is chosen among images that `load_with_parts` gave is what is chosen from the dataset itself."""

    def test_each_image_has_its_part_of_the_whole_dataset(self, animals):
        whole = load_with_parts(resolve(Config(**animals)))
        assert values(whole) == values(load_with(**animals, part="all"))
        for part in ("train", "validation"):
            chosen = whole.select(np.flatnonzero(whole.parts == part))
            assert values(chosen) == values(load_with(**animals, part=part))
        cats = load_with_parts(resolve(Config(**animals, label="cat")))
        assert values(cats) == list(range(12))
        assert values(cats.select(np.flatnonzero(cats.parts == "train"))) == values(load_with(**animals, label="cat"))

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"part": "validation"},
            {"part": "all", "label": "cat"},
            {"label": "Dog", "train_size": 4},
            {"train_size": 9, "seed": 3},
        ],
    )
    def test_choosing_among_them(self, animals, settings):
        images = load_with_parts(resolve(Config(**animals)))
        config = resolve(Config(**animals, **settings))
        chosen, expected = load_dataset(config, images), load_dataset(config)
        assert chosen.ids.tolist() == expected.ids.tolist()
        assert chosen.fingerprint() == expected.fingerprint()

    def test_both_parts(self, animals):
        config = resolve(Config(**animals, train_size=6))
        chosen, expected = load_parts(config, load_with_parts(resolve(Config(**animals)))), load_parts(config)
        assert [part.ids.tolist() for part in chosen] == [part.ids.tolist() for part in expected]
        assert list(map(len, chosen)) == [6, 10]

    def test_train_size_draws_among_all_files_those_of_no_use_included(self, animals, tmp_path):
        for lost in ("cat/03.png", "cat/07.png", "Dog/20.png"):
            (tmp_path / "data" / "animals" / lost).write_bytes(b"junk")
        images = load_with_parts(resolve(Config(**animals, given=frozenset(animals))))
        assert (len(images), images.num_skipped) == (27, 3)
        for seed in range(3):
            config = resolve(Config(**animals, train_size=10, seed=seed))
            assert values(load_dataset(config, images)) == values(load_dataset(config))
            assert values(load_parts(config, images)[0]) == values(load_parts(config)[0])
        some = images.select(np.arange(0, 27, 2))  # of no flags: drawn among what there is
        assert len(load_dataset(resolve(Config(**animals, part="all", train_size=10)), some)) == 10

    def test_a_set_that_stays_on_disk(self, animals):
        settings = {**animals, "memory_budget_gb": 0.0}
        images = load_with_parts(resolve(Config(**settings)))
        config = resolve(Config(**settings, train_size=5))
        chosen, expected = load_dataset(config, images), load_dataset(config)
        assert images.is_lazy and chosen.is_lazy
        assert chosen.fingerprint() == expected.fingerprint()

    def test_a_set_of_one_part_is_not_split_again(self, animals):
        images = load_with_parts(resolve(Config(**animals, part="train")))
        assert values(load_dataset(resolve(Config(**animals)), images)) == values(load_with(**animals))
        with pytest.raises(
            UserError, match="--part=validation: these images of 'animals' are all of other parts .train"
        ):
            load_dataset(resolve(Config(**animals, part="validation")), images)

    def test_the_cluster_they_were_loaded_with(self, animals, tmp_path):
        ids = load_with(**animals, part="all").ids
        rows = [f"{name},{number % 3}" for number, name in enumerate(ids)]
        (tmp_path / "clusters.csv").write_text("\n".join(["id,cluster", *rows]))
        cluster = {"clusters": str(tmp_path / "clusters.csv"), "cluster": 1}
        images = load_with_parts(
            resolve(Config(**animals, **cluster, label="cat", given=frozenset({"clusters", "cluster"})))
        )
        expected = load_with(**animals, **cluster, label="cat")
        assert 0 < len(expected) < len(images)
        chosen = load_dataset(resolve(Config(**animals, **cluster, label="cat")), images)
        assert chosen.ids.tolist() == expected.ids.tolist()

    def test_no_split_without_labels_or_of_all(self, animals, tmp_path):
        assert load_with_parts(resolve(Config(**animals, part="all"))).parts is None
        path = str(tmp_path / "data" / "animals" / "cat")
        assert load_with_parts(resolve(Config(dataset="cats", data_path=path))).parts is None


class TestSetsThatComeSplit:
    @pytest.fixture
    def flags(self, tmp_path, write_images):
        for number, folder in enumerate(("train/a", "train/b", "val/a", "val/b", "test/a", "test/b")):
            write_images(tmp_path / "data" / "Mine" / folder, number + 1, seed=number)
        return {"dataset": "mine", "data_dir": str(tmp_path / "data")}

    def test_each_part_is_its_folder(self, flags):
        ids = {part: load_with(**flags, part=part).ids.tolist() for part in ("train", "validation", "test", "all")}
        assert ids["train"] == ["train/a/000.png", "train/b/000.png", "train/b/001.png"]
        assert [len(ids[part]) for part in ids] == [3, 7, 11, 21]
        assert {name.split("/")[0] for name in ids["validation"]} == {"val"}
        assert {name.split("/")[0] for name in ids["test"]} == {"test"}

    def test_training_and_classifier_leave_test_images_out(self, flags):
        assert load_with(**flags).ids.tolist() == load_with(**flags, part="train").ids.tolist()
        training, validation = load_parts(resolve(Config(**flags)))
        assert (training.counts(), validation.counts()) == ({"a": 1, "b": 2}, {"a": 3, "b": 4})

    def test_flags_of_a_drawn_split_are_told_to_do_nothing(self, flags, caplog):
        load_dataset(resolve(Config(**flags, split_seed=3, given=frozenset({"split_seed"}))))
        assert "the dataset comes split: --split_seed changes nothing" in caplog.text

    def test_a_seed_that_draws_images_is_not_told_to_do_nothing(self, flags, caplog):
        given = frozenset({"split_seed", "images_per_class"})
        load_dataset(resolve(Config(**flags, split_seed=3, images_per_class=1, given=given)))
        assert "changes nothing" not in caplog.text

    def test_patients_in_two_folders_are_warned_of(self, tmp_path, caplog):
        for number, name in enumerate(("train/0/P1", "train/1/P2", "val/0/P2", "val/1/P3")):
            path = tmp_path / f"{name}_idx5_x{number}_y1_class0.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (50, 50)).save(path)
        training, validation = load_parts(resolve(Config(dataset="idc", data_path=str(tmp_path))))
        assert training.groups.tolist() == ["P1", "P2"] and validation.groups.tolist() == ["P2", "P3"]
        assert "the split has 1 of 3 patients on both sides" in caplog.text

    def test_patients_in_training_and_test_are_warned_of(self, caplog):
        parts = np.array(["train", "train", "validation", "test"])
        groups = np.array(["P1", "P2", "P3", "P2"])
        image_set = ImageSet(np.zeros((4, 2, 2, 3), np.uint8), None, groups, groups, "mine", parts=parts)
        warn_if_parts_share_patients(image_set)
        assert "the split has 1 of 3 patients on both sides, which flatters every score" in caplog.text

    def test_part_test_of_a_set_that_has_none(self):
        with pytest.raises(
            UserError, match="--part=test: these images of 'phantom' are all of other parts .train, val"
        ):
            load_with(part="test")


def test_a_class_that_is_named_by_a_number_is_called_a_class():
    assert (count_of_class(5, "0"), count_of_class(5, "non-idc")) == ("5 of class 0", "5 non-idc")
