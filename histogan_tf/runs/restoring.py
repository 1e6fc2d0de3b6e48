"""Restores trained networks from a run: from its checkpoints, or from the weights of an exported run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from histogan_tf.config import Config
from histogan_tf.config.families import family_of
from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints, best_directory, checkpoint_folders, read_newest
from histogan_tf.runs.run_directory import is_exported_run, read_record
from histogan_tf.runs.weights_file import WEIGHTS_FILE, network_name, networks_in, read_weights


def restore_networks(directory: Path, state: Mapping[str, Any], checkpoint: str = "last") -> int:
    """Restores networks of a run.

    Args:
        directory: the run directory, or a folder that --mode=export --format=safetensors wrote.
        state: Keras models or layers, by the names that they have in the run's checkpoints.
        checkpoint: "last" or "best", as in --checkpoint.

    Returns:
        The number of training steps that the weights have behind them, at least 1.

    Raises:
        UserError: if there is no such checkpoint, or it cannot be read or holds other networks.
    """
    if is_exported_run(directory):
        _require_last(directory, checkpoint)
        read_weights(directory / WEIGHTS_FILE, state)
        return steps_made(directory)
    step = Checkpoints(_folder(directory, checkpoint), state).restore(partial=True)
    if step == 0:
        remedy = "no checkpoint yet: train it with --mode=train first"
        if checkpoint == "best":
            remedy = "no best checkpoint: train it with --eval_freq, or leave --checkpoint out"
        raise UserError(f"{directory} has {remedy}")
    return step


def restore_discriminators(
    directory: Path, config: Config, dataset: Mapping[str, Any], checkpoint: str = "last"
) -> dict[str, Any]:
    """Returns the networks that only training needs, restored, by the names that they have in the run's checkpoints.

    Those whose weights the run does not hold are left out: a best checkpoint holds none of them.

    Args:
        directory: as in `restore_networks`, which has restored the run's other networks.
        config: the settings of the run.
        dataset: the run's record of its images.
        checkpoint: "last" or "best", as in --checkpoint.

    Raises:
        UserError: as `restore_networks`.
    """
    family = family_of(config.model)
    if family.discriminators is None:
        return {}
    kept = _kept_networks(directory, checkpoint)
    networks = family.call("discriminators", config, dataset)
    networks = {name: network for name, network in networks.items() if network_name(name) in kept}
    if networks:
        restore_networks(directory, networks, checkpoint)
    return networks


def _kept_networks(directory: Path, checkpoint: str) -> set[str]:
    """Returns the names of the networks that a run holds, and of whatever else is in its checkpoint."""
    if is_exported_run(directory):
        return networks_in(directory / WEIGHTS_FILE)

    def names(prefix: str) -> set[str]:
        # Weights are stored under the first path that leads to them, which may be that of an optimizer.
        graph = tf.train.load_checkpoint(prefix).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        root = trackable_object_graph_pb2.TrackableObjectGraph.FromString(graph).nodes[0]
        return {network_name(child.local_name) for child in root.children}

    return read_newest(_folder(directory, checkpoint), names) or set()


def steps_made(directory: Path, checkpoint: str = "last") -> int:
    """Returns the number of training steps that the weights of a run have behind them; 0 if it has no checkpoint.

    Args:
        directory: as in `restore_networks`.
        checkpoint: "last" or "best", as in --checkpoint.
    """
    if is_exported_run(directory):
        return int(read_record(directory)["step"])
    found = checkpoint_folders(_folder(directory, checkpoint))
    return int(found[-1].name.removeprefix("step-")) if found else 0


def _folder(directory: Path, checkpoint: str) -> Path:
    last = directory / "ckpt"
    return best_directory(last) if checkpoint == "best" else last


def _require_last(directory: Path, checkpoint: str) -> None:
    if checkpoint != "last":
        raise UserError(
            f"--checkpoint={checkpoint}: {directory} is an exported run, which holds the weights of one checkpoint: "
            f"leave --checkpoint out"
        )
