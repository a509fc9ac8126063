"""Markdown tables and how their cells are written: durations, ratios, rates, memory."""

from __future__ import annotations

from typing import Any


def grid(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table. ValueError for a row of another length."""
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"the row {row} has {len(row)} cells and the table {len(header)} columns")
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def ms(seconds: float) -> str:
    """``4.12 ms``; three digits or so."""
    value = seconds * 1e3
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} ms"


def spread(measured: dict[str, float]) -> str:
    """``4.12 ms (4.00 to 4.90)`` of a measurement: median, 10th and 90th percentile."""
    low, high = (ms(measured[key]).removesuffix(" ms") for key in ("low", "high"))
    return f"{ms(measured['median'])} ({low} to {high})"


def ratio(value: float) -> str:
    """``0.21``, or ``5.3`` above 1."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def rate(per_second: float) -> str:
    """``212/s``; one decimal below 100."""
    return f"{per_second:.1f}/s" if per_second < 100 else f"{per_second:.0f}/s"


def mib(value: float | None) -> str:
    """``412 MiB``; empty where it was not measured."""
    return f"{value:.0f} MiB" if value else ""
