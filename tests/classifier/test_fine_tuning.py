from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from histogan_tf.classifier import fine_tuning, transfer
from histogan_tf.classifier.fine_tuning import FineTuner
from histogan_tf.classifier.head import log_loss
from histogan_tf.classifier.prediction import Predictor
from histogan_tf.cli import commands
from histogan_tf.data.loading import load_parts
from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models import resnet
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.trained.load import load_networks

TUNED = ("--run=tuned", "--fine_tune=last_stage", "--batch_size=8", "--perturbations=flips", "--views=1", "--epoch=3")


@pytest.fixture(scope="module")
def tuned_run(train_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    commands.run_command(train_config(*TUNED, f"--checkpoint_dir={folder}"))
    return folder / "tuned"


def restored(config):
    """The classifier of a run."""
    return load_networks(config)[0].network


def losses_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_only_the_last_stages_convolutions_and_the_head_change(tuned_run, make_config):
    seed = weight_seeds(42, Purpose.CLASSIFIER_WEIGHTS, 1)[0]
    before = resnet.build_classifier((20, 20, 3), size=32, weights="random", seed=seed)
    after = restored(make_config("--run=tuned", f"--checkpoint_dir={tuned_run.parent}"))
    changed = {
        old.path
        for old, new in zip(before.features.variables, after.get_layer("features").variables, strict=True)
        if (old.numpy() != new.numpy()).any()
    }
    best_epoch = 1 + int(np.argmin([row["held_out_log_loss"] for row in losses_of(tuned_run)]))
    assert best_epoch in (1, 2, 3)
    assert changed == {variable.path for variable in before.trainable_variables("last_stage")[:-2]}


def test_held_out_images_are_of_training_patients_and_losses_are_theirs(tuned_run, train_config, make_config):
    train, validation = load_parts(train_config())
    with (tuned_run / "training_folds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = [row["id"] for row in rows]
    assert set(ids) < set(train.ids) and not set(ids) & set(validation.ids)
    held_out = train.select(np.flatnonzero(np.isin(train.ids, ids)))
    assert set(held_out.groups).isdisjoint(train.groups[~np.isin(train.ids, ids)])
    recorded = json.loads((tuned_run / "training.json").read_text())
    assert recorded["held_out_images"] == held_out.counts()
    for name, count in train.counts().items():
        assert recorded["real_images"][name] == count - held_out.counts()[name]
    classifier = restored(make_config("--run=tuned", f"--checkpoint_dir={tuned_run.parent}"))
    probabilities = Predictor(classifier)(held_out.images)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], probabilities, atol=1e-4)
    likelihoods = np.where(held_out.labels == 1, probabilities, 1 - probabilities)
    best = min(row["held_out_log_loss"] for row in losses_of(tuned_run))
    assert -np.log(likelihoods).mean() == pytest.approx(best, rel=1e-3)


def test_what_is_over_is_tidied_up(tuned_run):
    assert not (tuned_run / "fine_tuning").exists() and (tuned_run / "losses.png").exists()
    note = json.loads((tuned_run / "metrics.json").read_text())["backbone"]
    assert note == "random weights, fine-tuned (last_stage)"


@pytest.mark.slow
def test_stopped_and_gone_on_is_the_same_bytes_as_never_stopped(tuned_run, train_config, tmp_path, monkeypatch):
    train_epoch = FineTuner._train_epoch

    def stop_in_the_third_epoch(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(self, epoch)

    config = train_config(*TUNED, f"--checkpoint_dir={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(FineTuner, "_train_epoch", stop_in_the_third_epoch)
        with pytest.raises(KeyboardInterrupt):
            commands.run_command(config)
    assert [path.name for path in (tmp_path / "tuned" / "fine_tuning").iterdir()] == ["step-00000002"]
    commands.run_command(config)
    for name in ("metrics.json", "metrics.jsonl", "predictions.csv", "ckpt/step-00000001/state.data-00000-of-00001"):
        assert (tmp_path / "tuned" / name).read_bytes() == (tuned_run / name).read_bytes(), name


@pytest.fixture(scope="module")
def classifier():
    return resnet.build_classifier((20, 20, 3), size=32, weights="random", seed=0)


class FakeRun:
    def __init__(self):
        self.rows = {}

    def forget_after(self, step):
        pass

    def log_losses(self, losses):
        self.rows.update(losses)


def make_tuner(train_config, classifier, *flags):
    train = load_parts(train_config())[0]
    held_out = np.arange(len(train)) % 3 == 0
    config = train_config("--fine_tune=all", "--batch_size=8", *flags)
    return FineTuner(
        config, classifier, train.select(np.flatnonzero(~held_out)), train.select(np.flatnonzero(held_out))
    )


def test_it_stops_when_the_held_out_loss_has_not_fallen_and_keeps_the_best(
    train_config, classifier, tmp_path, monkeypatch
):
    scripted = iter([0.9, 0.5, 0.7, 0.4, *[0.6] * 20])
    tuner, run, weights = make_tuner(train_config, classifier, "--epoch=20"), FakeRun(), []
    monkeypatch.setattr(fine_tuning, "log_loss", lambda *_: next(scripted))
    monkeypatch.setattr(tuner, "_train_epoch", lambda epoch: weights.append(nudge(classifier)) or 1.0)
    tuner.train(run, tmp_path)
    assert len(run.rows) == 3 + fine_tuning.PATIENCE_EPOCHS
    assert classifier.head.bias.numpy()[0] == 3.0
    classifier.head.bias.assign([0.0])


def nudge(classifier):
    classifier.head.bias.assign_add([1.0])


def test_training_lowers_the_loss_of_what_it_trains_on_and_leaves_normalization(train_config, classifier, tmp_path):
    tuner = make_tuner(train_config, classifier, "--fine_tune_learning_rate=0.0001")
    tuned = {id(variable) for variable in tuner._variables}
    frozen = [variable for variable in classifier.features.variables if id(variable) not in tuned]
    before = [variable.numpy() for variable in frozen]
    losses = []
    for epoch in range(3):
        tuner._train_epoch(epoch)
        probabilities = tuner._predict(tuner._training.images)
        losses.append(log_loss(tuner._training.labels, probabilities))
    assert losses[-1] < np.log(2)  # where the head began
    assert all((variable.numpy() == old).all() for variable, old in zip(frozen, before, strict=True))
    assert len(frozen) == 80  # all of batch normalization


def test_a_loss_that_is_not_finite_is_told(train_config, classifier, tmp_path, monkeypatch):
    tuner = make_tuner(train_config, classifier)
    monkeypatch.setattr(tuner, "_train_epoch", lambda epoch: float("nan"))
    with pytest.raises(UserError, match="epoch 1 of fine-tuning: log_loss is nan; try a smaller --fine_tune_learning"):
        tuner.train(FakeRun(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_fewer_images_than_a_batch_are_told(train_config, classifier):
    with pytest.raises(UserError, match="28 images cannot fill a batch of 64"):
        make_tuner(train_config, classifier, "--batch_size=64")


def test_the_fingerprint_of_a_tuned_backbone_is_another(tuned_run, make_config):
    seed = weight_seeds(42, Purpose.CLASSIFIER_WEIGHTS, 1)[0]
    untuned = resnet.build_classifier((20, 20, 3), size=32, weights="random", seed=seed)
    tuned = restored(make_config("--run=tuned", f"--checkpoint_dir={tuned_run.parent}"))
    assert weights_fingerprint(tuned.get_layer("features")) != weights_fingerprint(untuned.features)


def test_a_run_starts_from_the_tuned_backbone_of_another_and_then_needs_it_no_more(tuned_run, make_config, caplog):
    """Its data share patients with the other's; its head is fitted anew; it is stopped once before it is measured."""
    flags = ("--model=resnet18", "--classifier_size=32", "--output_height=20", "--run=from_tuned", "--seed=1")
    place = f"--checkpoint_dir={tuned_run.parent}"
    config = make_config(*flags, place, "--init_from=tuned")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(transfer, "_train_and_measure", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        commands.run_command(config)
    assert "tuned has seen " in caplog.text
    away = tuned_run.rename(tuned_run.with_name("away"))
    try:
        commands.run_command(config)
        commands.run_command(config)
    finally:
        away.rename(tuned_run)
    assert "from_tuned is finished" in caplog.text
    (tuned,) = load_networks(make_config("--run=tuned", "--mode=export", place))
    (started,) = load_networks(make_config("--run=from_tuned", "--mode=export", place))
    ours, theirs = (trained.network.get_layer("features").get_weights() for trained in (started, tuned))
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert json.loads((started.directory / "training.json").read_text())["backbone"] == "weights of the run tuned"


def test_what_is_no_start_for_a_classifier_is_refused(real_run, train_config, make_config, runs):
    with pytest.raises(UserError, match="--weights=random and --init_from=real are both given"):
        train_config("--run=x", "--init_from=real")
    with pytest.raises(UserError, match="--init_from=real: its backbone was never trained"):
        network = ("--model=resnet18", "--classifier_size=32", "--output_height=20")
        commands.run_command(make_config(*network, "--run=x", "--init_from=real"))
    assert not (runs / "x").exists()
