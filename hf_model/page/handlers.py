"""What each event of the page does, as functions from component values to component updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from hf_model.inference.prediction import Prediction
from hf_model.metrics.held_out import HeldOut, Performance, recorded
from hf_model.page import batch, fragment, percent
from hf_model.page.answer import answer_view, details_view, pretest_panel
from hf_model.page.examples import Example
from hf_model.page.uploads import PENDING, count_files, read_upload, unpack
from hf_model.page.viewer import SHOWN_SIDE, viewer
from hf_model.radiograph import UnreadableRadiograph

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier

PRESETS = {"default": "Model's own", "rule_out": "Rule out", "rule_in": "Rule in", "half": "Fixed"}
"""Preset threshold -> its label; "half" is 0.5, the others are operating points."""
PROGRESS_REPORTS = 25
"""At most about so many for a batch: each one is a message to the browser."""


class Handlers:
    """The events of one checkpoint's page. Thread-safe: all state is in the arguments.

    What the browser's session keeps between events is a ``Prediction`` with its radiograph, or a batch's rows. Sliders
    are in percent.
    """

    def __init__(self, classifier: Classifier, folder: Path | None = None, examples: Sequence[Example] = ()) -> None:
        """``folder`` is the checkpoint's, for its held-out scores; ValueError if they cannot be read."""
        self.classifier = classifier
        self.examples = tuple(examples)
        self.decision = classifier.decision
        self.thresholds = self._thresholds()
        self.held_out = HeldOut.load(folder, self.decision, classifier.metrics) if folder else None

    def _thresholds(self) -> dict[str, float]:
        """Presets that the checkpoint has; a threshold above 1 (nothing is pneumonia) counts as 1."""
        points = self.decision.points
        found = {
            key: min(points[key].threshold, 1.0)
            for key in PRESETS
            if key in points and points[key].threshold is not None
        }
        return {"default": self.decision.threshold, **found, "half": 0.5}

    def performance(self, threshold: float) -> Performance | None:
        """Held-out figures at a threshold: counted, or for a checkpoint without scores the recorded ones, or None."""
        return self.held_out.at(threshold) if self.held_out else recorded(self.classifier.metrics, threshold)

    def presets(self) -> list[tuple[str, str]]:
        """Choices of the preset radio: label with its value, and key."""
        return [(f"{PRESETS[key]}: {percent(value)}", key) for key, value in self.thresholds.items()]

    def first_pretest(self) -> int:
        """Where the pre-test slider starts: where the shown probability holds."""
        prevalence = self.decision.prevalence
        return 50 if prevalence is None else min(99, max(1, round(100 * prevalence)))

    def read(self, path: str | None, threshold: float, preset: str | None, pretest: float) -> tuple[Any, ...]:
        """An upload -> every part of the tab, and an empty uploader."""
        if not path:
            return (*_skipped(9), None)
        try:
            name, data = read_upload(path)
            prediction = self._predict(name, data, threshold, preset)
        except UnreadableRadiograph as error:
            return (*_unreadable(error), None)
        return (*self._panel(prediction, pretest), None)

    def read_example(
        self, threshold: float, preset: str | None, pretest: float, event: gr.EventData
    ) -> tuple[Any, ...]:
        """A click on an example -> the same as its upload."""
        number = (event._data or {}).get("index")
        if not isinstance(number, int) or not 0 <= number < len(self.examples):
            return (*_skipped(9), None)
        path = self.examples[number].path
        try:
            prediction = self._predict(path.name, path.read_bytes(), threshold, preset)
        except (UnreadableRadiograph, OSError) as error:
            return (*_unreadable(error), None)
        return (*self._panel(prediction, pretest), None)

    def override(
        self, prediction: Prediction | None, threshold: float, preset: str | None, pretest: float
    ) -> tuple[Any, ...]:
        """The person says that a flagged picture is right."""
        if prediction is None:
            return (None, _forgotten("picture"), *_skipped(7))
        return self._panel(prediction.override().at(self._limit(threshold, preset)), pretest)

    def set_threshold(self, prediction: Prediction | None, threshold: float, pretest: float) -> tuple[Any, ...]:
        """The threshold slider: answer and values anew, no preset chosen any more."""
        if prediction is None:
            return None, _forgotten("picture"), "", None
        return *self._at(prediction, self._limit(threshold, None), pretest), None

    def choose_preset(self, prediction: Prediction | None, preset: str, pretest: float) -> tuple[Any, ...]:
        """A preset: answer and values anew, the slider follows."""
        if prediction is None:
            return None, _forgotten("picture"), "", gr.skip()
        limit = self.thresholds[preset]
        return *self._at(prediction, limit, pretest), round(100 * limit, 1)

    def pretest_values(self, prediction: Prediction | None, pretest: float) -> str:
        """The pre-test slider: post-test probability, PPV and NPV anew."""
        if prediction is None:
            return ""
        performance = self.performance(prediction.threshold)
        return pretest_panel(prediction, min(max(pretest, 1), 99) / 100, performance, self.classifier.population)

    def read_batch(self, paths: list[str] | None) -> Iterator[tuple[Any, ...]]:
        """Files and archives -> rows, table, downloads, override, an empty uploader; progress first."""
        if not paths:
            yield _skipped(5)
            return
        try:
            rows: list[batch.Row] = []
            total = count_files(paths)
            hidden = gr.update(visible=False)
            yield (), batch.progress_view(0, total), hidden, hidden, gr.skip()
            for row in batch.run(self.classifier, unpack(paths)):
                rows.append(row)
                if len(rows) % max(1, total // PROGRESS_REPORTS) == 0:
                    yield gr.skip(), batch.progress_view(len(rows), total), *_skipped(3)
            flagged = any(row.result.ok and row.result.needs_confirmation for row in rows)
            shown = gr.update(visible=True)
            yield tuple(rows), batch.batch_view(rows, self.decision), shown, gr.update(visible=flagged), None
        finally:
            PENDING.finished(paths)

    def override_batch(self, rows: Sequence[batch.Row]) -> tuple[Any, ...]:
        """The person says that the flagged pictures are right: rows and table with their answers, no button."""
        if not rows:
            return (), _forgotten("files"), gr.update(visible=False)
        rows = tuple(row.override() for row in rows)
        return rows, batch.batch_view(rows, self.decision), gr.update(visible=False)

    def _predict(self, name: str, data: bytes, threshold: float, preset: str | None) -> Prediction:
        limit = self._limit(threshold, preset)
        return self.classifier.predict(data, name=name, threshold=limit, thumbnail=SHOWN_SIDE)

    def _limit(self, threshold: float, preset: str | None) -> float:
        """The chosen threshold, 0 to 1: a preset's exact value, else the slider's."""
        return self.thresholds.get(preset, min(max(threshold / 100, 0.0), 1.0))

    def _answer(self, prediction: Prediction) -> Markup:
        return answer_view(prediction, self.performance(prediction.threshold), self.classifier.population)

    def _at(self, prediction: Prediction, limit: float, pretest: float) -> tuple[Any, ...]:
        """Updates of prediction, answer and values at another threshold."""
        prediction = prediction.at(limit)
        return prediction, self._answer(prediction), self.pretest_values(prediction, pretest)

    def _panel(self, prediction: Prediction, pretest: float) -> tuple[Any, ...]:
        """Updates of prediction, answer, override, results, controls, opacity, pictures, values, details."""
        answered = not prediction.withheld
        mapped = answered and prediction.class_activation_map is not None
        return (
            prediction,
            self._answer(prediction),
            gr.update(visible=prediction.needs_confirmation),
            gr.update(visible=True),
            gr.update(visible=answered),
            gr.update(visible=mapped),
            viewer(prediction),
            self.pretest_values(prediction, pretest) if answered else "",
            details_view(prediction),
        )


def _unreadable(error: Exception) -> tuple[Any, ...]:
    """The updates of ``Handlers._panel`` for a file that cannot be read."""
    hidden = gr.update(visible=False)
    card = fragment("page", "note", kind="stop", title="This file cannot be read", paragraphs=[str(error)])
    return None, card, hidden, hidden, hidden, hidden, "", "", ""


def _forgotten(what: str) -> Markup:
    """What an event says when the session's picture or files are gone."""
    subject = "It" if what == "picture" else "The table"
    text = f"{subject} was forgotten after an hour, as uploads are not kept."
    return fragment("page", "note", kind="info", title=f"Choose the {what} again", paragraphs=[text])


def _skipped(count: int) -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(count))
