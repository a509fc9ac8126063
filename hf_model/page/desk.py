"""What happens to one upload on the page: read, checked, answered, re-decided. Gives HTML; app.py places it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hf_model.inference.prediction import Prediction
from hf_model.metrics.held_out import HeldOut, Performance, recorded
from hf_model.page import whom
from hf_model.page.answer import answer_card
from hf_model.page.pictures import SHOWN_SIDE, shrink, viewer
from hf_model.page.pretest import pretest_panel
from hf_model.page.text import definition_list, escape, note
from hf_model.radiograph import Radiograph, read_radiograph

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier

PRESETS = (("default", "Model's own"), ("rule_out", "Rule out"), ("rule_in", "Rule in"))
HALF = "half"


@dataclass(frozen=True, eq=False)
class Reading:
    """One uploaded picture: its prediction, the pixels to show (grey uint8), and facts."""

    prediction: Prediction
    pixels: np.ndarray
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def blocked(self) -> str:
        """``"refuse"``, ``"flag"`` (until overridden) or "" when the answer may be shown."""
        if self.prediction.refused:
            return "refuse"
        return "flag" if self.prediction.needs_confirmation else ""

    def confirm(self) -> Reading:
        """The same reading with its flags overridden; a refusal stays a refusal."""
        return replace(self, prediction=self.prediction.override())

    def at(self, threshold: float) -> Reading:
        """The same reading decided at another threshold, without the model."""
        return replace(self, prediction=self.prediction.at(threshold))


class Desk:
    """One checkpoint's page: its classifier, its decision, its held-out scores."""

    def __init__(self, classifier: Classifier, folder: Path | None) -> None:
        """``folder`` is the checkpoint's, for its held-out scores; ValueError if they cannot be read."""
        self.classifier = classifier
        self.decision = classifier.decision
        self.held_out = HeldOut.load(folder, classifier.decision, classifier.metrics) if folder else None

    def performance(self, threshold: float) -> Performance | None:
        """Held-out figures at a threshold: counted, or for a checkpoint without scores the recorded ones, or None."""
        return self.held_out.at(threshold) if self.held_out else recorded(self.classifier.metrics, threshold)

    def thresholds(self) -> dict[str, float]:
        """Presets by key, those that the checkpoint has; a threshold above 1 (nothing is pneumonia) counts as 1."""
        points = self.decision.points
        found = {
            key: min(points[key].threshold, 1.0)
            for key, _ in PRESETS
            if key in points and points[key].threshold is not None
        }
        return {"default": self.decision.threshold, **found, HALF: 0.5}

    def read(self, name: str, data: bytes, threshold: float) -> Reading:
        """Read, check and classify one file; UnreadableRadiograph if it holds no radiograph."""
        prediction = self.classifier.predict(data, name=name, threshold=threshold, heat_map=True)
        # For showing only, so a fraction of the size will do; the model has its own copy, decoded in full.
        radiograph = read_radiograph(data, name=name, target_side=SHOWN_SIDE // 2)
        return Reading(prediction, shrink(radiograph.pixels), _facts(radiograph, len(data)))

    def answer(self, reading: Reading) -> str:
        """The card, or why there is none."""
        prediction, reasons = reading.prediction, _reasons(reading)
        if reading.blocked == "refuse":
            film = f"Upload a frontal chest film of a {whom.one(self.classifier.population)}, upright and not inverted."
            return note("stop", "No answer: this picture cannot be used", *reasons, film)
        if reading.blocked == "flag":
            return note(
                "warn",
                "Check this picture first",
                *reasons,
                "An answer for a picture of another kind means nothing, so it is hidden until you say that the "
                "picture is right.",
            )
        warning = note("warn", "Shown although the input checks object", *reasons) if reasons else ""
        card = answer_card(
            prediction.answer,
            prediction.probability,
            prediction.threshold,
            self.decision,
            self.performance(prediction.threshold),
            self.classifier.population,
        )
        return warning + card

    def pretest(self, reading: Reading, percent: float) -> str:
        """PPV, NPV and post-test probability at a pre-test probability of 1 to 99 (percent)."""
        prediction = reading.prediction
        performance = self.performance(prediction.threshold)
        pretest = min(max(percent, 1), 99) / 100
        return pretest_panel(
            prediction.probability,
            pretest,
            self.decision,
            performance,
            prediction.answer,
            whom.many(self.classifier.population),
        )

    def pictures(self, reading: Reading) -> str:
        """Original and heat map; the original alone while the answer is withheld."""
        heat = None if reading.blocked else reading.prediction.class_activation_map
        return viewer(reading.pixels, heat, reading.prediction.name)

    def details(self, reading: Reading) -> str:
        """Model, timing, picture and input checks, folded."""
        prediction, timing = reading.prediction, reading.prediction.timing
        facts = [
            ("Model", prediction.model_id),
            ("SHA-256 of the weights", prediction.model_hash),
            ("Engine", prediction.engine),
            (
                "Time",
                f"{timing.total:.0f} ms (decode {timing.decode:.0f}, check and resize {timing.preprocess:.0f}, "
                f"model {timing.model:.0f})",
            ),
            *reading.facts,
        ]
        if not reading.blocked:
            normal, pneumonia = prediction.logits
            facts.append(("Logits", f"normal {normal:.4f}, pneumonia {pneumonia:.4f}"))
        checks = [f"{finding.severity}: {finding.message}" for finding in prediction.findings] or ["Nothing noticed."]
        items = "".join(f"<li>{escape(check)}</li>" for check in checks)
        return (
            '<details class="cxr-details"><summary>Details: model, timing, input checks</summary>'
            f"{definition_list(facts)}<p><strong>Input checks</strong></p><ul>{items}</ul></details>"
        )


def _reasons(reading: Reading) -> list[str]:
    shown = [finding for finding in reading.prediction.findings if finding.severity != "note"]
    return [escape(finding.message) for finding in shown]


def _facts(radiograph: Radiograph, size: int) -> tuple[tuple[str, str], ...]:
    width, height = radiograph.original_size
    facts = [
        ("File", f"{radiograph.name}, {radiograph.format}, {size / 1024:,.0f} KiB"),
        ("Picture", f"{width} × {height} px, {radiograph.bit_depth} bits"),
    ]
    facts += [(key.replace("_", " ").capitalize(), str(value)) for key, value in radiograph.metadata.items() if value]
    return tuple(facts)
