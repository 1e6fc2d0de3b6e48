"""What README.md, docs/ and CONTRIBUTING.md say is true: commands, Python, links, flags and paths.

A page marks its blocks of code by language:

- sh: commands of `python main.py`. All of them are run here, page by page and in their order, in a folder with a few
  small images in the layouts that the pages name.
- none: commands that are not run here. Each must stand in NOT_RUN, under the reason.
- python: run here too; only the README has such blocks.
- text: no commands.

Each training, by a command or in Python, gets the flags of TINY last, which make its network small and stop it after
two steps. Nothing else is changed.
"""

from __future__ import annotations

import csv
import functools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import histogan_tf
from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config, flag_fields
from histogan_tf.data.sources.phantom import make_phantom

REPOSITORY = Path(__file__).parents[1]
DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
# In the order in which their commands are run: a page may use the runs of those before it.
PAGES = (REPOSITORY / "README.md", *DOCS, REPOSITORY / "CONTRIBUTING.md")
RECIPES = sorted((REPOSITORY / "flags").glob("*.cfg"))

_TINY_GAN = {"gf_dim": 2, "df_dim": 2, "z_dim": 3, "batch_size": 4, "max_steps": 2}
_TINY_DCGAN = {**_TINY_GAN, "gfc_dim": 4, "dfc_dim": 4}
TINY: Mapping[str, Mapping[str, Any]] = {
    "dcgan1": _TINY_DCGAN,
    "dcgan2": _TINY_DCGAN,
    "dcgan3": _TINY_DCGAN,
    "projected": {**_TINY_GAN, "max_gf_dim": 4, "num_modes": 2, "feature_size": 32, "weights": "random"},
    "cyclegan": {"gf_dim": 1, "df_dim": 1, "num_blocks": 1, "sample_num": 2, "max_steps": 2},
    "resnet18": {"weights": "random", "classifier_size": 32},
}
NUM_IMAGES = 12  # in place of each --num_images

# Commands, by their first line, that are not run, under the reason.
NOT_RUN: Mapping[str, tuple[str, ...]] = {
    "installs packages, which needs a network": (
        "make run",
        "make test",
        "make test-benchmarks",
        "make fuzz",
        "make lint",
        "pip install -e '.[gpu]'",
        "pip install jupyterlab && jupyter lab",
        "pip install -e '.[bench]'",
    ),
    "fetches data or packages, which needs a network": (
        "python main.py --mode=download --dataset=idc",
        "python main.py --model=dcgan1 --dataset=lsun --crop --input_height=256 --output_height=64 --train_size=303125",
        "make web",
        "make web ARGS='--run=dcgan3-idc-idc --export_dir=exports'",
    ),
    "reads a set of gigabytes; the tests of its reader have a few images in its layout": (
        "python main.py --mode=describe --dataset=pcam",
        "python main.py --mode=describe --dataset=cancer-detection",
        "python main.py --mode=describe --dataset=medmnist --medmnist=pathmnist",
        "python main.py --mode=describe --dataset=breakhis --magnification=40,100 --classes=subtypes",
        "python main.py --mode=describe --dataset=nct-crc",
    ),
    "takes 25 minutes or more": (
        "python main.py --model=dcgan3 --epoch=50",
        "python main.py --flagfile=flags/paper.cfg --data_path=data/idc",
        "python main.py --flagfile=flags/paper_cpu.cfg --data_path=data/idc",
        "python main.py --flagfile=flags/paper_cpu.cfg --data_path=data/idc --feature_layer=stage2+stage3 "
        "--precision=bfloat16",
        "python main.py --flagfile=flags/paper_cpu.cfg --data_path=data/idc --split_by=image --few_patients=",
        "python main.py --flagfile=flags/paper_cpu.cfg --data_path=data/idc --split_by=image --generators=",
        "python main.py --flagfile=flags/dcgan1.cfg --data_path=data/idc --gf_dim=32 --df_dim=32 --precision=bfloat16 "
        "--epoch=400",
        "python main.py --flagfile=flags/dcgan2.cfg --data_path=data/idc --gf_dim=32 --df_dim=32 --precision=bfloat16 "
        "--epoch=400",
        "python main.py --flagfile=flags/dcgan3.cfg --data_path=data/idc --gf_dim=8 --df_dim=32 --precision=bfloat16 "
        "--epoch=400",
        "python main.py --flagfile=flags/dcgan_small.cfg --data_path=data/idc --gf_dim=32 --df_dim=32",
        "python -m benchmarks --output=bench --seconds=4",
        "python -m benchmarks.operations",
        "python -m benchmarks.learning_curves --output=curves --minutes=2,4,8,15,30,60",
        "python -m benchmarks.learning_curves --output=curves --minutes=4,8,15,30 --recipes=tissue",
        ".venv/bin/python -m benchmarks --output=bench --workloads=dcgan1",
    ),
    "goes on from the generator that comes with the program, which has no tiny twin": (
        "python main.py --flagfile=flags/tissue_transfer.cfg --data_path=data/idc --precision=bfloat16",
        "python main.py --flagfile=flags/tissue_small.cfg --data_path=data/idc --precision=bfloat16",
        "python main.py --mode=generate --run=tissue_transfer --num_images=1000 --label=idc "
        "--output_dir=synthetic_transfer",
    ),
    "takes minutes; the tests of the study run it smaller": ("python main.py --mode=paper --quick",),
    "takes patches out of a public set, which needs a network": (
        "python main.py --mode=download --dataset=idc-full",
        "mkdir -p data/study",
        "tail -n +2 docs/study/patches.csv | cut -d, -f1 | tar -C data/idc-full -cf - -T - | tar -C data/study -xf -",
    ),
    "learns from patches that a study of hours has made": (
        "python main.py --model=resnet18 --dataset=idc --data_path=data/idc --split_by=patient",
    ),
    "prints the help, which the tests of the command line read": ("python main.py --help",),
    "needs several GPUs, or a process whose TensorFlow has not begun; the tests of replicas start one": (
        "python main.py --model=dcgan1 --dataset=idc --data_path=data/idc --distribution=mirrored --sync_batch_norm",
    ),
    "needs two hosts; the tests of two workers start two processes": (
        """export TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": """
        """{"type": "worker", "index": 0}}'""",
        "python main.py --model=dcgan1 --dataset=idc --data_path=data/idc --distribution=multi_worker "
        "--sync_batch_norm",
        "sbatch examples/slurm.sbatch --model=dcgan1 --dataset=idc --data_path=data/idc",
    ),
    "needs Docker, or a server that runs in it": (
        'docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD/exports:/models" tensorflow/serving',
        "curl -s http://localhost:8501/v1/models/dcgan3-idc-idc:predict",
        "python examples/serving_client.py --model=dcgan3-idc-idc --protocol=grpc --count=4 --seed=7",
    ),
    "serves until it is stopped": ("tensorboard --logdir checkpoints",),
    "reads what people answered; the tests of the quiz answer one": (
        "python main.py --mode=evaluate --quiz=a.csv,b.csv",
    ),
    "changes the reader's shell, and nothing else": (". .venv/bin/activate",),
    "runs these tests, or changes this code": (
        ".venv/bin/python -m pytest tests/training -x -q",
        ".venv/bin/python -m pytest -m 'not slow'",
        ".venv/bin/ruff check --fix . && .venv/bin/ruff format .",
    ),
}

# What looks like a flag on the pages and is another program's.
OTHER_FLAGS: Mapping[str, tuple[str, ...]] = {
    "this program, beside its settings": ("help", "helpshort", "flagfile"),
    "DCGAN-tensorflow": ("train", "out_dir", "out_name", "export", "freeze", "G_img_sum"),
    "TF Serving and Docker": (
        "rm",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "enable_batching",
        "batching_parameters_file",
    ),
    "examples/serving_client.py": ("protocol", "count"),
    "benchmarks": ("output", "precisions", "seconds", "workloads", "minutes", "recipes", "training", "judge"),
    "ruff": ("fix",),
    "TensorBoard": ("logdir",),
}


class Command(NamedTuple):
    """A command on a page.

    Attributes:
        page: that it stands on, such as "docs/data.md".
        text: as it stands there; it may have several lines.
        is_run: whether it stands in a block of sh.
    """

    page: str
    text: str
    is_run: bool

    @property
    def first_line(self) -> str:
        """Without comment, continuation mark and repeated spaces: what NOT_RUN knows it by."""
        return " ".join(re.sub(r"\s# .*|\\$", "", self.text.splitlines()[0]).split())

    @property
    def arguments(self) -> list[str]:
        """The program's name and its arguments."""
        return shlex.split(self.text.replace("\\\n", " "), comments=True)[1:]


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```(.*)\n((?:(?!```).*\n)*)```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Block(language, text) for language, text in found]


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*\n(?:(?!```).*\n)*```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def code_in_prose(page: Path) -> list[str]:
    """What stands between backticks outside of blocks."""
    return re.findall(r"`([^`]+)`", prose_of(page))


def split_commands(text: str) -> Iterator[str]:
    """The commands of a block: one goes on over lines where a quote is open, or after a backslash or a pipe."""
    pending: list[str] = []
    for line in text.splitlines():
        pending.append(line)
        command = "\n".join(pending)
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            continue
        if words and not line.endswith(("\\", "|")):
            yield command
            pending = []
    assert not pending, f"a command without an end: {pending}"


PROGRAMS = r"(?:python|make|pip|tensorboard|docker|curl|sbatch|npm|export|mkdir|tail|\.|\.venv/bin/\w+) "


@functools.cache
def all_commands() -> tuple[Command, ...]:
    """The commands in blocks and in the prose of all pages."""
    found = []
    for page in PAGES:
        name = str(page.relative_to(REPOSITORY))
        for block in blocks_of(page):
            if block.language in ("sh", ""):
                found += [Command(name, text, block.language == "sh") for text in split_commands(block.text)]
        found += [Command(name, text, False) for text in code_in_prose(page) if re.match(PROGRAMS, text)]
    return tuple(found)


def configs() -> list[Config]:
    """What the commands of `python main.py` ask for."""
    own = [command for command in all_commands() if command.first_line.startswith("python main.py --")]
    return [command_line.parse(command.arguments) for command in own if "--help" not in command.arguments]


def test_every_command_is_run_or_listed_with_a_reason():
    listed = [command for names in NOT_RUN.values() for command in names]
    assert len(listed) == len(set(listed))
    run = {command.first_line for command in all_commands() if command.is_run}
    not_run = {command.first_line for command in all_commands() if not command.is_run}
    assert not_run - set(listed) == set(), "neither run nor in NOT_RUN"
    assert set(listed) - not_run == set(), "in NOT_RUN, and on no page"
    assert not run & not_run
    assert all(name.startswith("python main.py --") for name in run), "a block of sh holds what cannot be run here"


def test_no_command_is_overlooked():
    """As many lines begin with a program as commands were found, all of them where commands are looked for."""
    in_blocks = 0
    for page in PAGES:
        for block in blocks_of(page):
            assert block.language in ("sh", "", "python", "text"), (page, block.language)
            assert block.language != "python" or page.name == "README.md", page
            lines = re.findall(rf"^\$? *{PROGRAMS}", block.text, flags=re.MULTILINE)
            if block.language in ("sh", ""):
                in_blocks += len(re.findall(rf"^{PROGRAMS}", block.text, flags=re.MULTILINE))
            else:
                assert not lines, (page, lines)
        prose = prose_of(page)
        assert "```" not in prose, page
        assert not re.search(r"^(?: {4}|\t)\S", prose, flags=re.MULTILINE), f"{page} has an indented block"
    in_prose = sum(
        code.startswith(("python ", "make ", "pip ", "tensorboard ")) for page in PAGES for code in code_in_prose(page)
    )
    assert in_blocks + in_prose == len(all_commands())


def test_the_pages_name_every_mode_and_model(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(REPOSITORY)
    choices = {field.name: field.metadata["choices"] for field in flag_fields()}
    for name in ("mode", "model"):
        assert {getattr(config, name) for config in configs()} == set(choices[name])


def test_every_flag_that_a_page_names_exists():
    known = {field.name for field in flag_fields()}
    others = {name for names in OTHER_FLAGS.values() for name in names}
    named = {
        name
        for page in (*PAGES, *RECIPES, REPOSITORY / "checkpoints" / "README.md")
        for name in re.findall(r"(?<![\w-])--([A-Za-z]\w*)", page.read_text(encoding="utf-8"))
    }
    assert named - known - others == set(), "no such flag"
    assert others - named == set(), "in OTHER_FLAGS, and on no page"


def anchors_of(page: Path) -> set[str]:
    """As GitHub makes them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> list[tuple[Path, str]]:
    """File and anchor of each link that leads to this repository."""
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose_of(page))
    return [
        (page.parent / target.partition("#")[0] if target[0] != "#" else page, target.partition("#")[2])
        for target in targets
    ]


def test_what_a_page_links_to_is_there():
    pages = (*PAGES, REPOSITORY / "checkpoints" / "README.md")
    for page in pages:
        for target, anchor in links_of(page):
            assert target.exists(), (page, target)
            assert not anchor or anchor in anchors_of(target), (page, target, anchor)
    linked = {target.resolve() for page in pages for target, _ in links_of(page)}
    assert {*PAGES} - {REPOSITORY / "README.md"} <= linked, "no page leads there"


def test_the_paths_that_a_page_names_exist():
    for page in PAGES:
        for code in code_in_prose(page):
            if re.fullmatch(r"(?:histogan_tf|tests|flags|examples|docs|benchmarks)/[\w./*-]*", code):
                assert list(REPOSITORY.glob(code.rstrip("/"))), (page, code)
    (code_map,) = [block.text for block in blocks_of(REPOSITORY / "README.md") if block.language == "text"]
    packages = {path.parent.name for path in (REPOSITORY / "histogan_tf").glob("*/__init__.py")}
    assert packages == set(re.findall(r"(\w+)/", code_map)) - {"flags", "histogan_tf", "tests"}


def rows_of(page: Path) -> dict[str, list[str]]:
    """The cells of the table rows of a page by their first cell; of rows with the same one, the first row's."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in reversed(cells)}


def test_the_readme_is_short_and_its_table_is_that_of_the_study():
    readme = REPOSITORY / "README.md"
    assert 6 * 1024 <= readme.stat().st_size <= 8 * 1024
    whole = rows_of(REPOSITORY / "docs" / "study.md")
    for title in ("Real", "CCAN", "CCAN and Real", "DCGAN", "DCGAN and Real", "Tissue GAN", "Tissue GAN and Real"):
        _, *cells, _ = whole[title]  # without the paper's numbers, and the area under the curve
        assert rows_of(readme)[title] == cells


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with small sets in data/ (idc, mine, tissues and celebA), and the recipes in flags/.

    data/labels.csv repeats the labels of data/mine.
    """
    phantom = make_phantom(48, 50)
    for image, label, patient, name in zip(phantom.images, phantom.labels, phantom.groups, phantom.ids, strict=True):
        for path in (tmp_path / "data" / "idc" / patient / str(label), tmp_path / "data" / "mine" / str(label)):
            path.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path / f"{name}_idx5_x1_y1_class{label}.png")
    lines = [
        f"{name}_idx5_x1_y1_class{label},{label}\n" for name, label in zip(phantom.ids, phantom.labels, strict=True)
    ]
    (tmp_path / "data" / "labels.csv").write_text("".join(["image_id,class\n", *lines]))
    for number, image in enumerate(phantom.images):
        tissue = tmp_path / "data" / "tissues" / ("fat", "mucus", "stroma")[number % 3]
        tissue.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tissue / f"{number}.png")
    faces = tmp_path / "data" / "celebA"
    faces.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (5, 218, 178, 3), np.uint8)):
        Image.fromarray(pixels).save(faces / f"{number:06d}.jpg")
    (tmp_path / "flags").symlink_to(REPOSITORY / "flags")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_small(arguments: list[str]) -> list[str]:
    """The arguments with those that make the command a matter of seconds."""
    config = command_line.parse(arguments)
    more = {}
    if config.mode == "train":
        more |= TINY[config.model]
        if config.dataset == "phantom":
            more["phantom_images"] = 48
    if config.mode == "paper":  # a plan: it estimates the study's networks by building them
        more |= {"gf_dim": 2, "df_dim": 2, "num_blocks": 1, "batch_size": 4} | TINY["resnet18"]
    if config.eval_freq:
        more["eval_freq"] = 2
    if config.mode == "quiz":
        more["num_questions"] = NUM_IMAGES
    if "num_images" in config.given:
        more["num_images"] = NUM_IMAGES
    return arguments + [f"--{name}={value}" for name, value in more.items()]


@pytest.mark.slow
def test_the_commands_run(folder: Path):
    """Each once, however often the pages give it."""
    texts = {}
    for command in all_commands():
        if command.is_run:
            texts.setdefault(" ".join(command.arguments), command)
    for command in texts.values():
        try:
            commands.run_command(command_line.parse(made_small(command.arguments)))
        except Exception as error:
            error.add_note(f"{command.page}: {command.text}")
            raise
    synthetic = folder / "synthetic"
    assert len(list((synthetic / "0").iterdir())) == len(list((synthetic / "1").iterdir())) == NUM_IMAGES


@pytest.mark.slow
def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """All blocks of the README one after the other, as in one session; `train` gets the flags of TINY last."""
    train = histogan_tf.train

    def train_small(images: Any, **flags: Any) -> Any:
        return train(images, **{**flags, **TINY[flags["model"]]})

    monkeypatch.setattr(histogan_tf, "train", train_small)
    names: dict[str, Any] = {}
    for block in blocks_of(REPOSITORY / "README.md"):
        if block.language == "python":
            exec(compile(block.text, "README.md", "exec"), names)
    assert names["patches"].shape == (64, 50, 50, 3) and names["patches"].dtype == np.uint8
    assert isinstance(names["scores"], dict) and names["scores"]
    probabilities = names["probabilities"]
    assert probabilities.shape == (len(names["both"].images),) == (48,)
    assert ((probabilities >= 0) & (probabilities <= 1)).all() and np.ptp(probabilities) > 0


def test_the_list_of_the_studys_patches_is_whole():
    with (REPOSITORY / "docs" / "study" / "patches.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == len(rows) == 2759 + 2788
    assert sum(row["label"] == "idc" for row in rows) == 2788
    assert len({row["patient"] for row in rows}) == 199
    for row in rows:
        assert re.fullmatch(rf"{row['patient']}/([01])/{row['patient']}_idx5_x\d+_y\d+_class\1\.png", row["file"])
