"""``python -m hf_model promote FOLDER``: make a trained checkpoint the shipped one, which app.py serves by default."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from hf_model.config import CHECKPOINT_DIR
from hf_model.hub.model_card import write_card
from hf_model.hub.push import PushError, checkpoint_files, readable_size


def promote(folder: Path, target: Path = CHECKPOINT_DIR) -> list[str]:
    """Replace ``target`` by what a push of ``folder`` would upload; returns the paths copied.

    The new folder is complete beside the old one before it replaces it.

    Raises:
        PushError: ``folder`` is not a complete checkpoint, its test split was never opened, or transformers does not
            load its head.
    """
    files = checkpoint_files(folder)
    head = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("chest_xray_head")
    if head is not None:
        raise PushError(
            f"{folder} has the head {head}, which transformers does not load without this project; the shipped "
            "checkpoint must load there: train it with --head plain."
        )
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if not metrics.get("test"):
        raise PushError(
            f"{folder} has no test results: its run left the test split closed (--no_open_test). Finish it with the "
            "same command and --resume instead."
        )
    draft = target.with_name(target.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    for file in files:
        place = draft / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, place)
    if target.exists():
        shutil.rmtree(target)
    draft.rename(target)
    write_card(target)  # the card names its folder where the model has no repository yet
    return [f"{file.path} ({readable_size(file.size)})" for file in files]


def main(argv: list[str]) -> int:
    """Copy, and list what was copied; 2 with one line if the folder cannot be shipped."""
    parser = argparse.ArgumentParser(
        prog="python -m hf_model promote",
        description="Make a trained checkpoint the shipped one, which app.py serves by default.",
    )
    parser.add_argument("folder", type=Path, help="--output_dir of a finished training run")
    options = parser.parse_args(argv)
    try:
        copied = promote(options.folder)
    except PushError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join([f"hf_model/checkpoint now holds {options.folder}:", *(f"  {line}" for line in copied)]))
    return 0
