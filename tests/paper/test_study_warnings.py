"""What the report warns of, and how often each part of the study was repeated."""

from __future__ import annotations

import pytest

from histogan_tf.cli import command_line
from histogan_tf.paper.configs import StudyConfigs
from histogan_tf.paper.study_warnings import seeds_note, study_warnings

DATASET = {"patients_on_both_sides": 0, "split_seed": 1}


def warnings_of(*flags: str, num_patients: int = 20) -> list[str]:
    config = command_line.parse(["main.py", "--mode=paper", "--dataset=idc", "--weights=imagenet", *flags])
    return list(study_warnings(StudyConfigs(config), config, DATASET, {"num_validation_patients": num_patients}))


def note_of(*flags: str) -> str:
    return seeds_note(StudyConfigs(command_line.parse(["main.py", "--mode=paper", "--dataset=idc", *flags])))


@pytest.mark.parametrize(
    ("flags", "beginnings"),
    [
        (("--repeats=3", "--generators=dcgan"), []),
        (("--repeats=3", "--gan_repeats=1", "--generators=dcgan"), ["Each GAN was trained once."]),
        (("--repeats=1", "--generators=dcgan"), ["There is one repeat"]),
        (("--repeats=3", "--generators=tissue"), ["The tissue GAN was trained against features of the network"]),
        (("--repeats=3", "--generators=tissue", "--stage_flags=tissue.backbone=vgg16"), []),
        (("--repeats=3", "--generators=tissue", "--weights=random"), ["The classifier's backbone has random weights"]),
    ],
)
def test_what_no_interval_counts_is_told(flags, beginnings):
    found = warnings_of(*flags)
    assert len(found) == len(beginnings)
    assert all(text.startswith(words) for text, words in zip(found, beginnings, strict=True))


def test_few_patients_are_told():
    assert warnings_of("--repeats=2", "--generators=dcgan", num_patients=9)[0].startswith("The validation images are")


def test_the_note_tells_what_was_repeated_how_often():
    assert note_of("--repeats=1") == "Classifiers were trained with 1 seed."
    assert note_of("--repeats=3").startswith("Classifiers were trained with 3 seeds; the clusters, Figure 5")
    assert "3 seeds, GANs and classifiers whose network was tuned with 1 seed; " in note_of(
        "--repeats=3", "--gan_repeats=1"
    )
