"""Which saved training states are whole.

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
