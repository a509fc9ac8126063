"""Refuse to train on test patients or test pictures, before the first step.

Of the test split this reads file names (or the patient column) and decoded pixels, which are decoded through the cache
that the final evaluation maps; it reads no label and runs no model. Further renderings are not compared: they join
development by file name, and two renderings of one data set are the same pictures on purpose.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from hf_model.audit.leakage import certificate
from hf_model.audit.pictures import TEST, FileInfo, Pictures
from hf_model.data.loading import DatasetError
from hf_model.data.near_duplicates import near_pairs
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import FILE_NAME, DevelopmentData

logger = logging.getLogger(__name__)
DEVELOPMENT = "development"


def refuse_leakage(data: DevelopmentData, *, allowed: bool) -> dict[str, Any]:
    """Compare development with the test split: patients by the full key, equal pixels, near duplicates.

    Args:
        data: prepared, the test split still closed. allowed: ``--allow_leakage``.

    Returns:
        For metrics.json: "clean", "allowed", "counts" by kind (None: could not be compared), "unknown_patients" (the
        number of test pictures without a patient key), without file names.

    Raises:
        DatasetError: something is shared and that was not allowed (the message names an example of each kind), or the
            test split has no --patient_column.
    """
    test = data.test[data.main_name].decode()
    patients = data.patients_in(test)
    if data.patient_column is not None and not any(patients):
        raise DatasetError(f"--patient_column {data.patient_column}: the test split of {data.main_name} has none.")
    found, unknown = _compare(data, test, patients), patients.count("")
    counts = {kind: found["pairs"][0]["counts"][kind] for kind in ("patients", "pixels", "near")}
    if counts["patients"] is None:
        logger.warning("Patients are unknown: whether test patients are also trained on cannot be checked.")
    elif unknown:
        logger.warning(
            "%d of %d test pictures name no patient (by %s): whether their patients are also trained on cannot be "
            "checked.",
            unknown,
            len(test),
            data.patient_key,
        )
    record = {"clean": found["clean"], "allowed": allowed, "counts": counts, "unknown_patients": unknown}
    if not found["clean"]:
        reasons = " ".join(found["leaks"])
        if not allowed:
            raise DatasetError(
                f"{data.main_name} leaks, so that its test figures would be too good: {reasons} Take them out of one "
                "side (`python -m hf_model audit` lists them all), or train with --allow_leakage, which is recorded."
            )
        logger.warning("LEAKAGE, allowed and recorded: %s", reasons)
    return record


def _compare(data: DevelopmentData, test: Pixels, test_patients: list[str]) -> dict[str, Any]:
    """The certificate of ``audit.leakage`` on development and test, in seconds for 6,000 pictures.

    Patients are not compared unless some are known on both sides. test_patients: a key for each test picture, or "".
    """
    rows, main = np.sort(np.concatenate([split.indices for split in data.splits.values()])), data.main
    patients = None
    if data.patients is not None and any(test_patients):
        patients = [data.patients[row] for row in rows] + [patient or None for patient in test_patients]
    hashes = [main.hashes[row] for row in rows] + test.hashes
    pixels = [*(main.pixels[row] for row in rows), *test.pixels]
    side = np.array([DEVELOPMENT] * len(rows) + [TEST] * len(test))
    pictures = Pictures(
        name=data.main_name,
        split=side,
        names=[main.names[row] for row in rows] + test.names,
        labels=np.zeros(len(side), dtype=np.int64),  # not compared, and the test split's stay unread
        patients=patients,
        files=[FileInfo(0, "")] * len(side),
        kept=np.arange(len(side)),
        pixels=pixels,
        hashes=hashes,
        kermany_names=data.patient_key == FILE_NAME and data.pattern is None,
    )
    return certificate(pictures, near_pairs(pixels, hashes, side == TEST))
