"""Which flags only some values of --mode use, so that a flag that does nothing can be told."""

from __future__ import annotations

from collections.abc import Mapping

from histogan_tf.config.settings import Config, flag_fields

# The modes that use each flag of a section of --help.
_OF_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "cluster": ("cluster", "paper"),
    "export": ("export",),
    "paper": ("paper",),
    "translate": ("translate", "export", "paper"),
}
_OF_FLAGS: Mapping[str, tuple[str, ...]] = {
    "compare": ("evaluate",),
    "map": ("classify",),
    "num_images": ("generate", "visualize", "evaluate", "translate"),
    "num_questions": ("quiz",),
    "quiz_sizes": ("quiz",),
    "visualize": ("visualize",),
}


def flags_without_effect(config: Config) -> dict[str, tuple[str, ...]]:
    """Returns the flags that were given and do nothing in --mode, each with the modes that use it."""
    used_by = {field.name: _OF_SECTIONS.get(field.metadata["section"]) for field in flag_fields()} | _OF_FLAGS
    return {
        name: modes
        for name, modes in used_by.items()
        if name in config.given and modes is not None and config.mode not in modes
    }
