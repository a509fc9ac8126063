"""Many pictures: one row each, whatever happens to it, and the rows as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hf_model.commands.predict import COLUMNS, row
from hf_model.inference.prediction import Failure, Prediction
from hf_model.page.archive import Item
from hf_model.page.pictures import THUMBNAIL_SIDE, thumbnail
from hf_model.radiograph import UnreadableRadiograph, read_radiograph

if TYPE_CHECKING:
    from hf_model.inference.classifier import Classifier

BATCH_SIZE = 8
"""Pictures per pass: more gains little on two cores and makes the progress bar jump."""


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
        if not self.result.ok:
            return self.result.reason
        return " ".join(finding.message for finding in self.result.findings if finding.severity != "note")


def run(
    classifier: Classifier,
    items: Iterable[Item],
    *,
    threshold: float | None = None,
    heat_map: bool = False,
    override: bool = False,
    thumbnails: bool = True,
) -> Iterator[Row]:
    """Rows in the order of ``items``, as they are done.

    threshold: 0 to 1 (None: the checkpoint's own). override: answer flagged pictures too. What a file holds never
    raises: it becomes a row with a Failure.
    """
    drawn: deque[Item] = deque()

    def sources() -> Iterator[tuple[str, bytes]]:
        for item in items:
            drawn.append(item)
            if item.data is not None:
                yield item.name, item.data

    def unread() -> Iterator[Row]:
        while drawn and drawn[0].data is None:
            item = drawn.popleft()
            yield Row(Failure(item.name, item.code, item.reason))

    results = classifier.predict_batch(sources(), batch_size=BATCH_SIZE, threshold=threshold, heat_map=heat_map)
    for result in results:
        yield from unread()
        item = drawn.popleft()
        row = Row(result, _thumbnail(item) if thumbnails and result.ok else "")
        yield row.override() if override else row
    yield from unread()


def _thumbnail(item: Item) -> str:
    try:
        return thumbnail(read_radiograph(item.data, name=item.name, target_side=THUMBNAIL_SIDE).pixels)
    except UnreadableRadiograph:
        return ""


def as_csv(rows: Sequence[Row]) -> str:
    """The table of ``python -m hf_model predict``."""
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for entry in rows:
        table.writerow(row(entry.result))
    return buffer.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """An array of ``hf_model.inference.prediction``'s objects, one a line, as ``predict --format json`` writes it."""
    return "[\n" + ",\n".join(json.dumps(entry.result.to_dict()) for entry in rows) + "\n]\n"
