"""Results as Markdown, and README's block of them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from benchmarks import machine


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


def section_text(module: ModuleType, section: dict[str, Any], *, with_machine: bool = True) -> str:
    """Heading, machine and table of one section."""
    small = " Tried with few pictures (--quick): no figure for a comparison." if section["quick"] else ""
    where = f"\n{machine.sentence(section['machine'])}.\n" if with_machine else ""
    head = f"### {module.TITLE}\n\n{section['date']}, `{section['command']}`.{small}\n{where}"
    return f"{head}\n{module.table(section['result'])}\n"


def readme_tables(results: dict[str, Any]) -> str:
    """All stored sections as README shows them; the machine is named once for those measured on the same one."""
    from benchmarks.frame import discover

    available = discover()
    parts, shown = [], None
    for name, section in results["sections"].items():
        if name not in available:
            raise ValueError(f"the results have a section {name!r} and there is no benchmarks/{name}.py; remove one")
        where = machine.sentence(section["machine"])
        if where != shown:
            parts.append(f"Measured on: {where}.\n")
            shown = where
        parts.append(section_text(available[name], section, with_machine=False))
    return "\n".join(parts)
