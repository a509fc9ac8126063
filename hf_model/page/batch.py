"""Many pictures: one row each, whatever happens to it, and the rows as CSV and JSON."""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from hf_model.inference.prediction import Failure, Prediction, write_csv, write_json
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER, Decision
from hf_model.page import fragment
from hf_model.page.answer import KIND, SYMBOL
from hf_model.page.uploads import BatchFile
from hf_model.page.viewer import data_uri

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier

BATCH_SIZE = 8
"""Pictures per pass: more gains little on two cores and makes the progress bar jump."""
THUMBNAIL_SIDE = 64


@dataclass(frozen=True)
class Row:
    """One file of a batch: its result and a thumbnail as data URI ("" if it could not be read)."""

    result: Prediction | Failure
    thumbnail: str = ""

    @property
    def refused(self) -> bool:
        """True for a file that can have no answer: unreadable, or blank."""
        return not self.result.ok or self.result.refused

    @property
    def answered(self) -> bool:
        """True if an answer may be shown: not refused, and not in need of confirmation."""
        return self.result.ok and not self.result.withheld

    def override(self) -> Row:
        """The same row with its flags overridden; one without a prediction stays as it is."""
        return replace(self, result=self.result.override()) if self.result.ok else self

    @property
    def reasons(self) -> str:
        """Why there is no answer, or what to check; "" if nothing was noticed."""
        return " ".join(self.result.objections) if self.result.ok else self.result.reason


def run(
    classifier: Classifier,
    files: Iterable[BatchFile],
    *,
    threshold: float | None = None,
    heat_map: bool = False,
    override: bool = False,
    thumbnails: bool = True,
) -> Iterator[Row]:
    """Rows in the order of ``files``, as they are done.

    threshold: 0 to 1 (None: the checkpoint's own). override: answer flagged pictures too. What a file holds never
    raises: it becomes a row with a Failure.
    """
    drawn: deque[BatchFile] = deque()

    def sources() -> Iterator[tuple[str, bytes]]:
        for file in files:
            drawn.append(file)
            if not isinstance(file, Failure):
                yield file

    def unread() -> Iterator[Row]:
        while drawn and isinstance(drawn[0], Failure):
            yield Row(drawn.popleft())

    results = classifier.predict_batch(
        sources(),
        batch_size=BATCH_SIZE,
        threshold=threshold,
        heat_map=heat_map,
        thumbnail=THUMBNAIL_SIDE if thumbnails else None,
    )
    for result in results:
        yield from unread()
        drawn.popleft()
        shown = ""
        if thumbnails and result.ok:
            shown = data_uri(result.radiograph.pixels, "WEBP")
            result = replace(result, radiograph=None)  # thousands of rows are held in memory for an hour
        row = Row(result, shown)
        yield row.override() if override else row
    yield from unread()


def as_csv(rows: Sequence[Row]) -> str:
    """The table of ``python -m hf_model predict``."""
    buffer = io.StringIO()
    write_csv((row.result for row in rows), buffer)
    return buffer.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """An array of ``hf_model.inference.prediction``'s objects, one a line, as ``predict --format json`` writes it."""
    buffer = io.StringIO()
    write_json((row.result for row in rows), buffer)
    return buffer.getvalue()


BINS = 20
SHOWN_ROWS = 1000
"""More rows make a phone's browser slow; the downloads hold all."""
ORDER = {LIKELY: 0, REFER: 1, NOT_LIKELY: 2}
"""Answers as the table sorts them."""


def progress_view(done: int, total: int) -> Markup:
    """A progress bar with its words; ``done`` of ``total`` pictures."""
    return fragment("batch", "progress", done=done, total=total)


def batch_view(rows: Sequence[Row], decision: Decision) -> Markup:
    """Everything that the tab shows of a finished batch."""
    return fragment("batch", "finished", counts=counts(rows), histogram=histogram(rows, decision), table=table(rows))


def counts(rows: Sequence[Row]) -> Markup:
    """How many pictures got each answer, and how many none."""
    found = Counter(row.result.answer for row in rows if row.answered)
    return fragment(
        "batch",
        "counts",
        answers=[(answer, found[answer]) for answer in ORDER],
        check=sum(not row.refused and not row.answered for row in rows),
        refused=sum(row.refused for row in rows),
        kinds=KIND,
        symbols=SYMBOL,
    )


def histogram(rows: Sequence[Row], decision: Decision) -> Markup:
    """How the probabilities of the answered pictures spread, with the threshold and the refer band; "" without any."""
    found = Counter(min(BINS - 1, int(row.result.probability * BINS)) for row in rows if row.answered)
    if not found:
        return Markup()
    bins = [found[number] for number in range(BINS)]
    return fragment("batch", "histogram", bins=bins, threshold=decision.threshold, band=decision.refer_band)


def table(rows: Sequence[Row]) -> Markup:
    """The rows, at most ``SHOWN_ROWS``."""
    shown = rows[:SHOWN_ROWS]
    return fragment("batch", "table", rows=shown, total=len(rows), kinds=KIND, symbols=SYMBOL, order=ORDER)
