from __future__ import annotations

import json

import pytest

from histogan_tf.config import Config, flag_fields, resolve
from histogan_tf.config.parsing import parse_flags
from histogan_tf.errors import UserError
from histogan_tf.training.losses import LOSSES


@pytest.mark.parametrize(
    ("model", "strides", "gf_dim", "label_smoothing", "instance_noise"),
    [
        ("dcgan1", (2, 2, 2, 2), 64, 1.0, 0.0),
        ("dcgan2", (2, 2, 2, 2), 64, 0.9, 0.2),
        ("dcgan3", (1, 1, 1, 1), 16, 0.9, 0.2),
    ],
)
def test_each_model_fills_in_its_own(model, strides, gf_dim, label_smoothing, instance_noise):
    config = resolve(Config(model=model))
    assert (config.strides, config.gf_dim) == (strides, gf_dim)
    assert (config.label_smoothing, config.instance_noise) == (label_smoothing, instance_noise)


def test_flags_override_the_model():
    config = resolve(Config(model="dcgan3", strides=(2, 1, 2, 1), gf_dim=64, instance_noise=0.0))
    assert (config.strides, config.gf_dim, config.instance_noise) == ((2, 1, 2, 1), 64, 0.0)


def test_a_conditional_network_has_two_transposed_convolutions():
    config = resolve(Config(model="dcgan1", conditional=True))
    assert (config.strides, config.kernel_size) == ((2, 2), (5, 5))


@pytest.mark.parametrize("conditional", [False, True])
def test_several_strides_say_how_many_transposed_convolutions_there_are(conditional):
    deep = resolve(Config(conditional=conditional, strides=(2, 2, 2, 2, 2)))
    assert (deep.strides, deep.kernel_size) == ((2, 2, 2, 2, 2), (5, 5, 5, 5, 5))
    uneven = resolve(Config(conditional=conditional, strides=(4, 1, 2), kernel_size=(3, 4, 5)))
    assert (uneven.strides, uneven.kernel_size) == ((4, 1, 2), (3, 4, 5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": (5, 5)}, "--kernel_size=5,5: give one number or 4"),
        ({"kernel_size": (5,) * 5}, "--kernel_size=5,5,5,5,5: give one number or 4.*give --strides more"),
        ({"kernel_size": (5,) * 4, "conditional": True}, "give one number or 2"),
        ({"kernel_size": (5,) * 4, "strides": (2,) * 5}, "--kernel_size=5,5,5,5: give one number or 5"),
    ],
)
def test_kernels_are_as_many_as_strides(settings, message):
    with pytest.raises(UserError, match=message):
        resolve(Config(**settings))


def test_widths_follow_heights():
    config = resolve(Config(crop=True, input_height=108, output_height=64))
    assert (config.input_width, config.output_width) == (108, 64)


@pytest.mark.parametrize(
    "settings",
    [
        {"crop": True},
        {"input_height": 108},
        {"output_width": 64},
        {"crop": True, "input_height": 108, "input_width": 0},
        {"conditional": True, "label": "idc"},
        {"sample_dir": "a/b"},
        {"run": ".."},
    ],
)
def test_contradictions_are_told(settings):
    with pytest.raises(UserError, match="--"):
        resolve(Config(**settings))


def test_json_round_trip():
    config = resolve(Config(model="dcgan2", label="idc", output_height=64))
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("model", "trained_with"), [("cyclegan", "least_squares"), ("resnet18", None), ("dcgan1", "cross_entropy")]
)
def test_settings_of_before_cyclegan_heeded_its_loss_are_read_as_what_it_trained_with(model, trained_with):
    settings = resolve(Config(model=model)).to_json() | {"adversarial_loss": "cross_entropy"}
    settings.pop("cpu_kernels", None)
    assert Config.from_json(settings) == resolve(Config(model=model))
    assert Config.from_json(settings).adversarial_loss == trained_with
    assert Config.from_json(settings | {"cpu_kernels": True}).adversarial_loss == "cross_entropy"


def test_what_fixes_a_runs_result_cannot_change_on_resume_and_what_does_not_can():
    fixed = {field.name for field in flag_fields() if field.metadata["fixed"]}
    assert {"model", "seed", "dataset", "label", "part", "z_dim", "strides", "batch_size", "learning_rate"} <= fixed
    assert not {"epoch", "max_steps", "sample_freq", "ckpt_freq", "run", "data_path", "num_images"} & fixed


def test_the_run_is_named_after_model_dataset_and_label():
    assert Config().run_name() == "dcgan3-phantom"
    assert Config(dataset="idc", label="1", model="dcgan1").run_name() == "dcgan1-idc-1"
    assert Config(run="mine").run_name() == "mine"


def test_cyclegan_fills_in_its_own():
    config = resolve(Config(model="cyclegan", epoch=9))
    assert (config.batch_size, config.sample_num, config.gf_dim, config.df_dim) == (1, 16, 64, 64)
    assert (config.decay_epoch, config.strides, config.instance_noise) == (4, None, None)
    assert config.adversarial_loss == "least_squares"
    assert resolve(Config(model="cyclegan", adversarial_loss="hinge")).adversarial_loss == "hinge"
    assert resolve(Config(model="cyclegan", epoch=9, decay_epoch=0)).decay_epoch == 0
    assert resolve(Config(model="dcgan1")).batch_size == 64


@pytest.mark.parametrize("settings", [{"label": "idc"}, {"conditional": True}])
def test_cyclegan_learns_two_labels(settings):
    with pytest.raises(UserError, match=f"--{next(iter(settings))}=.*--domain_a and --domain_b"):
        resolve(Config(model="cyclegan", **settings))


def test_a_cyclegan_run_is_not_named_after_the_label_that_is_translated():
    config = resolve(Config(model="cyclegan", mode="translate", dataset="idc", label="1"))
    assert config.run_name() == "cyclegan-idc"


def test_the_line_that_the_learning_rate_follows_may_change_on_resume():
    fixed = {field.name for field in flag_fields() if field.metadata["fixed"]}
    assert {"domain_a", "domain_b", "num_blocks", "upsampling", "lambda_cycle", "lambda_identity", "pool_size"} <= fixed
    assert not {"decay_epoch", "direction", "keep_labels", "min_distance", "top_fraction"} & fixed


def test_the_papers_models_have_nothing_beyond_the_paper():
    for model in ("dcgan1", "dcgan2", "dcgan3"):
        config = resolve(Config(model=model))
        assert (config.upsampling, config.adversarial_loss) == ("transposed", "cross_entropy")
        assert not config.spectral_norm
        assert (config.ema_decay, config.diffaugment, config.ada_target, config.r1_gamma) == (0.0, None, 0.0, 0.0)
        assert (config.eval_freq, config.checkpoint) == (0, "last")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"ada_target": 0.6},
            "--ada_target=0.6 needs.*--diffaugment=dihedral,color or others of dihedral, color,.* cutout, stain",
        ),
        ({"adversarial_loss": "hinge", "label_smoothing": 0.9}, "--label_smoothing=0.9: the hinge loss has no target"),
        (
            {"output_dir": "a"},
            "--output_dir has no effect with --mode=train, .* go to --run in --checkpoint_dir: leave",
        ),
        ({"mode": "export", "output_dir": "a"}, "--output_dir has no effect with --mode=export, .* go to --export_dir"),
        (
            {"checkpoint": "best"},
            "--checkpoint=best is for generate, visualize, evaluate, export and quiz, not --mode=train",
        ),
        (
            {"model": "cyclegan", "ema_decay": 0.99},
            "--ema_decay=0.99 is for dcgan1, dcgan2, dcgan3, projected, not for cyclegan",
        ),
        ({"model": "resnet18", "diffaugment": ("color", "cutout")}, "--diffaugment=color,cutout is for dcgan1"),
        (
            {"model": "resnet18", "adversarial_loss": "hinge"},
            "--adversarial_loss=hinge is for .*cyclegan, not for resnet18",
        ),
        ({"model": "cyclegan", "eval_freq": 100}, "--eval_freq=100 is for dcgan1"),
        ({"model": "projected", "center_crop": True}, "--center_crop is for resnet18.*, not for projected: leave"),
        (
            {"model": "resnet18", "jit_compile": True},
            "--jit_compile compiles a training step, .* leave --jit_compile out",
        ),
        (
            {"diffaugment": ("colour",)},
            "--diffaugment=colour: choose among dihedral, color, translation, reflected_translation, cutout, stain",
        ),
    ],
)
def test_small_data_options_that_do_not_fit_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        resolve(Config(**settings))


@pytest.mark.parametrize("model", ["cyclegan", "resnet18"])
@pytest.mark.parametrize(
    "flag", ["label_smoothing=0.9", "instance_noise=0.2", "generator_updates=3", "z_dim=7", "z_dist=normal01"]
)
def test_flags_of_networks_that_start_from_noise_are_refused_by_others(model, flag):
    with pytest.raises(UserError, match=rf"^--{flag} is for dcgan1, .*, not for {model}: leave --\w+ out$"):
        parse_flags([f"--model={model}", f"--{flag}"])
    parse_flags(["--model=dcgan1", f"--{flag}"])


def test_what_is_of_use_to_a_model_or_a_mode_is_taken():
    assert resolve(Config(model="resnet18", jit_compile=True, fine_tune="last_stage")).jit_compile
    assert resolve(Config(model="resnet18", jit_compile=False)).jit_compile is False
    for settings in ({"model": "resnet18"}, {"mode": "evaluate"}, {"mode": "paper"}):
        assert resolve(Config(center_crop=True, **settings)).center_crop


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if not loss.has_target])
def test_a_loss_without_a_target_takes_the_place_of_a_models_smoothing(name):
    assert resolve(Config(model="dcgan2", adversarial_loss=name)).label_smoothing == 1.0
    assert resolve(Config(model="dcgan2")).label_smoothing == 0.9


def test_small_data_options_are_fixed_and_watching_is_not():
    fixed = {field.name for field in flag_fields() if field.metadata["fixed"]}
    assert {"adversarial_loss", "spectral_norm", "ema_decay", "diffaugment", "ada_target", "r1_gamma"} <= fixed
    assert not {"eval_freq", "checkpoint"} & fixed


@pytest.mark.parametrize(
    "settings",
    [
        {"checkpoint_dir": "gs://bucket/runs"},
        {"dataset": "https://example.org/images"},
        {"mode": "generate", "output_dir": "s3://bucket"},
        {"weights": "hf://timm/resnet18"},
    ],
)
def test_addresses_are_refused_where_a_folder_is_meant(settings):
    with pytest.raises(UserError, match="is an address.*give a folder"):
        resolve(Config(**settings))


@pytest.mark.parametrize(
    ("given", "known"), [("IDC", "idc"), ("Idc-Full", "idc-full"), ("idc", "idc"), ("Mine", "Mine")]
)
def test_datasets_with_a_reader_are_known_in_large_letters_too(given, known):
    assert resolve(Config(dataset=given)).dataset == known
