"""Small pieces of HTML, everything escaped, and how numbers are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

POINT = {
    "0.5": "0.5",
    "argmax": "Larger logit",
    "default": "Default threshold",
    "rule_out": "Rule-out",
    "rule_in": "Rule-in",
}
"""Operating points as the report names them, in its order."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A titled part of the page; ``body`` is HTML."""

    anchor: str
    title: str
    body: str


def text(sentence: str, css: str = "") -> str:
    """A paragraph."""
    return f'<p class="{css}">{markup(sentence)}</p>' if css else f"<p>{markup(sentence)}</p>"


def markup(value: Any) -> str:
    """Escaped text of a value; Markup as it is."""
    return value if isinstance(value, Markup) else escape(str(value))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """A table whose first column is the row's heading; it scrolls by itself where it is too wide."""
    top = "".join(f'<th scope="col">{markup(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{markup(row[0])}</th>{"".join(f"<td>{markup(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    label = f"<caption>{markup(caption)}</caption>" if caption else ""
    inner = f"<table>{label}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{inner}</div>'


def figure(source: str, alt: str, caption: str) -> str:
    """A picture from a data: address with its caption."""
    return f'<figure><img src="{source}" alt="{escape(alt)}"><figcaption>{markup(caption)}</figcaption></figure>'


def percent(value: float | None, digits: int = 1) -> str:
    """0.9385 -> "93.9 %"; a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def rate(entry: dict[str, Any] | None) -> Markup:
    """A rate with its interval below it: "93.8 %" and "91.0 to 95.8 %"."""
    if not entry or entry.get("value") is None:
        return Markup("–")
    low, high = entry.get("interval") or (None, None)
    below = "" if low is None else f"<small>{100 * low:.1f} to {100 * high:.1f} %</small>"
    return Markup(f"{percent(entry['value'])}{below}")


def number(entry: dict[str, Any] | None, digits: int = 3) -> Markup:
    """A figure that is no percentage (AUC, ratio) with its interval below it."""
    if not entry or entry.get("value") is None:
        return Markup("–")
    low, high = entry.get("interval") or (None, None)
    below = "" if low is None else f"<small>{low:.{digits}f} to {high:.{digits}f}</small>"
    return Markup(f"{entry['value']:.{digits}f}{below}")
