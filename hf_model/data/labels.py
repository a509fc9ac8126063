"""Which of the two labels a class name or value of a data set means."""

from __future__ import annotations

import re

from hf_model.config import LABEL2ID

NUMBERS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def known_label(name: str) -> int | None:
    """0 for NORMAL, 1 for PNEUMONIA, whatever the case, numbers and punctuation around it; None for another class."""
    return LABEL2ID.get(re.sub(r"[^A-Z]", "", name.upper()))


def label_mapping(names: list[str]) -> dict[str, int | None]:
    """Class name -> label. Names 0 and 1 alone are taken for NORMAL and PNEUMONIA; None where a name says nothing."""
    if names and set(names) <= set(NUMBERS):
        return {name: NUMBERS[name] for name in names}
    return {name: known_label(name) for name in names}
