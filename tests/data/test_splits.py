import numpy as np
import pytest

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.splits import split_indices
from histogan_tf.errors import UserError


def make_set(num_images: int, labels=None, groups=None) -> ImageSet:
    return ImageSet(
        images=np.zeros((num_images, 1, 1, 1), np.uint8),
        labels=None if labels is None else np.array(labels, np.int32),
        ids=np.arange(num_images).astype(str),
        groups=None if groups is None else np.array(groups),
        name="set",
        class_names=() if labels is None else ("non-idc", "idc"),
    )


def is_partition(train, validation, num_images) -> bool:
    return sorted([*train, *validation]) == list(range(num_images))


class TestByImage:
    def test_counts_of_the_paper(self):
        paper_set = make_set(5547, labels=np.repeat([0, 1], [2759, 2788]))
        train, validation = split_indices(paper_set, seed=42, by="image")
        assert np.bincount(paper_set.labels[train]).tolist() == [1819, 1897]
        assert np.bincount(paper_set.labels[validation]).tolist() == [940, 891]
        assert is_partition(train, validation, 5547)

    def test_depends_on_the_seed_alone(self):
        splits = [split_indices(make_set(100), seed=seed, by="image")[0].tolist() for seed in (1, 1, 2)]
        assert splits[0] == splits[1] != splits[2]

    @pytest.mark.parametrize("num_images", [2, 3, 10])
    def test_small_sets(self, num_images):
        train, validation = split_indices(make_set(num_images), seed=0, by="image")
        assert len(validation) == np.ceil(0.33 * num_images)
        assert is_partition(train, validation, num_images)

    def test_warns_of_patients_on_both_sides(self, caplog):
        split_indices(make_set(30, groups=["a"] * 15 + ["b"] * 14 + ["c"]), seed=0, by="image")
        assert "2 of 3 patients on both sides" in caplog.text

    @pytest.mark.parametrize("groups", [None, np.arange(30)])
    def test_no_warning_where_no_patient_is_shared(self, groups, caplog):
        split_indices(make_set(30, groups=groups), seed=0, by="image")
        assert not caplog.records

    @pytest.mark.parametrize("by", ["image", "patient"])
    def test_one_image(self, by):
        with pytest.raises(UserError, match="cannot split 1 image"):
            split_indices(make_set(1, groups=["a"]), seed=0, by=by)


class TestByPatient:
    GROUPS = np.random.default_rng(0).integers(0, 12, 300)

    @pytest.mark.parametrize("seed", range(5))
    def test_each_patient_on_one_side(self, seed, caplog):
        train, validation = split_indices(make_set(300, groups=self.GROUPS), seed=seed, by="patient")
        assert is_partition(train, validation, 300)
        assert len(set(self.GROUPS[train])) == 8 and len(set(self.GROUPS[validation])) == 4  # ceil(0.33 * 12)
        assert set(self.GROUPS[train]).isdisjoint(self.GROUPS[validation])
        assert not caplog.records

    def test_two_patients(self):
        train, validation = split_indices(make_set(5, groups=list("ababb")), seed=0, by="patient")
        assert sorted([train.tolist(), validation.tolist()]) == [[0, 2], [1, 3, 4]]

    def test_one_patient(self):
        with pytest.raises(UserError, match="needs at least two patients, but all images are of 'a'"):
            split_indices(make_set(5, groups=["a"] * 5), seed=0, by="patient")

    def test_unknown_patients(self):
        with pytest.raises(UserError, match="patients of 'set' are unknown"):
            split_indices(make_set(5), seed=0, by="patient")
