"""Every command in the README is run, in its order, on small data in the layouts it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from histogan_tf.cli import command_line, commands
from histogan_tf.config.run_flags import MODELS, MODES
from histogan_tf.data.sources.phantom import make_phantom

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
NEEDS_NETWORK = "--mode=download"
TINY = {
    "dcgan": ["--gf_dim=2", "--df_dim=2", "--gfc_dim=4", "--dfc_dim=4", "--z_dim=3", "--batch_size=4"],
    "cyclegan": ["--gf_dim=1", "--df_dim=1", "--num_blocks=1", "--sample_num=2"],
    "resnet18": ["--weights=random", "--classifier_size=32"],
}


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("python main.py")]


def test_the_readme_names_every_mode_and_model():
    configs = [command_line.parse(shlex.split(command)[1:]) for command in readme_commands()]
    assert {config.mode for config in configs} >= set(MODES)
    assert {config.model for config in configs} >= set(MODELS)


def test_what_the_readme_links_to_is_there():
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert target in anchors if target.startswith("#") else (REPOSITORY / target).exists(), target


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    phantom = make_phantom(48, 50)
    for image, label, patient, name in zip(phantom.images, phantom.labels, phantom.groups, phantom.ids, strict=True):
        for folder in (tmp_path / "data" / "idc" / patient / str(label), tmp_path / "data" / "mine" / str(label)):
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{name}_idx5_x1_y1_class{label}.png")
    (tmp_path / "flags").symlink_to(REPOSITORY / "flags")
    monkeypatch.chdir(tmp_path)
    for command in readme_commands():
        if NEEDS_NETWORK in command:
            continue
        arguments = shlex.split(command)[1:]
        config = command_line.parse(arguments)
        if config.mode == "train":
            arguments += TINY["dcgan" if config.model.startswith("dcgan") else config.model]
            arguments += ["--max_steps=2"]
        if config.mode == "paper":
            arguments += ["--batch_size=4", "--weights=random"]
        if "--num_images" in command:
            arguments += ["--num_images=12"]
        commands.run_command(command_line.parse(arguments))
    assert len(list(Path("synthetic/0").iterdir())) == len(list(Path("synthetic/1").iterdir())) == 12
