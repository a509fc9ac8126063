"""The card's section on what serves the model: engines' arithmetic, and what the input checks hold up."""

from __future__ import annotations

from typing import Any

from hf_model.hub.card_run import Run, markdown_table, with_interval


def serving(run: Run) -> str:
    """Engines against torch on the test split, and the input checks' false alarms; or that nothing was measured."""
    parts = [*_engines(run.metrics.get("engines") or {}), *_checks(run.metrics.get("gate") or {})]
    return "\n\n".join(parts) if parts else "Not measured."


def _engines(engines: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    rows = [
        [
            engine,
            name,
            found["n"],
            f"{found['max_logit_difference']:.1e}",
            f"{found['max_probability_difference']:.1e}",
            found["flips"],
            found["flips_outside_band"],
        ]
        for engine, parts in engines.items()
        for name, found in parts.items()
    ]
    if not rows:
        return []
    band = next(iter(next(iter(engines.values())).values()))["band"]
    head = [
        "Engine",
        "Rendering",
        "Pictures",
        "Largest difference of a logit",
        "of a probability",
        "Decisions that change",
        f"... more than {band:g} from the threshold",
    ]
    text = "Every figure here is from torch in float32. The exported graph on the same test pictures:"
    return [text, markdown_table(head, rows)]


def _checks(gate: dict[str, Any]) -> list[str]:
    kinds = {
        "flagged": "Flagged",
        "refused": "Refused",
        "feature_gate": "By the feature gate",
        "cheap_checks": "By pixels or header",
    }
    rows = [
        [name, found["n"], *(with_interval(found[kind]) for kind in kinds)]
        for name, found in (gate.get("test") or {}).items()
    ]
    if not rows:
        return []
    text = (
        "Uploads are checked before they are answered. The test pictures are of the data set that the model was "
        "trained on, so what is held up here is a false alarm, if the data set holds nothing else:"
    )
    return [text, markdown_table(["Rendering", "Pictures", *kinds.values()], rows)]
