"""What is said before any training: the plan, and mistakes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.config.paper_flags import STAGES
from histogan_tf.errors import UserError
from histogan_tf.paper import run_study
from histogan_tf.paper.configs import FEW, FEW_STEPS, StudyConfigs
from histogan_tf.paper.configs import command_line as line_of
from histogan_tf.paper.rows import BASELINE, PUBLISHED_ROWS, ROWS, STAIN, SYNTHETIC
from histogan_tf.paper.stages import recorded_setting
from histogan_tf.paper.study_images import find_images

REPOSITORY = Path(__file__).parents[2]


GENERATORS = "--generators=dcgan,ccan,small,conditional,tissue"
SEEDS = (42, 43)  # of two repeats, from the default seed on


@pytest.fixture(scope="module")
def stages(stages_of, study_config, tmp_path_factory):
    """The stages of a study of two repeats, by name."""
    return stages_of(study_config(tmp_path_factory.mktemp("planned"), f"--repeats={len(SEEDS)}", GENERATORS))


def test_a_dry_run_tells_every_stage_once_and_does_nothing(tmp_path: Path, caplog, study_config, stages_of):
    config = study_config(tmp_path, "--dry_run")
    commands.run_command(config)
    told = re.findall(r"^ +(\S+) .* not done yet$", caplog.text, re.MULTILINE)
    assert told == list(stages_of(config))
    assert "nothing was done" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_plan_needs_no_network_for_weights_that_are_not_here(tmp_path: Path, caplog, study_config, monkeypatch):
    def no_network(*arguments, **options):
        raise AssertionError("a plan needs no weights")

    monkeypatch.setattr(run_study, "load_backbone", no_network)
    monkeypatch.setattr(run_study, "downloaded_imagenet", lambda backbone: None)
    config = study_config(tmp_path, "--dry_run", "--weights=imagenet")
    assert run_study._known_backbone(config, tmp_path) == "not downloaded yet"
    assert "the pretrained weights are not on this machine yet" in caplog.text


def test_random_weights_of_another_network_are_other_weights(study_config, tmp_path):
    found = [run_study._backbone(study_config(tmp_path, f"--backbone={name}")) for name in ("resnet18", "vgg16")]
    assert found == ["random", "random vgg16"]


def test_a_plan_knows_the_weights_that_the_study_has_recorded(tmp_path: Path):
    records = tmp_path / "stages"
    records.mkdir()
    for name, text in (("a", "[]"), ("b", '{"settings": {"backbone": 3}}'), ("c", '{"settings": {"backbone": "1f"}}')):
        (records / f"{name}.json").write_text(text)
    assert recorded_setting(tmp_path, "backbone") == "1f"
    assert recorded_setting(tmp_path, "other") is None


def test_every_kind_that_can_be_asked_for_has_a_stage_and_every_output_one_writer(stages):
    assert {stage.kind for stage in stages.values()} == set(STAGES)
    outputs = [output for stage in stages.values() for output in stage.outputs]
    assert len(outputs) == len(set(outputs))


def test_stages_that_read_nothing_of_others_are_those_of_the_whole_dataset(stages):
    assert {name for name, stage in stages.items() if not stage.needs} == {"describe", "split"}
    assert stages["cluster"].needs == ("split",)
    for model in ("dcgan1", "dcgan2", "dcgan3"):  # Figure 5, of the first repeat alone
        assert stages[f"{model}-cluster"].needs == ("split", "cluster")
        assert stages[f"{model}-cluster"].outputs == (f"seed-{SEEDS[0]}/{model}-cluster",)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("images", "source", "networks"),
    [
        ("dcgan", "generate-dcgan", ("dcgan3-0", "dcgan3-1")),
        ("small", "generate-small", ("small-0", "small-1")),
        ("tissue", "generate-tissue", ("tissue",)),
        ("conditional", "generate-conditional", ("dcgan3-conditional",)),
        ("ccan", "translate", ("cyclegan",)),
    ],
)
def test_synthetic_images_come_from_networks_of_their_own_repeat(stages, seed, images, source, networks):
    assert images in SYNTHETIC
    made = stages[f"{source}-seed-{seed}"]
    assert made.needs == tuple(f"{network}-seed-{seed}" for network in networks)
    assert made.outputs == (f"seed-{seed}/synthetic/{images}",)
    for network in networks:
        trained = stages[f"{network}-seed-{seed}"]
        assert (trained.needs, trained.outputs) == (("split",), (f"seed-{seed}/{network}",))
    measured = stages[f"synthesis-{images}-seed-{seed}"]
    assert measured.needs == ("split", made.name)
    assert measured.outputs == tuple(f"seed-{seed}/synthesis/{images}-{label}" for label in (0, 1))
    compared = stages[f"class-truth-{images}-seed-{seed}"]
    assert (compared.needs, compared.outputs) == (("split", made.name), (f"seed-{seed}/class_truth/{images}.json",))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_classifier_of_each_row_reads_the_images_that_the_row_names(stages, row, seed):
    stage = stages[f"classifier-{row.name}-seed-{seed}"]
    assert (stage.kind, stage.outputs) == ("classify", (f"seed-{seed}/classifier-{row.name}",))
    if row.synthetic is None:
        assert stage.needs == ("split",)
        return
    split, source = stage.needs
    assert split == "split"
    assert f"seed-{seed}/synthetic/{row.images}" in stages[source].outputs
    if row.rule:  # the classifier of real images tells how sure it is of each image
        needs_split, made, baseline = stages[source].needs
        assert (needs_split, baseline) == ("split", f"classifier-{BASELINE}-seed-{seed}")
        assert stages[made].outputs == (f"seed-{seed}/synthetic/{row.synthetic}",)


def test_what_decides_the_features_is_recorded_by_all_that_compares_features(stages_of, study_config, tmp_path):
    flags = ("--feature_layer=stage1", "--center_crop")
    was, now = (stages_of(study_config(tmp_path, *given)) for given in ((), flags))
    recorded = {name: {"settings": json.loads(json.dumps(stage.settings))} for name, stage in was.items()}
    changed = {name for name, stage in now.items() if stage.settings_changed(recorded[name])}
    names = ("classifier-real", "select-dcgan", "synthesis-tissue", "class-truth-ccan")
    assert {"curves", "report", *(f"{name}-seed-42" for name in names)} <= changed
    assert {now[name].kind for name in changed} == {"classify", "select", "synthesis", "few_epochs", "curves", "report"}


def test_gans_may_be_trained_in_fewer_repeats_than_classifiers(stages_of, study_config, tmp_path):
    stages = stages_of(study_config(tmp_path, "--repeats=3", "--gan_repeats=2", "--generators=dcgan,tissue"))
    assert {name for name in stages if name.startswith("dcgan3-0-")} == {"dcgan3-0-seed-42", "dcgan3-0-seed-43"}
    sources = {f"generate-dcgan-seed-{seed}" for seed in (42, 43)}
    assert sources <= set(stages) and "generate-dcgan-seed-44" not in stages
    for seed, source in ((42, 42), (43, 43), (44, 42)):  # they take turns
        assert stages[f"classifier-dcgan-seed-{seed}"].needs == ("split", f"generate-dcgan-seed-{source}")
        assert stages[f"classifier-dcgan-seed-{seed}"].outputs == (f"seed-{seed}/classifier-dcgan",)
    # The network is tuned as often as GANs are trained, because that takes long, too.
    tuned = {name for name in stages if name.startswith("classifier-fine-tuned-")}
    assert tuned == {f"classifier-fine-tuned-seed-{seed}" for seed in (42, 43)} == tuned & set(stages["table"].needs)
    assert not [name for name in stages if "ccan" in name or "small" in name or "cyclegan" in name]
    assert {f"classifier-{row}-seed-42" for row in ("real", "dcgan", "dcgan-and-real")} == set(stages["compare"].needs)
    with pytest.raises(UserError, match="--gan_repeats=3 is more than --repeats=2: give at most as many"):
        study_config(tmp_path, "--repeats=2", "--gan_repeats=3")


def test_few_patients_may_be_drawn_more_often_than_gans_are_repeated(stages_of, study_config, tmp_path):
    flags = ("--few_patients=2,3", "--phantom_images=300")
    one, three = (
        stages_of(study_config(tmp_path, *flags, *more)) for more in ((), ("--few_draws=3", "--gan_repeats=1"))
    )
    assert study_config(tmp_path, "--repeats=4", "--gan_repeats=2").few_draws == 2
    of_a_draw = ("few-patients", "tissue-2-patients", "generate-few-2", "tissue-3-patients", "generate-few-3")
    assert set(three) - set(one) == {f"{name}-seed-{seed}" for name in of_a_draw for seed in (43, 44)}
    gans = [three[f"tissue-3-patients-seed-{seed}"] for seed in (42, 43, 44)]
    assert [gan.settings["seed"] for gan in gans] == [42, 43, 44]  # each draw has a GAN of its own
    assert [gan.outputs for gan in gans] == [(f"seed-{seed}/few/tissue-3-patients",) for seed in (42, 43, 44)]
    added = {f"generate-few-{number}-seed-{seed}" for number in (2, 3) for seed in (43, 44)}
    assert set(three["curves"].needs) - set(one["curves"].needs) == added
    same = [name for name in one if name not in ("curves", "report")]
    assert all(one[name].settings == three[name].settings and one[name].needs == three[name].needs for name in same)
    assert "curves" not in one["pictures"].needs and "curves" in one["pictures"].after


@pytest.mark.parametrize("generators", ["", "tissue"])
def test_real_alone_is_compared_with_nothing(stages_of, study_config, tmp_path, generators):
    stages = stages_of(study_config(tmp_path, f"--generators={generators}"))
    assert "compare" not in stages
    assert {"table", "pictures"} <= set(stages["report"].needs) <= set(stages)


def test_the_curves_read_gans_of_few_patients_and_more_images(stages_of, study_config, tmp_path):
    config = study_config(tmp_path, "--few_patients=3,2,3,500", "--phantom_images=300")
    stages = stages_of(config)
    for number in (2, 3):  # the training part has fewer than 500 patients
        trained = stages[f"tissue-{number}-patients-seed-42"]
        assert (trained.needs, trained.after) == (("split",), ("few-patients-seed-42",))
        assert trained.outputs == (f"seed-42/few/tissue-{number}-patients",)
        made = stages[f"generate-few-{number}-seed-42"]
        assert (made.needs, made.outputs) == ((trained.name,), (f"seed-42/few/images-{number}",))
    assert not [name for name in stages if "500" in name]
    needs = set(stages["curves"].needs)
    assert {"generate-few-2-seed-42", "generate-few-3-seed-42", "stain-seed-42", "translate-seed-42"} <= needs
    more, counts = stages["generate-dcgan-more-seed-42"], stages["generate-dcgan-seed-42"].settings["num_images"]
    assert more.name in needs
    assert more.settings["num_images"] == {label: 3 * count for label, count in counts.items()}
    assert more.settings["seed"] != stages["generate-dcgan-seed-42"].settings["seed"]
    few = StudyConfigs(config).generator(FEW, 42)
    assert (few.model, few.conditional, few.max_steps) == ("projected", True, min(FEW_STEPS, config.max_steps))


def test_the_classifiers_that_stop_early_read_the_images_of_the_networks_of_the_study(
    stages, stages_of, study_config, tmp_path
):
    sources = ("translate", "generate-dcgan", "generate-small", "generate-conditional", "generate-tissue")
    assert set(stages["few-epochs"].needs) == {"split", *(f"{source}-seed-42" for source in sources)}
    assert stages_of(study_config(tmp_path, "--generators="))["few-epochs"].needs == ("split",)


def test_another_number_of_patients_leaves_the_gans_of_the_first_as_they_are(stages_of, study_config, tmp_path):
    was, now = (
        stages_of(study_config(tmp_path, f"--few_patients={numbers}", "--phantom_images=300"))
        for numbers in ("3", "2,3")
    )
    assert set(now) - set(was) == {"tissue-2-patients-seed-42", "generate-few-2-seed-42"}
    redone = {"few-patients-seed-42", "curves", "report"}
    for name, stage in was.items():
        assert (now[name].settings == stage.settings) == (name not in redone), name
    for name in ("tissue-3-patients-seed-42", "generate-few-3-seed-42"):
        assert (now[name].needs, now[name].outputs) == (was[name].needs, was[name].outputs)
        assert not redone.intersection(now[name].needs)


def test_figure_5_costs_what_its_cluster_does_once_the_cluster_is_known(stages_of, study_config, tmp_path):
    config = study_config(tmp_path, "--max_steps=1000", "--phantom_images=300")
    num_images = find_images(config).num_training(1)
    stage = stages_of(config)["dcgan1-cluster"]
    of_class = stage.cost().multiply_adds
    summary = tmp_path / "paper-phantom" / "clusters" / "summary.json"
    summary.parent.mkdir(parents=True)
    steps = num_images // 8  # an epoch, in batches of --batch_size=8
    for size, images in ((40, 40), (8, 8), (3, 3), (num_images, steps * 8)):
        summary.write_text(json.dumps({"clusters": [{"cluster": 1, "size": 9}, {"cluster": 0, "size": size}]}))
        assert stage.cost().multiply_adds == pytest.approx(of_class * images / (steps * 8)), size
    for damaged in ("{", "[]", '{"clusters": []}'):
        summary.write_text(damaged)
        assert stage.cost().multiply_adds == of_class


def test_a_gan_of_all_patients_is_no_gan_of_few(stages_of, study_config, tmp_path):
    num_all = find_images(study_config(tmp_path)).num_training_patients
    stages = stages_of(study_config(tmp_path, f"--few_patients={num_all - 1},{num_all}"))
    made = [name for name in stages if name.startswith("generate-few-")]
    assert made == [f"generate-few-{num_all - 1}-seed-42"]


def test_the_results_read_every_row_of_every_repeat(stages):
    first = SEEDS[0]
    assert set(stages["compare"].needs) == {f"classifier-{name}-seed-{first}" for name in PUBLISHED_ROWS}
    assert set(stages["table"].needs) == {f"classifier-{row.name}-seed-{seed}" for row in ROWS for seed in SEEDS}
    needs = set(stages["report"].needs)
    assert {"describe", "cluster", "compare", "table"} <= needs
    for measure in ("synthesis", "class-truth"):
        assert {f"{measure}-{images}-seed-{seed}" for images in SYNTHETIC if images != STAIN for seed in SEEDS} <= needs
    assert list(stages)[-1] == "report"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--label=idc"], "--label: --mode=paper sets this flag itself"),
        (["--batch_size=64"], "training images of non-idc: .* cannot fill a batch of 64"),
        (["--output_height=24"], "too small for the study's CycleGAN: give --output_height=32"),
        (["--weights=NONE", "--classifier_size=32"], "NONE"),
        (["--backbone=resnet34", "--weights=NONE"], "add --stage_flags=tissue.weights=imagenet,few.weights=imagenet"),
        (["--stage_flags=tissue.weights=NONE,few.weights=random"], "NONE"),
        (["--stages=table"], "table needs classifier-real-seed-42"),
        (["--stages=all"], "--stages=all: choose among"),
    ],
)
def test_a_mistake_is_said_before_anything_is_trained(tmp_path: Path, flags, words, study_config):
    with pytest.raises(UserError, match=words):
        commands.run_command(study_config(tmp_path, *(flag.replace("NONE", f"{tmp_path}/NONE") for flag in flags)))
    assert not list(tmp_path.glob("paper-phantom/seed-42"))


def test_a_folder_that_is_no_study_is_left_alone(tmp_path: Path, study_config):
    (tmp_path / "paper-phantom").mkdir()
    (tmp_path / "paper-phantom" / "thesis.txt").write_text("mine")
    for flags in ([], ["--restart"]):
        with pytest.raises(UserError, match="is no study of this program"):
            commands.run_command(study_config(tmp_path, "--stages=split", *flags))
    assert (tmp_path / "paper-phantom" / "thesis.txt").read_text() == "mine"


def test_restart_throws_the_study_away(tmp_path: Path, caplog, study_config):
    for flags in ([], [], ["--restart"]):
        commands.run_command(study_config(tmp_path, "--stages=split", *flags))
    assert caplog.text.count("split: not done yet") == 2
    assert "--restart: removed" in caplog.text


def test_a_dataset_of_three_labels_is_refused(tmp_path: Path, write_images, study_config):
    for name in "abc":
        write_images(tmp_path / "images" / name, 6)
    with pytest.raises(UserError, match="two labels, and 'mine' has 3"):
        find_images(study_config(tmp_path, "--dataset=mine", f"--data_path={tmp_path / 'images'}"))


def paper(*flags: str) -> Config:
    return command_line.parse(["main.py", "--mode=paper", *flags])


def test_quick_fills_in_what_is_left_out_only():
    config = paper("--quick", "--gf_dim=6")
    assert (config.gf_dim, config.df_dim, config.repeats, config.weights) == (6, 4, 1, "random")
    assert (paper().repeats, paper().weights, paper().gf_dim) == (3, "imagenet", 16)


def test_the_stages_settings_are_the_papers():
    configs = StudyConfigs(paper("--dataset=idc", "--data_path=here", "--seed=5"))
    assert list(configs.seeds) == [5, 6, 7]
    dcgans = [configs.generator("figure5", 5, model=f"dcgan{number}") for number in (1, 2, 3)]
    assert [(config.epoch, config.batch_size, config.gf_dim) for config in dcgans] == [
        (25, 64, 64),
        (25, 64, 64),
        (25, 64, 16),
    ]
    assert [config.label_smoothing for config in dcgans] == [1.0, 0.9, 0.9]
    assert configs.generator("dcgan", 6).epoch == 50
    recipe = command_line.parse(["main.py", f"--flagfile={REPOSITORY}/flags/dcgan_small.cfg"])
    small = configs.generator("small", 6)
    for name in ("model", "epoch", "batch_size", "gf_dim", "diffaugment", "ema_decay", "learning_rate"):
        assert getattr(small, name) == getattr(recipe, name)
    recipe = command_line.parse(["main.py", f"--flagfile={REPOSITORY}/flags/tissue.cfg"])
    tissue = configs.generator("tissue", 6)
    for name in ("model", "batch_size", "gf_dim", "num_modes", "diffaugment", "ema_decay", "learning_rate"):
        assert getattr(tissue, name) == getattr(recipe, name)
    cyclegan = configs.cyclegan(7)
    assert (cyclegan.epoch, cyclegan.batch_size, cyclegan.gf_dim, cyclegan.seed) == (25, 1, 64, 7)
    assert {config.data_path for config in (*dcgans, cyclegan)} == {"here"}


def test_given_epochs_widths_and_batches_reach_the_gans():
    configs = StudyConfigs(paper("--epoch=3", "--gf_dim=8", "--batch_size=16", "--learning_rate=0.001"))
    dcgan, cyclegan = configs.generator("dcgan", 42), configs.cyclegan(42)
    tissue = configs.generator("tissue", 42)
    assert (tissue.epoch, tissue.gf_dim, tissue.batch_size, tissue.beta1) == (3, 8, 16, 0.0)
    assert (tissue.learning_rate, dcgan.learning_rate) == (0.002, 0.001)
    assert (dcgan.epoch, dcgan.gf_dim, dcgan.batch_size) == (3, 8, 16)
    assert (cyclegan.epoch, cyclegan.gf_dim, cyclegan.batch_size) == (3, 8, 1)


def test_flags_of_the_study_reach_only_networks_that_use_them():
    configs = StudyConfigs(paper("--center_crop", "--jit_compile"))
    gans = [configs.generator("dcgan", 42), configs.generator("tissue", 42), configs.cyclegan(42)]
    rows = {row.name: configs.classifier(row, 42, synthetic_dir=None) for row in ROWS}
    assert [(config.center_crop, config.jit_compile) for config in gans] == [(False, True)] * 3
    assert (rows[BASELINE].center_crop, rows[BASELINE].jit_compile) == (True, None)
    assert (rows["fine-tuned"].center_crop, rows["fine-tuned"].jit_compile) == (True, True)
    configs = StudyConfigs(paper("--z_dim=7", "--generator_updates=3", "--ema_decay=0.9"))
    gans = [configs.generator("dcgan", 42), configs.generator("tissue", 42)]
    assert [(config.z_dim, config.generator_updates, config.ema_decay) for config in gans] == [(7, 3, 0.9)] * 2
    for other in (configs.cyclegan(42), configs.classifier(ROWS[0], 42, synthetic_dir=None)):
        assert (other.z_dim, other.generator_updates, other.ema_decay) == (100, 2, 0.0)
    with pytest.raises(UserError, match="--z_dim=7 is for dcgan1, .*, not for cyclegan"):
        StudyConfigs(paper("--stage_flags=cyclegan.z_dim=7")).cyclegan(42)
    with pytest.raises(UserError, match="--center_crop is for resnet18"):
        StudyConfigs(paper("--stage_flags=dcgan.center_crop=true")).generator("dcgan", 42)


def test_stage_flags_are_for_one_kind_of_stage():
    configs = StudyConfigs(paper("--epoch=3", "--stage_flags=cyclegan.epoch=5,cyclegan.gf_dim=32,few.max_steps=9"))
    assert (configs.cyclegan(42).epoch, configs.cyclegan(42).gf_dim) == (5, 32)
    assert (configs.generator("dcgan", 42).epoch, configs.generator(FEW, 42).max_steps) == (3, 9)


def test_stage_flags_hold_lists():
    configs = StudyConfigs(
        paper("--stage_flags=tissue.diffaugment=dihedral,translation,tissue.epoch=5,few.feature_stages=2,3,4")
    )
    tissue = configs.generator("tissue", 42)
    assert (tissue.diffaugment, tissue.epoch) == (("dihedral", "translation"), 5)
    assert configs.generator(FEW, 42).feature_stages == (2, 3, 4)


def test_the_tissue_gan_keeps_its_network_beside_another_backbone():
    other = ("--backbone=vgg16", "--feature_layer=stage5")
    configs = StudyConfigs(paper(*other))
    for kind in ("tissue", FEW):
        trained = configs.generator(kind, 42)
        assert (trained.backbone, trained.feature_layer, trained.weights) == ("resnet18", None, "imagenet")
    classifier = configs.classifier(ROWS[0], 42, synthetic_dir=None)
    assert (classifier.backbone, classifier.feature_layer) == ("vgg16", "stage5")
    configs = StudyConfigs(paper(*other, "--weights=vgg", "--stage_flags=tissue.weights=resnet,few.weights=random"))
    assert [configs.generator(kind, 42).weights for kind in ("tissue", FEW)] == ["resnet", "random"]
    assert configs.classifier(ROWS[0], 42, synthetic_dir=None).weights == "vgg"
    with pytest.raises(UserError, match="add --stage_flags=few.weights=imagenet "):
        StudyConfigs(paper(*other, "--weights=vgg", "--stage_flags=tissue.weights=resnet"))
    assert StudyConfigs(paper(*other, "--weights=vgg", "--generators=dcgan,ccan")).synthetic[:2] == ["dcgan", "ccan"]


def test_the_tissue_gan_is_trained_against_the_network_that_stage_flags_name():
    configs = StudyConfigs(paper("--stage_flags=tissue.backbone=vgg16,tissue.feature_stages=5"))
    trained = configs.generator("tissue", 42)
    assert (trained.backbone, trained.feature_stages) == ("vgg16", (5,))
    assert configs.generator(FEW, 42).backbone == "resnet18"
    assert configs.classifier(ROWS[0], 42, synthetic_dir=None).backbone == "resnet18"
    same = ("--backbone=vgg16", "--weights=vgg", "--stage_flags=tissue.backbone=vgg16,few.backbone=vgg16")
    assert StudyConfigs(paper(*same)).generator(FEW, 42).weights == "vgg"
    with pytest.raises(UserError, match="trained against vgg16: add --stage_flags=tissue.weights=imagenet "):
        StudyConfigs(paper("--weights=resnet", "--stage_flags=tissue.backbone=vgg16"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cyclegan", "give KIND.FLAG=VALUE, such as cyclegan.epoch=5"),
        ("cyclegan.epoch=5,tissue", "--stage_flags=tissue: give KIND.FLAG=VALUE"),
        ("tissue.feature_stages=1,two", "--feature_stages=1,two: "),
        ("classify.epoch=3", "classify trains no GAN; choose among figure5, dcgan"),
        ("dcgan.label=1", "the study sets --label itself"),
        ("dcgan.repeats=1", "the study sets --repeats itself"),
        ("dcgan.size=1", "Unknown command line flag 'size'"),
        ("dcgan.epoch=many", "--epoch=many: give a whole number"),
    ],
)
def test_stage_flags_that_make_no_sense_are_refused(text, words):
    with pytest.raises(UserError, match=words):
        StudyConfigs(paper(f"--stage_flags={text}"))


def test_the_command_repeats_the_study():
    config = paper("--dataset=idc", "--repeats=2", "--stages=split", "--strict", "--data_path=my data")
    line = line_of(config)
    assert line == "python main.py '--data_path=my data' --dataset=idc --mode=paper --repeats=2 --strict"
    again = command_line.parse(shlex.split(line)[1:])
    assert (again.repeats, again.data_path) == (2, "my data")
