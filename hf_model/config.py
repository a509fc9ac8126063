"""Names, labels and limits that every part of the project shares.

Standard library only: the serving path imports this first and must stay light.
"""

from __future__ import annotations

import re
from pathlib import Path

SCHEMA_VERSION = "1.0"
"""Version of decision.json and metrics.json; ``inference.prediction`` has its own."""

NORMAL, PNEUMONIA = 0, 1
LABELS = ("NORMAL", "PNEUMONIA")
ID2LABEL = dict(enumerate(LABELS))
LABEL2ID = {label: index for index, label in ID2LABEL.items()}

DEFAULT_DATASET = "hf-vision/chest-xray-pneumonia"
BASELINE = "baseline-cnn"
"""Name of the CNN from scratch for ``--base_model``."""
DEFAULT_THRESHOLD = 0.5
"""Used for a checkpoint that carries no ``decision.json``."""

CHECKPOINT_DIR = Path(__file__).parent / "checkpoint"
"""The shipped checkpoint: what ``python app.py`` serves without a network."""

MAX_UPLOAD_BYTES = 64 * 2**20
"""A 16-bit uncompressed DICOM of 4,000 x 4,000 px has 32 MiB."""
MAX_PIXELS = 50_000_000
"""Detectors deliver up to about 18 megapixels; Pillow's own bomb limit is ten times that."""
MIN_SIDE = 64
"""Pixels on the shorter side below which nothing of a chest can be judged."""
MAX_BATCH_FILES = 5_000

NOT_A_DEVICE = "Decision support for education and research, not a diagnosis and not a medical device."

HUB_ID = re.compile(r"(\b[\w.-]+\b/)?\b[\w.-]{1,96}\b")
"""``owner/name`` or ``name`` of a repository on the Hub: the pattern of ``huggingface_hub.utils.validate_repo_id``."""


def is_hub_id(name: object) -> bool:
    """Whether ``name`` is written as ``owner/name`` and is not the path of something here."""
    return isinstance(name, str) and "/" in name and bool(HUB_ID.fullmatch(name)) and not Path(name).exists()
