from __future__ import annotations

import pytest

from histogan_tf.cli import command_line
from histogan_tf.config.feature_layers import stage_numbers
from histogan_tf.errors import UserError


@pytest.mark.parametrize(
    ("layer", "expected"), [(None, (5,)), ("stage1", (1,)), ("stage3+stage2", (2, 3)), ("stage2+stage5", (2, 5))]
)
def test_stages_are_numbered_from_the_image(layer, expected):
    assert stage_numbers(layer, 5) == expected


@pytest.mark.parametrize("layer", ["", "stage0", "stage5", "layer3", "stage2+stage2", "stage2,stage3", "stage2+"])
def test_other_layers_are_refused_with_what_is_allowed(layer):
    with pytest.raises(UserError, match="give one of stage1, stage2, stage3, stage4, or several of them joined by +"):
        stage_numbers(layer, 4)


def test_the_command_line_refuses_a_stage_that_the_backbone_does_not_have():
    with pytest.raises(UserError, match="--feature_layer=stage7: give one of stage1"):
        command_line.parse(["main.py", "--model=resnet18", "--feature_layer=stage7"])
