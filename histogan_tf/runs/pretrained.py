"""Where runs lie: below --checkpoint_dir, in any other folder, or inside this package (pretrained:NAME)."""

from __future__ import annotations

from pathlib import Path

import histogan_tf
from histogan_tf.config.run_flags import PRETRAINED_PREFIX
from histogan_tf.errors import UserError, listing

# Each folder in it is a run that --mode=export --format=safetensors wrote.
PRETRAINED_FOLDER = Path(histogan_tf.__file__).parent / "pretrained"


def is_pretrained(run: str | None) -> bool:
    """Returns whether the value of --run or --init_from names a run that comes with the program."""
    return run is not None and run.startswith(PRETRAINED_PREFIX)


def find_directory(run: str, checkpoint_dir: str | Path, flag: str = "run") -> Path:
    """Returns the folder of a run.

    Args:
        run: pretrained:NAME; or the folder itself; or a name below `checkpoint_dir`, if there is no such folder.
        checkpoint_dir: the folder in which a name is looked for.
        flag: the name of the flag, for the message.

    Raises:
        UserError: if there is no such run; the message lists those there are.
    """
    if is_pretrained(run):
        return _pretrained_directory(run, flag)
    directory = Path(run).expanduser()
    if not (directory / "config.json").exists() and len(directory.parts) == 1:
        directory = Path(checkpoint_dir).expanduser() / directory
    if not directory.name or directory.name == "..":
        directory = directory.resolve()
    return require_run(directory, flag)


def require_run(directory: Path, flag: str = "run") -> Path:
    """Returns a folder that holds a run.

    Args:
        directory: the folder.
        flag: the name of the flag that chose it, for the message.

    Raises:
        UserError: if it does not; the message lists the runs beside it.
    """
    if not (directory / "config.json").exists():
        known = listing(_runs_in(directory.parent))
        remedy = f"choose one with --{flag}" if known else "train one first"
        if not known and flag == "run":
            name = _runs_in(PRETRAINED_FOLDER)[0]
            remedy += f"; a generator that comes with the program is --run={PRETRAINED_PREFIX}{name}"
        raise UserError(
            f"there is no run {directory.name} in {directory.parent} (it holds {known or 'none'}): {remedy}"
        )
    return directory


def results_name(run: str) -> str:
    """Returns the name of the folder below --checkpoint_dir that holds what is made with a run.

    It is the run's own folder, except for a run that comes with the program: nothing is written into the package.
    """
    return run.replace(":", "-") if is_pretrained(run) else run


def _pretrained_directory(run: str, flag: str) -> Path:
    directory, known = PRETRAINED_FOLDER / run.removeprefix(PRETRAINED_PREFIX), _runs_in(PRETRAINED_FOLDER)
    if directory.name not in known or directory.parent != PRETRAINED_FOLDER:
        runs = listing(f"{PRETRAINED_PREFIX}{name}" for name in known) or "no run at all"
        raise UserError(f"--{flag}={run} does not come with the program, which has {runs}: choose one of these")
    return directory


def _runs_in(folder: Path) -> list[str]:
    return sorted(found.parent.name for found in folder.glob("*/config.json"))
