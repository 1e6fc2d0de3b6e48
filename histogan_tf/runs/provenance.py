"""Which patients a run has seen, and whether images to measure it on, or to train on from it, are of the same ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from histogan_tf.errors import counted

logger = logging.getLogger(__name__)


def seen_patients(record: Mapping[str, Any]) -> list[str] | None:
    """Returns the sorted patients whose images a run, or a run that it started from, was trained on; None if unknown.

    Args:
        record: the content of the run's config.json.
    """
    known = [record.get("patients"), (record.get("initialized_from") or {}).get("patients")]
    known = [patients for patients in known if patients is not None]
    return sorted(set().union(*known)) if known else None


def warn_of_seen_patients(patients: Iterable[str] | None, seen: Iterable[str] | None, run: str) -> None:
    """Logs a warning if images are of patients that a run has seen, since measures on these patients flatter it.

    Args:
        patients: the patients of the images; None if unknown.
        seen: those that `seen_patients` returned.
        run: the name of the run, for the message.
    """
    patients = set(patients or ())
    if shared := patients.intersection(seen or ()):
        logger.warning(
            "%s has seen %d of the %s of these images: whatever is measured on those patients will look too "
            "good; measure on patients that it has not seen (its config.json lists those that it has)",
            run,
            len(shared),
            counted(len(patients), "patient"),
        )
