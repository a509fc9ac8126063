"""What each event of the page does, as functions from component values to component updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from hf_model.page import batch
from hf_model.page.archive import count_items, expand
from hf_model.page.batch_view import batch_view, progress_view
from hf_model.page.desk import HALF, PRESETS, Desk, Reading
from hf_model.page.text import escape, note, percent
from hf_model.page.uploads import discard, take
from hf_model.radiograph import UnreadableRadiograph

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
