"""Flags of export: where trained models go when they leave the house."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class ExportFlags:
    """Where exported models lie."""

    export_dir: str | None = flag(
        None,
        "Folder of exported models, <name>/<version>/ each, which TF Serving can watch; exported inside the run if "
        "left out.",
        section="export",
    )
