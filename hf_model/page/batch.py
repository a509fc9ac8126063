"""Many pictures: one row each, whatever happens to it, and the rows as CSV and JSON."""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hf_model.inference.prediction import Failure, Prediction, write_csv, write_json
from hf_model.metrics.decision import LIKELY, NOT_LIKELY, REFER, Decision
from hf_model.page.answer import KIND, SYMBOL
from hf_model.page.pictures import THUMBNAIL_SIDE, data_uri
from hf_model.page.text import escape, percent, rounded
from hf_model.page.uploads import Item

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
TABLE_COLUMNS = (
    ("number", "#"),
    (None, "Picture"),
    ("name", "File"),
    ("answer", "Answer"),
    ("probability", "Probability"),
    (None, "Remarks"),
)
ORDER = {LIKELY: 0, REFER: 1, NOT_LIKELY: 2}


def progress_view(done: int, total: int) -> str:
    """A progress bar with its words; ``done`` of ``total`` pictures."""
    return (
        f'<div class="cxr-status" role="status"><span>Reading picture {done} of {total}</span>'
        f'<progress value="{done}" max="{max(total, 1)}" aria-label="Pictures read"></progress></div>'
    )


def batch_view(rows: Sequence[Row], decision: Decision) -> str:
    """Everything that the tab shows of a finished batch."""
    return f'<div class="cxr-status">{counts(rows)}{histogram(rows, decision)}{table(rows)}</div>'


def counts(rows: Sequence[Row]) -> str:
    """How many pictures got each answer, and how many none."""
    found = Counter(row.result.answer for row in rows if row.answered)
    parts = [
        f'<span class="cxr-kind-{KIND[answer]}"><strong>{found[answer]}</strong> {SYMBOL[answer]} '
        f"{answer.lower()}</span>"
        for answer in (LIKELY, REFER, NOT_LIKELY)
    ]
    check = sum(not row.refused and not row.answered for row in rows)
    parts += [f"<span><strong>{check}</strong> ! check first</span>"] if check else []
    parts.append(f"<span><strong>{sum(row.refused for row in rows)}</strong> × no answer</span>")
    return f'<p class="cxr-counts" role="status">{"".join(parts)}</p>'


def histogram(rows: Sequence[Row], decision: Decision) -> str:
    """SVG of how the probabilities of the answered pictures spread, with the threshold and the refer band."""
    values = [row.result.probability for row in rows if row.answered]
    if not values:
        return ""
    bins = Counter(min(BINS - 1, int(value * BINS)) for value in values)
    tallest = max(bins.values())
    band = decision.refer_band
    parts = []
    if band:
        parts.append(_rectangle(band[0], 14, band[1] - band[0], 130, "var(--cxr-zone-refer)", opacity=0.5))
    for number in range(BINS):
        height = 130 * bins[number] / tallest
        title = f"<title>{percent(number / BINS)} to {percent((number + 1) / BINS)}: {bins[number]}</title>"
        parts.append(_rectangle(number / BINS, 144 - height, 0.92 / BINS, height, "var(--cxr-accent)", title))
    x = _x(decision.threshold)
    parts.append(
        f'<line x1="{x}" x2="{x}" y1="10" y2="150" stroke="currentColor" stroke-width="2" stroke-dasharray="5 4"/>'
    )
    parts.append('<line x1="30" x2="970" y1="144" y2="144" stroke="currentColor"/>')
    axis = "".join(
        f'<span style="left:{float(_x(share)) / 10:.2f}%">{rounded(share)}</span>' for share in (0, 0.25, 0.5, 0.75, 1)
    )
    summary = f"Histogram of {len(values)} probabilities of pneumonia; dashed: threshold {percent(decision.threshold)}"
    return (
        '<figure class="cxr-plot"><svg class="cxr-histogram" viewBox="0 0 1000 150" preserveAspectRatio="none" '
        f'role="img" aria-label="{summary}">'
        f'{"".join(parts)}</svg><div class="cxr-axis" aria-hidden="true">{axis}</div>'
        f'<figcaption class="cxr-caption">Pictures by probability. '
        f"Dashed: threshold {percent(decision.threshold)}.{' Shaded: refer band.' if band else ''}"
        "</figcaption></figure>"
    )


def _x(share: float) -> str:
    return f"{30 + 940 * share:.1f}"


def _rectangle(
    start: float, top: float, width: float, height: float, fill: str, inside: str = "", opacity: float = 1
) -> str:
    return (
        f'<rect x="{_x(start)}" y="{top:.1f}" width="{940 * width:.1f}" height="{height:.1f}" fill="{fill}" '
        f'fill-opacity="{opacity}">{inside}</rect>'
    )


def table(rows: Sequence[Row]) -> str:
    """The rows, at most ``SHOWN_ROWS``; page.js sorts them by the buttons in the head.

    Roles are spelt out because the narrow page lays rows out as cards, which takes a table's own roles away.
    """
    head = "".join(
        f'<th scope="col" role="columnheader"><button type="button" data-sort="{key}">{label}</button></th>'
        if key
        else f'<th scope="col" role="columnheader">{label}</th>'
        for key, label in TABLE_COLUMNS
    )
    body = "".join(_row(number, row) for number, row in enumerate(rows[:SHOWN_ROWS], start=1))
    more = f"The first {SHOWN_ROWS:,} of {len(rows):,} files; " if len(rows) > SHOWN_ROWS else f"{len(rows):,} files; "
    return (
        f'<p class="cxr-caption">{more}CSV and JSON hold all of them.</p>'
        '<div class="cxr-scroll" tabindex="0" role="region" aria-label="Results"><table class="cxr-table" role="table">'
        '<caption class="cxr-hidden">Answer and probability of every file</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _cell(content: str, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<td role="cell"{mark}>{content}</td>'


def _row(number: int, row: Row) -> str:
    name, result = escape(row.result.name), row.result
    picture = f'<img src="{row.thumbnail}" alt="" loading="lazy">' if row.thumbnail else "—"
    cells = _cell(str(number), "cxr-number") + _cell(picture) + _cell(name, "cxr-name")
    if not row.answered:
        # Sorted last whichever way: a file without an answer has no place on either scale.
        keys = f'data-number="{number}" data-name="{name}" data-answer="" data-probability=""'
        kind, words = ("cxr-bad", "× NO ANSWER") if row.refused else ("cxr-flagged", "! CHECK FIRST")
        cells += _cell(words) + _cell("—") + _cell(escape(row.reasons))
        return f'<tr role="row" class="{kind}" {keys}>{cells}</tr>'
    keys = (
        f'data-number="{number}" data-name="{name}" data-answer="{ORDER[result.answer]}" '
        f'data-probability="{result.probability:.6f}"'
    )
    mark = ' class="cxr-flagged"' if row.reasons else ""
    cells += _cell(f"{SYMBOL[result.answer]} {result.answer}", f"cxr-kind-{KIND[result.answer]}")
    cells += _cell(percent(result.probability), "cxr-number")
    cells += _cell(f"! Overridden: {escape(row.reasons)}" if row.reasons else "")
    return f'<tr role="row"{mark} {keys}>{cells}</tr>'
