"""One finding of the audit, and how its figures are written."""

from __future__ import annotations

from typing import Any

FAULT, WARNING, NOTE = "fault", "warning", "note"
GUESSABLE = 0.6
"""AUC that the lower end of a probe's interval must pass before it is called a shortcut, or a shift."""

Finding = dict[str, str]


def finding(severity: str, topic: str, *parts: str) -> Finding:
    """severity: "fault" (mend it before training), "warning" (know it before believing a figure), "note"."""
    return {"severity": severity, "topic": topic, "text": " ".join(parts)}


def auc_text(entry: dict[str, Any]) -> str:
    """0.850 (0.838 to 0.861), or 0.850 alone where so few pictures give no interval."""
    if entry["interval"] is None:
        return f"{entry['value']:.3f}"
    low, high = entry["interval"]
    return f"{entry['value']:.3f} ({low:.3f} to {high:.3f})"


def is_above(entry: dict[str, Any], limit: float) -> bool:
    """Whether the whole interval lies above the limit; without an interval nothing is known."""
    return entry["interval"] is not None and entry["interval"][0] > limit
