"""The flags of --mode=export."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class ExportFlags:
    """The flag that says where exported models are written."""

    export_dir: str | None = flag(
        None,
        "Folder for exported models, each in <name>/<version>/, which TF Serving can watch; the folder exported/ "
        "inside the run if left out.",
        section="export",
    )
