"""Which saved training states are whole, and of which run.

Trainer writes a state in place, weights first and ``trainer_state.json`` last, and resumes from the highest number
whatever it holds. A run killed while saving would leave a state that cannot be resumed: those are set aside first.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import TrainingArguments

logger = logging.getLogger(__name__)
_NEEDED = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


def is_complete(state: Path, needed: Sequence[str] = ()) -> bool:
    """True where the state has every file, its weights and those in ``needed`` open, and its trainer state parses."""
    if not all((state / name).is_file() for name in (*_NEEDED, *needed)):
        return False
    try:
        for name in ("model.safetensors", *needed):
            with safe_open(state / name, "pt") as weights:
                list(weights.keys())
        json.loads((state / "trainer_state.json").read_text())
    except (SafetensorError, ValueError, OSError):
        return False
    return True


def drop_incomplete(folder: Path, needed: Sequence[str] = ()) -> list[Path]:
    """Delete the states in ``folder`` that are not whole, and say so; returns them.

    needed: further files in the safetensors format, such as the averaged weights, which are written last of all.
    """
    dropped = [state for state in sorted(folder.glob("checkpoint-*")) if not is_complete(state, needed)]
    for state in dropped:
        logger.warning("%s was not completely written and is deleted; going on from an earlier state.", state)
        shutil.rmtree(state)
    return dropped


def check_identity(folder: Path, identity: dict[str, object], arguments: TrainingArguments) -> None:
    """Refuse to go on from weights of another run: with other splits they would have seen calibration patients.

    Raises:
        ValueError: ``--resume``, and data, splits, base checkpoint or recipe differ from the interrupted run's, or
            nothing says what they were. No ``--resume``, and there is a stopped run.
    """
    file = folder / "identity.json"
    wanted = json.loads(json.dumps(identity))
    if arguments.resume and folder.is_dir():
        if not file.exists():
            raise ValueError(f"--resume: {folder} does not say which run it is of; start in another --output_dir.")
        stored = json.loads(file.read_text())
        changed = sorted(key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key))
        if changed:
            raise ValueError(
                f"--resume: {folder.parent} was begun with another {', '.join(changed)}. Repeat that run's options, or "
                "start afresh in another --output_dir."
            )
    if arguments.should_save:
        if not arguments.resume:
            _refuse_begun(folder)
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(wanted, indent=1))


def _refuse_begun(folder: Path) -> None:
    """Neither throw away what a stopped run has trained, nor let a later ``--resume`` take it for this run's.

    Raises:
        ValueError: ``folder`` holds a finished stage or a saved state.
    """
    begun = [*folder.glob("*/finished.json"), *folder.glob("*/checkpoint-*")]
    if begun:
        raise ValueError(
            f"--output_dir {folder.parent} holds a run that stopped ({begun[0].relative_to(folder)}): go on with it by "
            f"--resume, name another folder, or delete {folder}."
        )
