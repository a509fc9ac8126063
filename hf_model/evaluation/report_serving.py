"""The report's section on what serves the model: other engines' arithmetic, and what the input checks hold up."""

from __future__ import annotations

from typing import Any

from hf_model.evaluation.report_markup import Section, rate, table, text


def serving(content: dict[str, Any]) -> Section | None:
    """Engines against torch in float32, and the share of these pictures that an upload check would hold up."""
    body = _engines(content.get("engines") or {}) + _checks((content.get("gate") or {}).get("test") or {})
    return Section("serving", "As it is served", body) if body else None


def _engines(engines: dict[str, dict[str, dict[str, Any]]]) -> str:
    if not engines:
        return ""
    rows = [
        [
            engine,
            name,
            f"{found['max_logit_difference']:.1e}",
            f"{found['max_probability_difference']:.1e}",
            f"{found['flips']} of {found['n']}",
            found["flips_outside_band"],
        ]
        for engine, parts in engines.items()
        for name, found in parts.items()
    ]
    band = next(iter(next(iter(engines.values())).values()))["band"]
    lead = text(
        "Every figure of this page is from torch in float32. The exported graph, in each precision that the machine "
        "has, on the same pictures: the largest difference of a logit and of a probability, decisions that flip, and "
        f"those of them whose probability is more than {band:g} from the threshold."
    )
    head = ["Engine", "Pictures", "Logit", "Probability", "Flips", "Flips outside"]
    return lead + table(head, rows)


def _checks(checks: dict[str, dict[str, Any]]) -> str:
    if not checks:
        return ""
    rows = [
        [
            name,
            found["n"],
            *(rate(found[kind]) for kind in ("flagged", "refused", "feature_gate", "cheap_checks")),
            ", ".join(f"{code} {count}" for code, count in found["codes"].items()) or "none",
        ]
        for name, found in checks.items()
    ]
    lead = text(
        "Uploads are checked before they are answered. These pictures are of the data set that the model was trained "
        "on, so what is held up here is a false alarm, if the data set holds nothing else (it is counted in every "
        "figure all the same):"
    )
    head = ["Pictures", "Number", "Flagged", "Refused", "By the feature gate", "By pixels or header", "Findings"]
    return lead + table(head, rows, "Shares with Wilson 95 % intervals.")
