from __future__ import annotations

import json

import pytest
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.runs import run_directory

DATASET = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": [], "fingerprint": "abc"}


def test_a_new_run_explains_itself(tiny_config):
    config = tiny_config("--model=dcgan1")
    saved = json.loads((run_directory.begin_run(config, DATASET) / "config.json").read_text())
    assert saved["settings"]["gf_dim"] == 4
    assert saved["dataset"] == DATASET
    assert saved["versions"]["tensorflow"] == tf.__version__


def test_the_same_settings_go_on_and_free_ones_may_change(tiny_config):
    directory = run_directory.begin_run(tiny_config("--model=dcgan1"), DATASET)
    again = tiny_config("--model=dcgan1", "--epoch=99", "--sample_freq=3", "--max_to_keep=2")
    assert run_directory.begin_run(again, DATASET) == directory


def test_other_versions_of_what_computes_are_told(tiny_config, caplog):
    config = tiny_config("--model=dcgan1", "--run=mine")
    path = run_directory.begin_run(config, DATASET) / "config.json"
    run_directory.begin_run(config, DATASET)
    assert "was begun with" not in caplog.text
    record = json.loads(path.read_text())
    here = record["versions"]
    record["versions"] = here | {"tensorflow": "2.3.1", "keras": "2.4.3", "python": "3.6.9"}
    path.write_text(json.dumps(record))
    run_directory.begin_run(config, DATASET)
    told = f"mine was begun with tensorflow 2.3.1, keras 2.4.3, and goes on with tensorflow {here['tensorflow']}, keras"
    assert told in caplog.text and "python" not in caplog.text
    caplog.clear()
    del record["versions"]  # as in a record of an early version
    path.write_text(json.dumps(record))
    run_directory.begin_run(config, DATASET)
    assert "was begun with" not in caplog.text


def test_flags_of_other_families_may_change(tiny_config):
    flags = ("--model=projected", "--weights=random")
    directory = run_directory.begin_run(tiny_config(*flags), DATASET)
    assert run_directory.begin_run(tiny_config(*flags, "--views=2", "--num_blocks=1"), DATASET) == directory
    for own in ("--num_modes=3", "--z_dim=9", "--backbone=resnet34"):
        with pytest.raises(UserError, match=f"{own[2:7]}.* was .* and is now"):
            run_directory.begin_run(tiny_config(*flags, own), DATASET)
    without = ("--model=dcgan1", "--run=mine")  # no pretrained network has a part in it
    directory = run_directory.begin_run(tiny_config(*without), DATASET)
    assert run_directory.begin_run(tiny_config(*without, "--backbone=vgg16", "--weights=mine"), DATASET) == directory


def test_a_run_that_recorded_a_flag_without_effect_goes_on_without_it(tiny_config):
    config = tiny_config("--model=cyclegan", "--run=mine")
    path = run_directory.begin_run(config, DATASET) / "config.json"
    record = json.loads(path.read_text())
    record["settings"] |= {"z_dim": 7, "generator_updates": 3}
    path.write_text(json.dumps(record))
    assert run_directory.begin_run(config, DATASET) == path.parent


def test_other_settings_or_images_are_refused_by_name(tiny_config):
    directory = run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine"), DATASET)
    before = (directory / "config.json").read_bytes()
    with pytest.raises(UserError, match="learning_rate was 0.0002 and is now 0.1.*--restart"):
        run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine", "--learning_rate=0.1"), DATASET)
    with pytest.raises(UserError, match="model was dcgan1 and is now dcgan2"):
        run_directory.begin_run(tiny_config("--model=dcgan2", "--run=mine"), DATASET)
    with pytest.raises(UserError, match="images were"):
        run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine"), DATASET | {"fingerprint": "def"})
    assert (directory / "config.json").read_bytes() == before


def test_labels_that_are_numbered_otherwise_are_refused_with_the_flag_that_mends_it(tiny_config):
    flags = ("--model=dcgan1", "--run=mine")
    before, after = DATASET | {"class_names": ["idc", "non-idc"]}, DATASET | {"class_names": ["non-idc", "idc"]}
    directory = run_directory.begin_run(tiny_config(*flags), before)
    with pytest.raises(UserError, match="labels 0, 1, … were idc, non-idc and are now non-idc, idc; --positive_class"):
        run_directory.begin_run(tiny_config(*flags), after)
    # What the message advises goes on, although the run was begun without the flag; another class does not.
    assert run_directory.begin_run(tiny_config(*flags, "--positive_class=non-idc"), before) == directory
    with pytest.raises(UserError, match="positive_class was non-idc and is now idc"):
        run_directory.begin_run(tiny_config(*flags, "--positive_class=idc"), after)
    # The images of the run are read again as they were numbered.
    assert run_directory.read_run(tiny_config(*flags))[1].positive_class == "non-idc"


def test_a_damaged_config_is_told(tiny_config):
    directory = run_directory.begin_run(tiny_config(), DATASET)
    (directory / "config.json").write_text('{"settings": ')
    with pytest.raises(UserError, match="config.json cannot be read"):
        run_directory.begin_run(tiny_config(), DATASET)
    with pytest.raises(UserError, match="config.json cannot be read"):
        run_directory.read_run(tiny_config())


def test_reading_a_run_needs_no_model_flags_and_refuses_contradictions(tiny_config):
    directory = run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine"), DATASET)
    from histogan_tf.cli import command_line

    def command(*flags: str):
        given = ["main.py", "--mode=generate", f"--checkpoint_dir={directory.parent}", "--run=mine", *flags]
        return run_directory.read_run(command_line.parse(given))

    found, config, dataset = command("--seed=7")
    assert (found, config.gf_dim, config.model, dataset) == (directory, 4, "dcgan1", DATASET)
    with pytest.raises(UserError, match="--gf_dim=64.*has 4"):
        command("--gf_dim=64")
    with pytest.raises(UserError, match="--model=dcgan2.*has dcgan1"):
        command("--model=dcgan2")


def test_a_missing_run_is_told_with_those_that_exist(tiny_config):
    run_directory.begin_run(tiny_config("--run=mine"), DATASET)
    with pytest.raises(UserError, match="no run other .*mine.*--run"):
        run_directory.read_run(tiny_config("--run=other"))


def test_where_there_is_no_run_at_all_the_one_that_comes_with_the_program_is_named(tiny_config):
    with pytest.raises(UserError, match=r"\(it holds none\): train one first; .* is --run=pretrained:idc$"):
        run_directory.read_run(tiny_config("--run=other"))


def test_what_the_system_says_of_a_file_is_told_without_its_number(tiny_config):
    directory = run_directory.begin_run(tiny_config("--run=mine"), DATASET)
    (directory / "config.json").unlink()
    (directory / "config.json").mkdir()
    with pytest.raises(UserError, match=r"config\.json cannot be read \(Is a directory\): put a good copy"):
        run_directory.read_run(tiny_config("--run=mine"))
