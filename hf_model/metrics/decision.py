"""From two logits to an answer: the numbers of ``decision.json`` and nothing else.

Standard library only, because serving imports this module before anything heavy. Fitting the numbers is the work of
:mod:`hf_model.metrics.operating_point`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hf_model import wording
from hf_model.config import DEFAULT_THRESHOLD, LABELS, NORMAL, PNEUMONIA, SCHEMA_VERSION

FILE_NAME = "decision.json"
LIKELY, NOT_LIKELY, REFER = "PNEUMONIA LIKELY", "PNEUMONIA NOT LIKELY", "REFER TO A RADIOLOGIST"
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

    def describe(self) -> str:
        """One sentence for a person: what is guaranteed, or what is missing."""
        target, confidence = wording.setting(self.target), wording.setting(self.confidence)
        who = "with pneumonia" if self.kind == "sensitivity" else "without pneumonia"
        if self.threshold is None:
            return (
                f"No threshold: {self.kind} of {target} with {confidence} confidence needs at least "
                f"{self.patients_needed} patients {who} and not one error; there were {self.patients}."
            )
        return (
            f"Threshold {self.threshold:.4f}: {self.kind} at least {target} with {confidence} confidence "
            f"({self.errors} of {self.patients} calibration patients {who} on the wrong side, "
            f"{self.allowed_errors} allowed; exact lower bound {wording.percent(self.lower_bound)})."
        )


@dataclass(frozen=True)
class Decision:
    """How a checkpoint's logits become a probability, a decision and an answer.

    ``prevalence`` is the share of pneumonia among the calibration pictures, at which the probability is calibrated;
    None for a checkpoint without ``decision.json``, whose probability is the plain softmax.
    """

    temperature: float = 1.0
    bias: float = 0.0
    prevalence: float | None = None
    points: dict[str, OperatingPoint] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def calibrated(self) -> bool:
        """True if the numbers were fitted on calibration pictures."""
        return self.prevalence is not None

    @property
    def threshold(self) -> float:
        """Probability at and above which the answer is PNEUMONIA: the default point's, else 0.5."""
        point = self.points.get("default")
        return DEFAULT_THRESHOLD if point is None or point.threshold is None else point.threshold

    @property
    def refer_band(self) -> tuple[float, float] | None:
        """``(low, high)`` at the decision's own threshold; see :meth:`refer_band_at`."""
        return self.refer_band_at(self.threshold)

    def refer_band_at(self, threshold: float) -> tuple[float, float] | None:
        """Probabilities ``low <= p < high`` to refer when deciding at ``threshold``; None for an empty band.

        ``low = min(rule_out, threshold)`` and ``high = max(rule_in, threshold)``. So in every order of the three
        numbers "not likely" keeps the rule-out sensitivity, "likely" keeps the rule-in specificity, and neither
        contradicts the decision at ``threshold``. Where rule-out lies above rule-in, a threshold between them meets
        both bounds and nothing needs to be referred. Without both points there is no band.
        """
        ends = [self.points.get(name) for name in ("rule_out", "rule_in")]
        if any(point is None or point.threshold is None for point in ends):
            return None
        low, high = min(ends[0].threshold, threshold), max(ends[1].threshold, threshold)
        return (low, high) if low < high else None

    def probability(self, logit_normal: float, logit_pneumonia: float) -> float:
        """Calibrated probability of pneumonia in [0, 1] for one picture's two logits; ValueError if not finite."""
        margin = float(logit_pneumonia) - float(logit_normal)
        if not math.isfinite(margin):
            raise ValueError(f"The model's logits are not finite: {logit_normal!r}, {logit_pneumonia!r}.")
        return sigmoid(margin / self.temperature + self.bias)

    def decide(self, probability: float, threshold: float | None = None) -> str:
        """ "PNEUMONIA" at and above the threshold, else "NORMAL"."""
        limit = self.threshold if threshold is None else threshold
        return LABELS[PNEUMONIA if probability >= limit else NORMAL]

    def answer(self, probability: float, threshold: float | None = None) -> str:
        """The sentence for a person: likely, not likely, or refer (inside the refer band)."""
        limit = self.threshold if threshold is None else threshold
        band = self.refer_band_at(limit)
        if band is not None and band[0] <= probability < band[1]:
            return REFER
        return LIKELY if probability >= limit else NOT_LIKELY

    def posterior(self, probability: float, pretest: float) -> float:
        """The calibrated probability at another pre-test probability; ValueError if there is no prevalence."""
        if self.prevalence is None:
            raise ValueError(
                "This checkpoint has no calibrated prevalence (no decision.json), so a pre-test probability cannot be "
                "applied. Run `python -m hf_model recalibrate` on labelled pictures first."
            )
        return posterior(probability, pretest, self.prevalence)

    def to_dict(self) -> dict[str, Any]:
        """The contents of ``decision.json``. ``threshold`` and ``refer_band`` are there for readers, not read back."""
        return {
            "schema_version": SCHEMA_VERSION,
            "labels": list(LABELS),
            "temperature": self.temperature,
            "bias": self.bias,
            "prevalence": self.prevalence,
            "threshold": self.threshold,
            "refer_band": None if self.refer_band is None else list(self.refer_band),
            "points": {name: asdict(point) for name, point in self.points.items()},
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, content: Any, source: str = FILE_NAME) -> Decision:
        """Validate and build; ``source`` is named in the :class:`DecisionError` that bad content raises."""
        require(isinstance(content, Mapping), source, "the file", "a JSON object", content)
        version = content.get("schema_version")
        require(
            isinstance(version, str) and version.split(".")[0] == SCHEMA_VERSION.split(".")[0],
            source,
            "schema_version",
            f"{SCHEMA_VERSION!r}",
            version,
        )
        require(content.get("labels", list(LABELS)) == list(LABELS), source, "labels", LABELS, content.get("labels"))
        prevalence = content.get("prevalence")
        points, provenance = content.get("points", {}), content.get("provenance", {})
        for name, value in (("points", points), ("provenance", provenance)):
            require(isinstance(value, Mapping), source, name, "a JSON object", value)
        return cls(
            temperature=number(content.get("temperature"), source, "temperature", 0.0, math.inf),
            bias=number(content.get("bias", 0.0), source, "bias", -math.inf, math.inf),
            prevalence=None if prevalence is None else number(prevalence, source, "prevalence", 0.0, 1.0),
            points={name: parse_point(name, value, source) for name, value in points.items()},
            provenance=dict(provenance),
        )

    def save(self, folder: str | Path) -> Path:
        """Write ``decision.json`` into the folder (made if missing) and return its path."""
        path = Path(folder) / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Decision:
        """Read ``decision.json`` of a checkpoint folder; without one, the uncalibrated 0.5 decision.

        Raises DecisionError when the file is there and wrong.
        """
        path = Path(folder) / FILE_NAME
        if not path.exists():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DecisionError(f"{path} is not JSON ({error}). Copy it again or refit it.") from error
        return cls.from_dict(content, str(path))


def sigmoid(log_odds: float) -> float:
    """Logistic function without overflow: any finite log-odds -> [0, 1]."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def posterior(probability: float, pretest: float, prevalence: float) -> float:
    """Move a probability that is calibrated at ``prevalence`` to the pre-test probability ``pretest``.

    Bayes on the log-odds: the evidence of the picture stays, the prior changes (Saerens et al., Neural Computation
    2002, for two classes). ``probability`` is in [0, 1]; ``pretest`` and ``prevalence`` are strictly between 0 and 1.
    Raises ValueError otherwise.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability must be between 0 and 1, not {probability!r}.")
    for name, value in (("pre-test probability", pretest), ("prevalence", prevalence)):
        if not 0.0 < value < 1.0:
            raise ValueError(f"The {name} must be strictly between 0 and 1, not {value!r}.")
    if probability in (0.0, 1.0):
        return probability
    return sigmoid(_logit(probability) + _logit(pretest) - _logit(prevalence))


def _logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)


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
