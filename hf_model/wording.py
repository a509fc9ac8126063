"""How a figure is written wherever a person reads it: terminal, tables, report, card, page and README.

Figures come as the entries of ``metrics.json``: a number, or ``{"value": number, "interval": [low, high]}``, or as an
object with ``value`` and ``interval``, such as ``hf_model.metrics.held_out.Rate``. Shares are stored as 0 to 1 and
written in percent with one decimal. Standard library only, because serving imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POINTS = {"default": "threshold", "rule_out": "rule-out", "rule_in": "rule-in", "argmax": "larger logit", "0.5": "0.5"}
"""Operating point as the records name it -> its label, in the order of every table."""
NOT_GIVEN = "not given"
"""Stands where a record has no such figure."""
NOT_DEFINED = "not defined"
"""Stands where a figure has no value: a rate without a denominator, an AUC of one class."""


def percent(share: float, digits: int = 1) -> str:
    """A share of 0 to 1 with one decimal: ``93.9 %``; ``<0.1 %`` and ``>99.9 %`` instead of a false 0 or 100.

    digits: 0 for a rough share.
    """
    return f"{_digits(share, digits)} %"


def _digits(share: float, digits: int = 1) -> str:
    least = 10**-digits
    if 0 < share < least / 100:
        return f"<{least:.{digits}f}"
    if 1 - least / 100 < share < 1:
        return f">{100 - least:.{digits}f}"
    return f"{100 * share:.{digits}f}"


def setting(share: float) -> str:
    """A share that somebody chose, such as a target or a pre-test probability, as chosen: ``95 %``, ``97.5 %``."""
    return f"{100 * share:.10g} %"


def decimal(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A figure that is no percentage: ``0.977``; signed, as a difference: ``+0.977``."""
    return f"{value:{'+' if signed else ''}.{digits}f}"


def count(number: int) -> str:
    """A count without its noun: ``2,100``."""
    return f"{number:,}"


def counted(number: int, one: str, several: str | None = None) -> str:
    """A count with its noun: ``1 patient``, ``2,100 patients``; ``several`` for an irregular plural."""
    return f"{count(number)} {one if number == 1 else several or one + 's'}"


def value_of(figure: Any) -> float | None:
    """The number of a figure, which is a number, ``{"value": ...}``, an object with ``value``, or None."""
    return figure.get("value") if isinstance(figure, Mapping) else getattr(figure, "value", figure)


def interval_of(figure: Any, key: str = "interval") -> tuple[float, float] | None:
    """``(low, high)`` of a figure; None where it has no interval."""
    found = figure.get(key) if isinstance(figure, Mapping) else getattr(figure, key, None)
    return None if found is None else (found[0], found[1])


def rate(figure: Any, key: str = "interval") -> str:
    """A share with its interval: ``93.8 % (91.0 to 95.8)``; ``93.8 %`` without one."""
    return _written(figure, percent, lambda low, high: f" ({_digits(low)} to {_digits(high)})", key)


def ratio(figure: Any, key: str = "interval", digits: int = 3, *, signed: bool = False) -> str:
    """A figure that is no percentage, with its interval: ``0.977 (0.965 to 0.985)``; ``0.977`` without one.

    signed: for differences, ``+0.003 (-0.001 to +0.007)``.
    """

    def text(value: float) -> str:
        return decimal(value, digits, signed=signed)

    return _written(figure, text, lambda low, high: f" ({text(low)} to {text(high)})", key)


def _written(figure: Any, value: Any, brackets: Any, key: str) -> str:
    if figure is None:
        return NOT_GIVEN
    number, interval = value_of(figure), interval_of(figure, key)
    if number is None:
        return NOT_DEFINED
    return value(number) + ("" if interval is None else brackets(*interval))


def interval(figure: Any, *, percentage: bool, key: str = "interval", digits: int = 3) -> str:
    """Only the interval, for a line of its own below the value: ``91.0 to 95.8 %``, ``0.965 to 0.985``; else empty."""
    ends = interval_of(figure, key)
    if ends is None:
        return ""
    if percentage:
        return f"{_digits(ends[0])} to {percent(ends[1])}"
    return f"{decimal(ends[0], digits)} to {decimal(ends[1], digits)}"


_SHARED = {
    "patients": ("patient", "patients"),
    "pixels": ("equal picture", "equal pictures"),
    "near": ("nearly equal picture", "nearly equal pictures"),
}


def shared_between_splits(leakage: Mapping[str, Any]) -> str:
    """What development and test share: ``3 patients, 1 equal picture``; ``something`` where nothing was counted.

    ``leakage`` is ``data.leakage`` of metrics.json: "clean", "counts" by kind (None where it could not be compared),
    and, since it is counted, "unknown_patients".
    """
    counts = leakage.get("counts") or {}
    return (
        ", ".join(counted(counts[kind], *words) for kind, words in _SHARED.items() if counts.get(kind)) or "something"
    )


def patients_unknown(leakage: Mapping[str, Any]) -> str:
    """Which test pictures could not be compared by patient, as the beginning of a sentence; "" where all could."""
    number = leakage.get("unknown_patients") or 0
    if number == 1:
        return "1 test picture does not say whose it is"
    if number:
        return f"{count(number)} test pictures do not say whose they are"
    compared = (leakage.get("counts") or {}).get("patients", 0) is not None
    return "" if compared else "The test pictures do not say whose they are"
