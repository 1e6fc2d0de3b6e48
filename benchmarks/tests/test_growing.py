"""Commands on sets of growing size do what the program does, once for each call."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.contenders.growing import CommandOnFiles, FeaturesOfFiles, write_phantoms
from benchmarks.workloads import GROWING_SIZES, LONG_WORKLOADS, WORKLOADS
from histogan_tf.data.decoding import decode_image


def test_every_image_is_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.contenders.growing._IMAGES_AT_ONCE", 4)
    write_phantoms(tmp_path / "set", 10, seed=0)
    paths = sorted((tmp_path / "set").glob("*/*.png"))
    assert sorted(path.stem for path in paths) == [f"{number:06d}" for number in range(10)]
    assert {path.parent.name for path in paths} == {"0", "1"}
    assert len({decode_image(str(path)).tobytes() for path in paths}) == 10


def test_a_call_is_a_whole_command(tmp_path):
    contender = CommandOnFiles(6, ["--mode=describe"])
    contender.run(2)
    folders = sorted(path for path in contender.folder.iterdir() if path.name.startswith("output"))
    assert [folder.name for folder in folders] == ["output-1", "output-2"]
    description = json.loads((folders[1] / "description.json").read_text())
    assert description["num_images"] == 6


def test_features_are_computed_anew_in_each_call(monkeypatch):
    contender = FeaturesOfFiles(6, 32)
    contender.run(1)
    (path,) = (contender.folder / "features").iterdir()
    path.write_bytes(b"changed")
    contender.run(1)
    with path.open("rb") as file:
        assert np.load(file).shape == (6, 512)


@pytest.mark.parametrize("name", LONG_WORKLOADS)
def test_the_smallest_set_leads(name):
    workload = WORKLOADS[name](["float32"], False)
    assert [contender.amount for contender in workload.contenders] == list(GROWING_SIZES)[: len(workload.contenders)]
    assert workload.leader == "1,000 patches" == workload.contenders[0].name
