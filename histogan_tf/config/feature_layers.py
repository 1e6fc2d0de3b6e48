"""Reads --feature_layer, which names the stages of a backbone whose features are used."""

from __future__ import annotations

from histogan_tf.errors import UserError


def stage_numbers(feature_layer: str | None, num_stages: int) -> tuple[int, ...]:
    """Returns the numbers of the stages that --feature_layer names, counted from 1 at the image, in rising order.

    Args:
        feature_layer: such as `stage3` or `stage2+stage3`; None for the last stage.
        num_stages: the number of stages of the backbone.

    Raises:
        UserError: if it names no stage of the backbone, or one of them twice.
    """
    if feature_layer is None:
        return (num_stages,)
    known = [f"stage{number}" for number in range(1, num_stages + 1)]
    names = feature_layer.split("+")
    if not set(names) <= set(known) or len(set(names)) < len(names):
        raise UserError(
            f"--feature_layer={feature_layer}: give one of {', '.join(known)}, or several of them joined by +, each "
            f"once, such as {known[-3]}+{known[-2]}"
        )
    return tuple(sorted(known.index(name) + 1 for name in names))
