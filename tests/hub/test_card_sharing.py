"""What the card says of patients and pictures that splits share."""

from __future__ import annotations

import pytest
from card_run_files import metrics, write_run

from hf_model.hub.card import build_card

DEVELOPMENT = "- Development (training and every choice)"
CALIBRATION = "calibration (temperature and thresholds)"
CLEAN = {"clean": True, "allowed": False, "counts": {"patients": 0, "pixels": 0, "near": 0}}
SHARED = {"clean": False, "allowed": True, "counts": {"patients": 3, "pixels": 0, "near": 2}}
NO_NAMES = "**The data names no patients, so they may share patients.**"
UNSEEN = "whether training has seen their patients cannot be told."


@pytest.mark.parametrize(
    ("recorded", "lines"),
    [
        (
            {"patient_key": "file name", "leakage": CLEAN | {"unknown_patients": 0}},
            [f"{DEVELOPMENT}, {CALIBRATION} and test share no patient; patients are told apart by file name."],
        ),
        (
            {"patient_key": "file name", "leakage": CLEAN | {"unknown_patients": 4}},
            [
                f"{DEVELOPMENT}, {CALIBRATION} and test share no patient that is known; patients are told apart by "
                "file name.",
                f"- **4 test pictures do not say whose they are**: {UNSEEN}",
            ],
        ),
        (
            {"patient_key": "column mrn", "leakage": SHARED | {"unknown_patients": 1}},
            [
                f"{DEVELOPMENT} and {CALIBRATION} share no patient; patients are told apart by column mrn. What the "
                "test split shares with them follows below.",
                "- **Development and test share 3 patients, 2 nearly equal pictures** (`--allow_leakage`): figures on "
                "the test split are too good.",
                f"- **1 test picture does not say whose it is**: {UNSEEN}",
            ],
        ),
        (
            {"patient_key": "file name"},
            [
                f"{DEVELOPMENT} and {CALIBRATION} share no patient; patients are told apart by file name. Whether test "
                "does is not known."
            ],
        ),
        (
            {"patient_key": False, "leakage": CLEAN | {"unknown_patients": 40}},
            [f"{DEVELOPMENT}, {CALIBRATION} and test share no picture. {NO_NAMES}"],
        ),
        (
            {"patient_key": False, "leakage": SHARED | {"counts": {"patients": None, "pixels": 1, "near": 0}}},
            [
                f"{DEVELOPMENT} and {CALIBRATION} share no picture. {NO_NAMES} What the test split shares with them "
                "follows below.",
                "- **Development and test share 1 equal picture** (`--allow_leakage`): figures on the test split are "
                "too good.",
            ],
        ),
    ],
)
def test_what_splits_share_is_said_as_far_as_it_is_known(tmp_path, recorded, lines):
    values = metrics()
    values["data"] = {key: value for key, value in values["data"].items() if key != "leakage"} | recorded
    protocol = build_card(write_run(tmp_path, values)).split("\n## Protocol\n")[1].split("\n## ")[0]
    assert [line for line in protocol.splitlines() if line.startswith(("- Development", "- **"))] == lines
