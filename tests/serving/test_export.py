"""--mode=export as a command: where it writes, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.serving import export
from histogan_tf.serving.server_files import write_server_files


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_model_lies_under_its_name_and_the_server_is_told_of_all(saved_models):
    assert sorted(path.name for path in saved_models.iterdir() if path.is_dir()) == [
        "classifier",
        "conditional",
        "plain",
        "translator-A2B",
        "translator-B2A",
    ]
    assert files_below(saved_models / "plain") == [
        "1/MODEL_CARD.md",
        "1/assets.extra/tf_serving_warmup_requests",
        "1/saved_model.pb",
        "1/variables/variables.data-00000-of-00001",
        "1/variables/variables.index",
    ]


def test_the_servers_files_are_what_the_server_reads(saved_models):
    model_server_config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    from google.protobuf import text_format

    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((saved_models / "models.config").read_text(), config)
    models = {model.name: (model.base_path, model.model_platform) for model in config.model_config_list.config}
    assert models["translator-B2A"] == ("/models/translator-B2A", "tensorflow")
    assert len(models) == 5

    batching = dict(line.split(None, 1) for line in (saved_models / "batching.config").read_text().splitlines())
    assert batching["max_batch_size"] == "{ value: 64 }"


def test_the_next_version_is_the_next_free_number_and_earlier_ones_stay(do_export, tmp_path):
    (tmp_path / "plain" / "7").mkdir(parents=True)
    (tmp_path / "plain" / "notes").mkdir()
    (tmp_path / "batching.config").write_text("max_batch_size { value: 3 }\n")
    do_export("plain", tmp_path)
    assert (tmp_path / "plain" / "8" / "saved_model.pb").exists()
    assert not list((tmp_path / "plain" / "7").iterdir())
    assert (tmp_path / "batching.config").read_text() == "max_batch_size { value: 3 }\n"
    assert export.next_version(tmp_path / "plain") == 9
    assert export.next_version(tmp_path / "other") == 1


def test_one_direction_of_a_translator_can_be_exported_alone(do_export, tmp_path):
    do_export("translator", tmp_path, "--direction=B2A")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["translator-B2A"]


@pytest.mark.parametrize(
    ("run", "flags", "words"),
    [
        ("nothing", [], "there is no run nothing"),
        ("untrained", [], "untrained has no checkpoint yet: train it"),
        ("plain", ["--z_dim=9"], "--z_dim=9"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(do_export, tmp_path, run, flags, words):
    with pytest.raises(UserError, match=words):
        do_export(run, tmp_path, *flags)
    assert not files_below(tmp_path)
    assert not list(tmp_path.rglob(".writing-*"))


def test_an_export_dir_that_is_a_file_is_refused(do_export, tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="--export_dir=.*give a folder"):
            do_export("plain", folder)
    assert (tmp_path / "file").read_text() == "x"


def test_a_version_that_another_export_wrote_meanwhile_stays(do_export, tmp_path, monkeypatch):
    (tmp_path / "plain" / "1").mkdir(parents=True)
    (tmp_path / "plain" / "1" / "saved_model.pb").write_text("theirs")
    monkeypatch.setattr(export, "next_version", lambda folder: 1)
    with pytest.raises(UserError, match="plain/1 cannot be written .*run the same command again"):
        do_export("plain", tmp_path)
    assert files_below(tmp_path) == ["plain/1/saved_model.pb"]
    assert (tmp_path / "plain" / "1" / "saved_model.pb").read_text() == "theirs"


def test_without_tensorflow_serving_api_the_extra_is_named(do_export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(UserError, match=r"tensorflow-serving-api.*histogan_tf\[export\]"):
        do_export("plain", tmp_path)
    assert not files_below(tmp_path)


def test_format_means_one_thing_to_export_and_another_to_generate():
    def format_of(*flags: str) -> str:
        return command_line.parse(["main.py", *flags]).format

    assert format_of("--mode=export") == "saved_model"
    assert format_of("--mode=generate") == "png"
    assert format_of("--mode=export", "--format=onnx") == "onnx"
    with pytest.raises(UserError, match="--format=npz: with --mode=export, choose one of saved_model, onnx, web"):
        format_of("--mode=export", "--format=npz")
    with pytest.raises(UserError, match="--format=web: with --mode=generate, choose one of png, npz, both"):
        format_of("--mode=generate", "--format=web")


def test_a_list_of_models_that_the_user_wrote_stays(tmp_path, caplog):
    write_server_files(tmp_path)
    write_server_files(tmp_path)
    assert "stays as it is" not in caplog.text
    (tmp_path / "models.config").write_text("model_config_list {}\n")
    write_server_files(tmp_path)
    assert (tmp_path / "models.config").read_text() == "model_config_list {}\n"
    assert "models.config was not written by this program, and stays as it is" in caplog.text


def test_a_folder_from_which_tensorflow_cannot_load_is_refused(do_export, tmp_path):
    with pytest.raises(UserError, match=r"cannot load a model from .*ex \[v1\].*--export_dir"):
        do_export("plain", tmp_path / "ex [v1]")
    assert not list(tmp_path.rglob("saved_model.pb"))
