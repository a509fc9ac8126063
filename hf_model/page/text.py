"""Small pieces of text and HTML that every part of the page uses."""

from __future__ import annotations

from html import escape

__all__ = ["definition_list", "escape", "interval", "note", "percent", "rounded"]

UNIT = "\u00a0%"


def percent(value: float) -> str:
    """A share of 0 to 1 with one decimal: ``87.3 %``; near the ends ``<0.1 %`` and ``>99.9 %``, never a false 0 or 100.

    The space does not break, here and in ``rounded``.
    """
    if 0 < value < 0.001:
        return f"<0.1{UNIT}"
    if 0.999 < value < 1:
        return f">99.9{UNIT}"
    return f"{100 * value:.1f}{UNIT}"


def rounded(value: float) -> str:
    """A share of 0 to 1 in whole percent: ``96 %``; with a decimal where that would be a false 0 or 100: ``99.7 %``."""
    return f"{_whole(value, _near_end(value))}{UNIT}"


def interval(low: float, high: float) -> str:
    """Two shares as ``94–98``, whole percent as in ``rounded``, for brackets behind a value."""
    fine = _near_end(low) or _near_end(high)
    return f"{_whole(low, fine)}–{_whole(high, fine)}"


def _near_end(value: float) -> bool:
    """True where whole percent would be a false 0 or 100."""
    return 0 < value < 0.005 or 0.995 <= value < 1


def _whole(value: float, fine: bool) -> str:
    """Percent without decimals, or with one; never a false 0 or 100."""
    if not fine:
        return f"{100 * value:.0f}"
    return f"{100 * value:.1f}" if value in (0, 1) else f"{min(max(100 * value, 0.1), 99.9):.1f}"


def note(kind: str, title: str, *paragraphs: str) -> str:
    """A box of the kind ``info``, ``warn`` or ``stop``; ``title`` is escaped, ``paragraphs`` are HTML."""
    symbol = {"info": "i", "warn": "!", "stop": "×"}[kind]
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f'<section class="cxr-note cxr-{kind}" role="status">'
        f'<span class="cxr-symbol" aria-hidden="true">{symbol}</span><div>'
        f"<h2>{escape(title)}</h2>{body}</div></section>"
    )


def definition_list(pairs: list[tuple[str, str]]) -> str:
    """``<dl>`` of names and values, both escaped."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="cxr-facts">{rows}</dl>'
