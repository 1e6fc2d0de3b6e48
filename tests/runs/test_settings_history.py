from __future__ import annotations

import json

from histogan_tf.config import Config
from histogan_tf.runs.run_directory import begin_run, read_record, read_run
from histogan_tf.runs.settings_history import record_settings

DATASET = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": [], "fingerprint": "abc"}


def test_the_record_has_the_settings_with_which_the_run_goes_on_and_says_what_changed(tiny_config):
    first = tiny_config("--model=dcgan1", "--max_steps=70", "--eval_freq=5", "--restart")
    directory = begin_run(first, DATASET)
    begun = read_record(directory)
    record_settings(directory, first, 0)
    record_settings(directory, tiny_config("--model=dcgan1", "--max_steps=70", "--eval_freq=5"), 40)
    assert read_record(directory) == begun  # nothing has changed but --restart, which is no setting of the training

    second = tiny_config("--model=dcgan1", "--max_steps=200", "--eval_freq=7")
    record_settings(directory, second, 70)
    record = read_record(directory)
    assert Config.from_json(record["settings"]).to_json() == second.to_json()
    assert read_run(second)[1].max_steps == 200
    assert {key: value for key, value in record.items() if key not in ("settings", "continued")} == {
        key: value for key, value in begun.items() if key != "settings"
    }
    (entry,) = record["continued"]
    assert entry["step"] == 70 and entry["changed"] == {"max_steps": [70, 200], "eval_freq": [5, 7]}
    record_settings(directory, tiny_config("--model=dcgan1", "--max_steps=300", "--eval_freq=7"), 200)
    assert [change["changed"] for change in read_record(directory)["continued"]] == [
        {"max_steps": [70, 200], "eval_freq": [5, 7]},
        {"max_steps": [200, 300]},
    ]


def test_a_positive_class_that_is_left_out_now_is_the_one_from_before(tiny_config):
    named = tiny_config("--model=dcgan1", "--positive_class=idc")
    directory = begin_run(named, DATASET)
    record_settings(directory, named, 0)
    begun = read_record(directory)
    record_settings(directory, tiny_config("--model=dcgan1"), 20)
    assert read_record(directory) == begun and begun["settings"]["positive_class"] == "idc"


def test_a_record_of_an_earlier_version_gets_the_settings_that_it_lacks(tiny_config):
    config = tiny_config("--model=resnet18")
    directory = begin_run(config, DATASET)
    record = read_record(directory)
    del record["settings"]["positive_class"]
    (directory / "config.json").write_text(json.dumps(record))
    changed = tiny_config("--model=resnet18", "--positive_class=idc")
    record_settings(directory, changed, 0)
    assert read_record(directory)["settings"]["positive_class"] == "idc"
