from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.cli import command_line
from histogan_tf.data.domains import load_domains
from histogan_tf.errors import UserError

FOLDERS = ("testA", "testB", "trainA", "trainB")


def make_config(*flags):
    return command_line.parse(["main.py", "--model=cyclegan", *flags])


def test_domains_are_the_two_labels_of_the_built_in_set():
    domain_a, domain_b = load_domains(make_config("--part=all"))
    assert (domain_a.label, domain_a.name, len(domain_a.image_set)) == (0, "non-idc", 606)
    assert (domain_b.label, domain_b.name, len(domain_b.image_set)) == (1, "idc", 606)
    assert set(domain_a.image_set.labels) == {0} and set(domain_b.image_set.labels) == {1}


def test_any_two_sub_folders_are_domains_by_name_or_number(tmp_path, write_images):
    pixels = {
        name: write_images(tmp_path / name, count, seed=count) for name, count in (("cat", 2), ("dog", 3), ("horse", 4))
    }
    flags = ["--dataset=animals", f"--data_path={tmp_path}", "--part=all"]
    horses, dogs = load_domains(make_config(*flags, "--domain_a=Horse", "--domain_b=1"))
    np.testing.assert_array_equal(horses.image_set.images, pixels["horse"])
    np.testing.assert_array_equal(dogs.image_set.images, pixels["dog"])
    assert (horses.label, dogs.label) == (2, 1)


def test_a_set_without_labels_or_without_the_label_is_refused(tmp_path, write_images):
    write_images(tmp_path, 3)
    flags = ["--dataset=mine", f"--data_path={tmp_path}"]
    with pytest.raises(UserError, match="mine has none: sort its images into a sub-folder for each label"):
        load_domains(make_config(*flags))
    with pytest.raises(UserError, match=r"--domain_a=cat: the labels are 0 \(non-idc\), 1 \(idc\); choose one"):
        load_domains(make_config("--domain_a=cat"))
    with pytest.raises(UserError, match="--domain_a and --domain_b are both idc"):
        load_domains(make_config("--domain_a=1", "--domain_b=idc"))


def test_an_empty_domain_is_told():
    with pytest.raises(UserError, match=r"--domain_[ab]=[01]: no image of (non-)?idc among 1 "):
        load_domains(make_config("--train_size=1"))


def test_folders_of_parts_and_domains_give_the_training_images_of_both_domains(tmp_path, write_images):
    pixels = {name: write_images(tmp_path / name, 2, seed=seed) for seed, name in enumerate(FOLDERS)}
    domain_a, domain_b = load_domains(make_config("--dataset=horses", f"--data_path={tmp_path}"))
    assert (domain_a.name, domain_b.name) == ("A", "B")
    np.testing.assert_array_equal(domain_a.image_set.images, pixels["trainA"])
    np.testing.assert_array_equal(domain_b.image_set.images, pixels["trainB"])
