"""One operating point: a threshold with the bound proven for it, and the checks on what ``decision.json`` says of it.

Standard library only: part of the serving path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

POINT_NAMES = ("default", "rule_out", "rule_in")
MAX_THRESHOLD = 1.00001
"""Exclusive. A specificity point may lie a rounding step above 1, where nothing is called pneumonia any more."""


class DecisionError(ValueError):
    """A ``decision.json`` that cannot be trusted; the message names the file, the entry and what it should be."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and the bound that was proven for it on the calibration patients.

    ``kind`` is "sensitivity" or "specificity": what is bounded below by ``target`` with ``confidence``. ``patients``
    is how many patients of the bounded class were counted, ``errors`` how many of them fall on the wrong side of the
    threshold and ``allowed_errors`` how many the test allows. ``threshold`` is None when there are too few patients:
    ``patients_needed`` without a single error would be the least.
    """

    name: str
    kind: str
    target: float
    confidence: float
    threshold: float | None
    patients: int
    patients_needed: int
    errors: int | None = None
    allowed_errors: int | None = None
    lower_bound: float | None = None
    unit: str = "one picture per patient"

    @property
    def guaranteed(self) -> bool:
        """True if a threshold with its bound was found."""
        return self.threshold is not None

    def describe(self) -> str:
        """One sentence for a person: what is guaranteed, or what is missing."""
        percent, confidence = f"{100 * self.target:g} %", f"{100 * self.confidence:g} %"
        who = "with pneumonia" if self.kind == "sensitivity" else "without pneumonia"
        if self.threshold is None:
            return (
                f"No threshold: {self.kind} of {percent} with {confidence} confidence needs at least "
                f"{self.patients_needed} patients {who} and not one error; there were {self.patients}."
            )
        return (
            f"Threshold {self.threshold:.4f}: {self.kind} at least {percent} with {confidence} confidence "
            f"({self.errors} of {self.patients} calibration patients {who} on the wrong side, "
            f"{self.allowed_errors} allowed; exact lower bound {100 * self.lower_bound:.1f} %)."
        )


def parse_point(name: str, content: Any, source: str) -> OperatingPoint:
    """Validate one entry of ``points``; ``source`` names the file in the DecisionError that bad content raises."""
    where = f"points.{name}"
    require(name in POINT_NAMES, source, where, f"one of {POINT_NAMES}", name)
    require(isinstance(content, Mapping), source, where, "a JSON object", content)
    values = {key.name: content[key.name] for key in fields(OperatingPoint) if key.name in content}
    required = {"kind", "target", "confidence", "threshold", "patients", "patients_needed"}
    require(required <= values.keys(), source, where, f"with {sorted(required)}", sorted(values))
    require(values["kind"] in ("sensitivity", "specificity"), source, f"{where}.kind", "a rate", values["kind"])
    for key in ("target", "confidence"):
        number(values[key], source, f"{where}.{key}", 0.0, 1.0)
    if values["threshold"] is not None:
        threshold = number(values["threshold"], source, f"{where}.threshold", -math.ulp(0.0), MAX_THRESHOLD)
        bounded = all(values.get(key) is not None for key in ("errors", "allowed_errors", "lower_bound"))
        require(bounded, source, where, "with errors, allowed_errors and lower_bound", dict(values))
        values["threshold"] = threshold
    for key in ("patients", "patients_needed", "errors", "allowed_errors"):
        value = values.get(key)
        count = type(value) is int and value >= 0
        require(count or (value is None and key.endswith("errors")), source, f"{where}.{key}", "a count", value)
    return OperatingPoint(**{**values, "name": name})


def number(value: Any, source: str, name: str, low: float, high: float) -> float:
    """``value`` as a float if it is a number strictly between the limits; else DecisionError."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and low < value < high
    require(fits, source, name, f"a number between {low:g} and {high:g}", value)
    return float(value)


def require(condition: bool, source: str, name: str, expected: Any, found: Any) -> None:
    """Raise DecisionError naming the file ``source``, the entry, what was expected and what was found."""
    if not condition:
        raise DecisionError(f"{source}: {name} should be {expected}, but is {found!r}. Refit or restore the file.")
