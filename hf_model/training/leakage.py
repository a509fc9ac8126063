"""No training on what is tested on: patients and pictures in development and in the test split, before the first step.

Of the test split this reads file names (or the patient column) and decoded pixels, which are decoded through the cache
that the final evaluation maps: no label, and no model has seen them. Renderings need no comparison of their own: they
join development by file name, and two renderings of one data set are the same pictures on purpose.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from datasets import DatasetDict

from hf_model.audit.duplicates import near_pairs
from hf_model.audit.leakage import certificate
from hf_model.audit.pictures import TEST, Header, Pictures
from hf_model.data.loading import DatasetError
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import DevelopmentData

logger = logging.getLogger(__name__)
DEVELOPMENT = "development"


def refuse_leakage(data: DevelopmentData, *, allowed: bool) -> dict[str, Any]:
    """Compare development with the test split: patients by the full key, equal pixels, near duplicates.

    Args:
        data: prepared, the test split still closed. allowed: ``--allow_leakage``.

    Returns:
        For metrics.json: "clean", "allowed", "counts" by kind (None: could not be compared), without file names.

    Raises:
        DatasetError: something is shared and that was not allowed; the message names an example of each kind.
    """
    found = compare(data)
    counts = {kind: found["pairs"][0]["counts"][kind] for kind in ("patients", "pixels", "near")}
    if counts["patients"] is None:
        logger.warning("Nothing says whose the pictures are: whether test patients are learned from cannot be told.")
    record = {"clean": found["clean"], "allowed": allowed, "counts": counts}
    if not found["clean"]:
        reasons = " ".join(found["leaks"])
        if not allowed:
            raise DatasetError(
                f"{data.main_name} leaks, so that its test figures would be too good: {reasons} Take them out of one "
                "side (`python -m hf_model audit` lists them all), or train with --allow_leakage, which is recorded."
            )
        logger.warning("LEAKAGE, allowed and recorded: %s", reasons)
    return record


def compare(data: DevelopmentData) -> dict[str, Any]:
    """``audit.leakage.certificate`` of development against the test split, seconds for 6,000 pictures."""
    rows = np.sort(np.concatenate([split.indices for split in data.splits.values()]))
    main, test = data.main, data.test[data.main_name].decode()
    patients = None
    if data.patients is not None:
        patients = [data.patients[row] for row in rows] + [patient or None for patient in data.patients_in(test)]
    hashes = [main.hashes[row] for row in rows] + test.hashes
    pixels = [*(main.pixels[row] for row in rows), *test.pixels]
    side = np.array([DEVELOPMENT] * len(rows) + [TEST] * len(test))
    pictures = Pictures(
        name=data.main_name, source=DatasetDict(), split=side, names=_names(main, rows) + test.names,
        labels=np.zeros(len(side), dtype=np.int64),  # nobody asks for them here, and the test split's stay unread
        patients=patients, headers=[Header(0, "")] * len(side), kept=np.arange(len(side)), pixels=pixels,
        hashes=hashes, skipped={}, named=data.patient_key == "file name" and data.pattern is None,
    )  # fmt: skip
    return certificate(pictures, near_pairs(pixels, hashes, side == TEST))


def _names(pixels: Pixels, rows: np.ndarray) -> list[str]:
    return [pixels.names[row] for row in rows]
