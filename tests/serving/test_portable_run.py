"""--format=safetensors: a folder that is used as the run it was exported from; pretrained:NAME, one in the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import histogan_tf as hg
from histogan_tf.cli import command_line, commands
from histogan_tf.errors import UserError
from histogan_tf.runs import pretrained
from histogan_tf.runs.weights_file import named_weights
from histogan_tf.trained.load import load_networks

RUNS = ("plain", "conditional", "translator", "classifier")


@pytest.fixture(scope="module")
def exported(do_export, made_once) -> Path:
    """An --export_dir with the portable run of each."""

    def export_all(directory: Path) -> None:
        for run in RUNS:
            do_export(run, directory, "--format=safetensors")

    return made_once("portable_runs", export_all)


@pytest.fixture
def shipped(exported, tmp_path, monkeypatch) -> Path:
    """A package that holds the generator of two labels as pretrained:idc, which nobody may write to."""
    root = tmp_path / "package"
    shutil.copytree(exported / "conditional-safetensors" / "1", root / "idc")
    monkeypatch.setattr(pretrained, "PRETRAINED_FOLDER", root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    yield root
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def command(tmp_path: Path, *flags: str):
    return command_line.parse(["main.py", f"--checkpoint_dir={tmp_path / 'runs'}", *flags])


@pytest.mark.parametrize("run", RUNS)
def test_an_exported_run_has_the_networks_of_the_run_in_half_precision(exported, networks, run):
    flags = [f"--checkpoint_dir={exported / f'{run}-safetensors'}", "--run=1", "--mode=export"]
    found = load_networks(command_line.parse(["main.py", *flags]))
    originals = [trained for name, trained in networks.items() if name.startswith(run)]
    assert len(found) == len(originals) == (2 if run == "translator" else 1)
    for copy, original in zip(found, originals, strict=True):
        assert (copy.step, copy.dataset, copy.config.model) == (6, original.dataset, original.config.model)
        for name, weight in named_weights(original.state).items():
            np.testing.assert_allclose(named_weights(copy.state)[name].numpy(), weight.numpy(), rtol=2**-11, atol=1e-4)


@pytest.mark.parametrize(
    ("run", "names"),
    [
        ("plain", {"generator", "discriminator"}),
        ("translator", {"generator_A2B", "generator_B2A", "discriminator_A", "discriminator_B"}),
        ("classifier", {"features", "head"}),
    ],
)
def test_all_trained_networks_are_in_one_file_of_half_the_size(exported, runs, run, names):
    folder = exported / f"{run}-safetensors" / "1"
    tensors = load_file(folder / "weights.safetensors")
    assert {name.split("/")[0] for name in tensors} == names
    assert sum(tensor.nbytes for tensor in tensors.values() if tensor.dtype == np.float16) > 0.8 * sum(
        tensor.nbytes for tensor in tensors.values()
    )
    assert (folder / "samples.png").exists() == (run == "plain")
    assert f"| {min(names)} " in (folder / "MODEL_CARD.md").read_text()


def test_nothing_in_it_points_to_this_machine(do_export, runs, tmp_path):
    shutil.copytree(runs / "plain", tmp_path / "runs" / "run")
    path = tmp_path / "runs" / "run" / "config.json"
    record = json.loads(path.read_text())
    record["settings"] |= {"data_path": "/home/me/data", "init_from": "/home/me/first", "clusters": "~/c.csv"}
    record["initialized_from"] = {"run": "/home/me/first", "model": "dcgan1", "step": 3, "dataset": {"name": "x"}}
    record["patients"] = [f"patient-{number:03d}" for number in range(30)]
    record["initialized_from"]["patients"] = ["elsewhere"]
    path.write_text(json.dumps(record))
    for form in ("safetensors", "saved_model"):
        commands.run_command(command(tmp_path, "--mode=export", "--run=run", f"--format={form}"))
    folder = tmp_path / "runs" / "run" / "exported" / "run-safetensors" / "1"
    written, card = (folder / "config.json").read_text(), (folder / "MODEL_CARD.md").read_text()
    assert "/home" not in written + card and str(tmp_path) not in written + card
    assert json.loads(written)["settings"]["init_from"] == "first"
    assert card.startswith("# run\n")
    assert "- started from: the weights of first (dcgan1, 3 steps on x)" in card
    assert "- patients seen: 31 (elsewhere, patient-000, " in card and "patient-029)" in card
    short = (tmp_path / "runs" / "run" / "exported" / "run" / "1" / "MODEL_CARD.md").read_text()
    assert "- patients seen: 31 (elsewhere, patient-000," in short and "… (23 more)" in short


def test_the_sheet_and_python_show_the_images_that_the_folder_makes(exported):
    folder = exported / "plain-safetensors" / "1"
    run = hg.load_run(folder)
    assert (run.step, run.kind, run.name, len(run.metrics["step"])) == (6, "generator", "1", 0)
    images = run.sample(64)
    sheet = np.asarray(Image.open(folder / "samples.png"))
    np.testing.assert_array_equal(sheet[18:34, 21:40], images[9])  # 8 in a row of 16x19, with gaps of 2
    assert len({image.tobytes() for image in images}) == 64


def test_metrics_go_along_and_reach_the_card_of_the_next_export(do_export, runs, tmp_path):
    shutil.copytree(runs / "plain", tmp_path / "runs" / "plain")
    (tmp_path / "runs" / "plain" / "evaluation").mkdir()
    metrics = {"metrics": {"kid-n8": {"synthetic": {"value": 0.25, "deviation": 0.031}, "floor": {"value": 0.5}}}}
    (tmp_path / "runs" / "plain" / "evaluation" / "synthesis.json").write_text(json.dumps(metrics))
    commands.run_command(command(tmp_path, "--mode=export", "--run=plain", "--format=safetensors"))
    exported = tmp_path / "runs" / "plain" / "exported" / "plain-safetensors"
    flags = ["--mode=export", f"--checkpoint_dir={exported}", "--run=1", "--format=safetensors"]
    commands.run_command(command_line.parse(["main.py", *flags]))
    again = exported / "1" / "exported" / "1-safetensors" / "1"
    assert "| kid-n8 | 0.25 ± 0.031 |" in (again / "MODEL_CARD.md").read_text()
    assert (again / "weights.safetensors").read_bytes() == (exported / "1" / "weights.safetensors").read_bytes()


def test_an_exported_run_is_not_trained_and_has_one_checkpoint(exported, tmp_path):
    folder = shutil.copytree(exported / "plain-safetensors" / "1", tmp_path / "runs" / "run")
    train = ("--model=dcgan1", "--gf_dim=4", "--df_dim=4", "--z_dim=5", "--output_height=16", "--max_steps=1")
    for more in ((), ("--restart",)):
        with pytest.raises(UserError, match="run is an exported run, which is not trained.*--init_from="):
            commands.run_command(command(tmp_path, "--run=run", "--train_size=14", "--batch_size=4", *train, *more))
    assert (folder / "weights.safetensors").exists()
    with pytest.raises(UserError, match="--checkpoint=best: .*leave --checkpoint out"):
        load_networks(command(tmp_path, "--run=run", "--mode=generate", "--checkpoint=best"))
    record = json.loads((folder / "config.json").read_text())
    del record["step"]
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="config.json cannot be read .it has no step"):
        load_networks(command(tmp_path, "--run=run", "--mode=generate"))


def test_weights_of_another_size_are_told_with_both_shapes(exported, tmp_path):
    folder = shutil.copytree(exported / "plain-safetensors" / "1", tmp_path / "runs" / "run")
    record = json.loads((folder / "config.json").read_text())
    record["settings"]["z_dim"] = 6
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"tensor generator/g_h0_lin/kernel is \(5, 64\) where \(6, 64\) is expected"):
        load_networks(command(tmp_path, "--run=run", "--mode=generate"))


def test_a_pretrained_run_works_in_each_command_and_its_results_lie_elsewhere(shipped, tmp_path, caplog):
    run = ("--run=pretrained:idc",)
    commands.run_command(command(tmp_path, "--mode=generate", *run, "--num_images=4", "--label=idc"))
    commands.run_command(command(tmp_path, "--mode=visualize", *run, "--num_images=4"))
    for form in ("saved_model", "onnx", "safetensors"):
        commands.run_command(command(tmp_path, "--mode=export", *run, f"--format={form}"))
    results = tmp_path / "runs" / "pretrained-idc"
    assert len(list((results / "generated" / "1").glob("*.png"))) == 4
    assert (results / "visualize" / "grid.png").exists()
    exported = sorted(path.name for path in (results / "exported").iterdir() if path.is_dir())
    assert exported == ["pretrained-idc", "pretrained-idc-onnx", "pretrained-idc-safetensors"]
    assert "pretrained:idc, which comes with the program, trained for 6 steps" in caplog.text


def test_python_samples_from_a_pretrained_run(shipped, tmp_path):
    run = hg.load_run("pretrained:idc", checkpoint_dir=tmp_path)
    images = run.sample(6, label="idc")
    assert (images.shape, images.dtype, run.name) == ((6, 17, 16, 1), np.uint8, "pretrained:idc")
    assert not np.array_equal(images, run.sample(6, label="non-idc"))
    assert list(tmp_path.iterdir()) == [shipped]


def test_an_unknown_name_is_told_with_those_there_are_and_none_is_trained(shipped, tmp_path):
    for wrong in ("pretrained:mnist", "pretrained:", "pretrained:.."):
        with pytest.raises(UserError, match=r"--run=pretrained:\S* does not come .* has pretrained:idc: choose"):
            load_networks(command(tmp_path, "--mode=generate", f"--run={wrong}"))
    with pytest.raises(UserError, match="--run=pretrained:idc comes with .*--init_from=pretrained:idc"):
        command(tmp_path, "--run=pretrained:idc")


def test_a_pretrained_run_is_measured_against_the_images_that_are_named(shipped, tmp_path, caplog):
    record = json.loads((shipped / "idc" / "config.json").read_text())
    evaluate = ("--mode=evaluate", "--run=pretrained:idc", "--num_images=12")
    with pytest.raises(UserError, match="comes without the images .*--dataset and --data_path"):
        commands.run_command(command(tmp_path, *evaluate))
    folder = tmp_path / "grey"
    for label in ("non-idc", "idc"):
        (folder / label).mkdir(parents=True)
        for number in range(20):
            pixels = np.random.default_rng(number).integers(0, 256, (17, 16), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    data = ("--dataset=grey", f"--data_path={folder}", "--label=idc", "--part=all")
    with pytest.raises(UserError, match="are 20x16x1, and pretrained:idc makes .*--output_height=17 --output_width=16"):
        commands.run_command(command(tmp_path, *evaluate, *data, "--output_height=20", "--output_width=16"))
    commands.run_command(command(tmp_path, *evaluate, *data))
    report = json.loads((tmp_path / "runs" / "pretrained-idc" / "evaluation" / "synthesis.json").read_text())
    assert (report["settings"]["num_real"], report["settings"]["num_synthetic"]) == (20, 12)
    assert record["patients"] is None and "has seen" not in caplog.text
