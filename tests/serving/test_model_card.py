from __future__ import annotations

import dataclasses
import json
import re
import shutil

from histogan_tf.serving.model_card import epochs_made, write_model_card
from histogan_tf.serving.portable_run import as_portable


def card_of(trained, tmp_path) -> str:
    write_model_card(tmp_path / "MODEL_CARD.md", trained, "| tensor |")
    return (tmp_path / "MODEL_CARD.md").read_text()


def test_a_generators_card_says_what_it_saw_and_how_long(networks, tmp_path):
    card = card_of(networks["plain"], tmp_path)
    assert card.startswith("# plain\n")
    assert "not a medical device" in card
    assert "- images: 16x19 pixels, RGB\n" in card
    assert "- seen in training: 3 non-idc, 5 idc images, fingerprint 0123456789abcdef\n" in card
    assert "- steps made: 6, which is 3 epochs\n" in card  # of 8 images in batches of 4
    assert "z_dist=normal01" in card
    assert "lambda_cycle" not in card
    assert "## Metrics\n\nNo metrics were measured." in card
    assert "## Inputs and outputs\n\n| tensor |\n" in card
    assert epochs_made(networks["translator-A2B"]) == 6 / 8


def test_a_card_says_which_images_were_chosen_and_by_which_seed(networks, tmp_path):
    plain = networks["plain"]
    chosen = dataclasses.replace(plain.config, part="all", medmnist="pathmnist", max_groups=2)
    card = card_of(dataclasses.replace(plain, config=chosen), tmp_path)
    assert "- restricted to: --medmnist=pathmnist, --max_groups=2, --split_seed=42\n" in card


def test_translators_and_classifiers_say_their_own(networks, tmp_path):
    card = card_of(networks["translator-A2B"], tmp_path)
    assert "- domain B (idc): 3 non-idc, 5 idc images" in card
    assert "lambda_cycle=10.0" in card
    assert not {"z_dim", "generator_updates", "ema_decay", "r1_gamma", "label_smoothing"} & {*re.findall(r"\w+", card)}
    assert "positive class" not in card
    card = card_of(networks["classifier"], tmp_path)
    assert "- training: 3 non-idc, 5 idc images" in card
    assert "weights=random" in card
    assert "epochs" not in card
    assert (
        "- positive class: idc (label 1); probabilities, precision and recall are those of idc, against non-idc" in card
    )


def test_a_class_name_never_breaks_a_line_of_the_card(networks, tmp_path):
    plain = networks["plain"]
    renamed = dataclasses.replace(plain, dataset={**plain.dataset, "class_names": ["a\n# b", "c\x1b[2J"]})
    assert "- labels: 0 = a\\n# b, 1 = c\\x1b[2J\n" in card_of(renamed, tmp_path)


def test_settings_that_changed_while_the_run_went_on_are_told(networks, tmp_path):
    plain = networks["plain"]
    assert "earlier settings" not in card_of(plain, tmp_path)
    changes = {"max_steps": [70, 200], "diffaugment": [["color"], None], "data_dir": ["/home/me", "data"]}
    record = {**plain.record, "continued": [{"step": 70, "at": "2026-01-01T00:00:00+00:00", "changed": changes}]}
    changed = dataclasses.replace(plain, record=record)
    card = card_of(changed, tmp_path)
    assert "- earlier settings: until step 70: max_steps=70, diffaugment=color\n" in card and "/home/me" not in card
    (entry,) = as_portable(changed).record["continued"]
    assert entry["step"] == 70 and entry["changed"] == {name: changes[name] for name in ("max_steps", "diffaugment")}


def test_metrics_in_the_run_directory_are_in_the_card(networks, tmp_path):
    plain = networks["plain"]
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(plain.directory / "config.json", run / "config.json")
    (run / "evaluation").mkdir()
    synthesis = {"kid-n8": {"synthetic": {"value": 0.25, "deviation": 0.031}, "floor": {"value": 0.0125}}}
    classification = {"recall": {"value": 0.75, "low": 0.5, "high": 0.9}, "f1": {"value": None}}
    (run / "evaluation" / "synthesis.json").write_text(
        json.dumps({"metrics": synthesis, "warnings": ["it is flattered"]})
    )
    accuracy = {"value": 0.7, "low": 0.6, "high": 0.9}
    of_label, of_test = ({"value": value, "low": None, "high": None} for value in (0.75, 0.8))
    accuracies = {
        "real": {"accuracy": accuracy, "label_0": of_label, "label_1": {**of_label, "value": 0.65}},
        "gan_test": {"accuracy": of_test, "label_1": of_test},
    }
    truth = {"accuracies": accuracies, "features": "random", "num_real": 40, "num_real_seen": 3, "num_synthetic": 50}
    (run / "evaluation" / "class_truth.json").write_text(json.dumps(truth))
    (run / "metrics.json").write_text(json.dumps({"positive_class": "idc", "metrics": classification}))
    card = card_of(dataclasses.replace(plain, directory=run), tmp_path)
    assert (
        "| metric | synthetic    | floor  |\n| ------ | ------------ | ------ |\n| kid-n8 | 0.25 ± 0.031 | 0.0125 |\n"
        in card
    )
    assert "metrics.json (positive class: idc):" in card and "evaluation/synthesis.json:" in card
    assert "Mind: it is flattered." in card.splitlines()
    assert (
        "evaluation/class_truth.json, accuracies of linear classifiers on features random, measured on 40 real and 50 "
        "synthetic images. The generator may have seen 3 of the real ones.\n" in card
    )
    rows = [line.replace(" ", "") for line in card.splitlines() if "trainedon" in line.replace(" ", "")]
    assert rows == [
        "|trainedonreal,measuredonreal|0.7(0.6to0.9)|0.75|0.65|",
        "|trainedonreal,measuredonsynthetic(GAN-test)|0.8|–|0.8|",
    ]
    assert "| recall | 0.75 (0.5 to 0.9) |\n| f1     | undefined         |\n" in card
