"""What each event of the page does, as functions from component values to component updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from hf_model.inference.prediction import Prediction
from hf_model.metrics.held_out import HeldOut, Performance, recorded
from hf_model.page import batch
from hf_model.page.answer import answer_card
from hf_model.page.batch import batch_view, progress_view
from hf_model.page.pictures import SHOWN_SIDE, viewer
from hf_model.page.pretest import pretest_panel
from hf_model.page.text import definition_list, escape, note, percent
from hf_model.page.uploads import count_items, discard, expand, take
from hf_model.radiograph import Radiograph, UnreadableRadiograph

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
        prediction = self.classifier.predict(data, name=name, threshold=threshold, thumbnail=SHOWN_SIDE)
        return Reading(prediction, prediction.radiograph.pixels, _facts(prediction.radiograph, len(data)))

    def answer(self, reading: Reading) -> str:
        """The card, or why there is none."""
        prediction, reasons = reading.prediction, _reasons(reading)
        if reading.blocked == "refuse":
            film = f"Upload a frontal chest film of a {self.classifier.population.singular}, upright and not inverted."
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
            self.classifier.population.plural,
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


FORGOTTEN = note("info", "Choose the picture again", "It was forgotten after an hour, as uploads are not kept.")
GONE = note("info", "Choose the files again", "The table was forgotten after an hour, as uploads are not kept.")
STEP = 25
"""At most about this many progress reports: each one is a message to the browser."""


class Handlers:
    """The page's events for one desk. Thread-safe: all state is in the arguments."""

    def __init__(self, desk: Desk, examples: Sequence[Path] = ()) -> None:
        self.desk = desk
        self.examples = tuple(examples)
        self.thresholds = desk.thresholds()

    def presets(self) -> list[tuple[str, str]]:
        """Choices of the preset radio: label with its value, and key; only those that the checkpoint has."""
        labels = {**dict(PRESETS), HALF: "Fixed"}
        return [(f"{labels[key]}: {percent(value)}", key) for key, value in self.thresholds.items()]

    def first_pretest(self) -> int:
        """Where the pre-test slider starts, in percent: where the shown probability holds."""
        prevalence = self.desk.decision.prevalence
        return 50 if prevalence is None else min(99, max(1, round(100 * prevalence)))

    def read(self, path: str | None, threshold: float, preset: str | None, pretest: float) -> tuple[Any, ...]:
        """An upload -> every part of the tab, and an empty uploader."""
        if not path:
            return (*_skipped(9), None)
        try:
            name, data = take(path)
            return (*self._panel(self.desk.read(name, data, self._limit(threshold, preset)), pretest), None)
        except UnreadableRadiograph as error:
            return (*self._failed(error), None)

    def read_example(
        self, threshold: float, preset: str | None, pretest: float, event: gr.EventData
    ) -> tuple[Any, ...]:
        """A click on an example -> the same as its upload."""
        number = (event._data or {}).get("index")
        if not isinstance(number, int) or not 0 <= number < len(self.examples):
            return (*_skipped(9), None)
        path = self.examples[number]
        try:
            reading = self.desk.read(path.name, path.read_bytes(), self._limit(threshold, preset))
        except (UnreadableRadiograph, OSError) as error:
            return (*self._failed(error), None)
        return (*self._panel(reading, pretest), None)

    def override(
        self, reading: Reading | None, threshold: float, preset: str | None, pretest: float
    ) -> tuple[Any, ...]:
        """The person says that a flagged picture is right."""
        if reading is None:
            return (None, FORGOTTEN, *_skipped(7))
        return self._panel(reading.confirm().at(self._limit(threshold, preset)), pretest)

    def move(self, reading: Reading | None, threshold: float, pretest: float) -> tuple[Any, ...]:
        """The threshold slider (percent): answer and values anew, no preset chosen any more."""
        if reading is None:
            return None, FORGOTTEN, "", None
        reading = reading.at(self._limit(threshold, None))
        return reading, self.desk.answer(reading), self.desk.pretest(reading, pretest), None

    def choose(self, reading: Reading | None, preset: str, pretest: float) -> tuple[Any, ...]:
        """A preset: answer and values anew, the slider follows."""
        if reading is None:
            return None, FORGOTTEN, "", gr.skip()
        limit = self._limit(50, preset)
        reading = reading.at(limit)
        return reading, self.desk.answer(reading), self.desk.pretest(reading, pretest), round(100 * limit, 1)

    def value(self, reading: Reading | None, pretest: float) -> str:
        """The pre-test slider (percent): post-test probability, PPV and NPV anew."""
        return "" if reading is None else self.desk.pretest(reading, pretest)

    def batch(self, paths: list[str] | None) -> Iterator[tuple[Any, ...]]:
        """Files and archives -> rows, table, downloads, override, an empty uploader; progress first."""
        if not paths:
            yield _skipped(5)
            return
        try:
            rows: list[batch.Row] = []
            total = count_items(paths)
            hidden = gr.update(visible=False)
            yield (), progress_view(0, total), hidden, hidden, gr.skip()
            for row in batch.run(self.desk.classifier, expand(paths)):
                rows.append(row)
                if len(rows) % max(1, total // STEP) == 0:
                    yield gr.skip(), progress_view(len(rows), total), *_skipped(3)
            flagged = any(row.result.ok and row.result.needs_confirmation for row in rows)
            shown = gr.update(visible=True)
            yield tuple(rows), batch_view(rows, self.desk.decision), shown, gr.update(visible=flagged), None
        finally:
            discard(paths)

    def override_batch(self, rows: Sequence[batch.Row]) -> tuple[Any, ...]:
        """The person says that the flagged pictures are right: rows and table with their answers, no button."""
        if not rows:
            return (), GONE, gr.update(visible=False)
        rows = tuple(row.override() for row in rows)
        return rows, batch_view(rows, self.desk.decision), gr.update(visible=False)

    def csv(self, rows: Sequence[batch.Row]) -> str:
        """The last batch as CSV text."""
        return batch.as_csv(rows)

    def json(self, rows: Sequence[batch.Row]) -> str:
        """The last batch as JSON text."""
        return batch.as_json(rows)

    def _limit(self, threshold: float, preset: str | None) -> float:
        """The chosen threshold, 0 to 1: a preset's exact value, else the slider's."""
        return self.thresholds.get(preset, min(max(threshold / 100, 0.0), 1.0))

    def _panel(self, reading: Reading, pretest: float) -> tuple[Any, ...]:
        """Updates of reading, answer, override, results, controls, opacity, pictures, values, details."""
        open_ = not reading.blocked
        mapped = open_ and reading.prediction.class_activation_map is not None
        return (
            reading,
            self.desk.answer(reading),
            gr.update(visible=reading.blocked == "flag"),
            gr.update(visible=True),
            gr.update(visible=open_),
            gr.update(visible=mapped),
            self.desk.pictures(reading),
            self.desk.pretest(reading, pretest) if open_ else "",
            self.desk.details(reading),
        )

    def _failed(self, error: Exception) -> tuple[Any, ...]:
        hidden = gr.update(visible=False)
        return (
            None,
            note("stop", "This file cannot be read", escape(str(error))),
            hidden,
            hidden,
            hidden,
            hidden,
            "",
            "",
            "",
        )


def _skipped(count: int) -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(count))
