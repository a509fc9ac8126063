"""The contents of an evaluation report: one JSON object from scores; pages and tables only show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hf_model.config import SCHEMA_VERSION
from hf_model.metrics.comparison import rendering_agreement
from hf_model.metrics.decision import Decision
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.prevalence import predictive_values
from hf_model.metrics.record import evaluation_record, probability_of
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import subgroup_table

PREVALENCES = (0.05, 0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made from.

    ``facts``: "model_id", "weights_sha256", "engine", "dataset", "split", "role" ("test", "development", "external"),
    "from_scores", "command" ... shown as they are; "not_test_pictures" names what was left out of a set that holds more
    than the test split, "refused_left_out" is True where ``scores`` are without ``refused``. ``scores`` are the set's;
    ``calibration`` those the decision was fitted on, if the checkpoint holds them. ``renderings`` and
    ``perturbations`` are other scores of the same pictures by name; ``columns`` one list of N values per subgroup
    column; ``other`` (scores, decision, name) of a second checkpoint on the same pictures.
    """

    facts: dict[str, Any]
    decision: Decision
    scores: Scores
    calibration: Scores | None = None
    renderings: dict[str, Scores] = field(default_factory=dict)
    perturbations: dict[str, Scores] = field(default_factory=dict)
    columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    opening: dict[str, Any] | None = None
    other: tuple[Scores, Decision, str] | None = None


def build(material: Material, *, prevalences: Sequence[float] = PREVALENCES, seed: int = 0) -> dict[str, Any]:
    """The contents of the report's metrics.json; every value plain JSON."""
    decision, scores = material.decision, material.scores
    record = evaluation_record(scores, decision, seed=seed)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **material.facts,
        "decision": decision.to_dict(),
        "record": record,
        "patients_known": any(scores.patients),
        "guarantees": check_guarantees(scores, decision, seed=seed),
        "shift": None if material.calibration is None else score_shift(material.calibration, scores, decision),
        "predictive_values": _predictive_values(record, prevalences),
        "subgroups": subgroup_table(scores, decision, material.columns),
        "renderings": _agreement(scores, material.renderings, decision),
        "rendering_records": {
            name: evaluation_record(other, decision, seed=seed) for name, other in material.renderings.items()
        },
        "perturbations": _agreement(scores, material.perturbations, decision),
        "perturbation_records": {
            name: evaluation_record(other, decision, seed=seed) for name, other in material.perturbations.items()
        },
        "errors": error_list(scores, decision),
        "unreadable": [{"name": name, "reason": reason} for name, reason in material.failures],
        "refused_by_input_checks": material.refused,
        "test_opening": material.opening,
    }
    if material.other is not None:
        content["comparison"] = _comparison(material, seed)
    return content


def _comparison(material: Material, seed: int) -> dict[str, Any]:
    from hf_model.metrics.comparison import compare

    scores, decision, name = material.other
    found = compare(material.scores, scores, material.decision, decision, seed=seed)
    return {"first": material.facts.get("model_id"), "second": name, **found}


def _agreement(scores: Scores, others: dict[str, Scores], decision: Decision) -> dict[str, Any]:
    return {name: rendering_agreement(scores, other, decision) for name, other in others.items()}


def _predictive_values(record: dict[str, Any], prevalences: Sequence[float]) -> list[dict[str, Any]]:
    """PPV and NPV at the default point for each prevalence; empty where a class is missing."""
    cells = record["points"]["default"]["confusion"]
    if not cells["tp"] + cells["fn"] or not cells["tn"] + cells["fp"]:
        return []
    counts = [cells[name] for name in ("tp", "fn", "tn", "fp")]
    return [predictive_values(*counts, prevalence) for prevalence in prevalences]


def error_list(scores: Scores, decision: Decision) -> list[dict[str, Any]]:
    """Every wrong decision at the default threshold, the most wrong first.

    How wrong is the distance of the log-odds from the threshold's side: ``row`` (in the scores), "name", "patient",
    "kind" ("false negative" or "false positive"), "probability", "answer", and "wrong_by" in log-odds of the
    probability the model gave against the truth.
    """
    probability = probability_of(scores, decision)
    called = probability >= decision.threshold
    rows = np.flatnonzero(called != (scores.labels == 1))
    log_odds = scores.margins / decision.temperature + decision.bias
    signed = np.where(scores.labels == 1, -1.0, 1.0) * log_odds
    ordered = rows[np.argsort(-signed[rows], kind="stable")]
    return [
        {
            "row": int(row),
            "name": scores.names[row],
            "patient": scores.patients[row],
            "kind": "false negative" if scores.labels[row] else "false positive",
            "probability": float(probability[row]),
            "answer": decision.answer(float(probability[row])),
            "wrong_by": float(signed[row]),
        }
        for row in ordered
    ]


def terminal_table(content: dict[str, Any]) -> str:
    """A short table: each point with its rates and intervals, the AUC, and what became of the promise."""
    record = content["record"]
    head = f"{record['n']} pictures, {record['patients']} patients ({record['normal']} normal, {record['pneumonia']} "
    lines = [f"{content['dataset_name']}, split {content['split']}: {head}with pneumonia)"]
    if record["auc"]["value"] is not None:
        lines.append(f"AUC {_cell(record['auc'])}   Brier {record['brier']:.4f}   ECE {record['ece']['binned']:.4f}")
    lines.append(f"{'point':<10}{'threshold':>10}  {'sensitivity':<24}{'specificity':<24}{'accuracy':<24}")
    for name, point in record["points"].items():
        if point is not None:
            cells = "".join(f"{_cell(point[rate]):<24}" for rate in ("sensitivity", "specificity", "accuracy"))
            lines.append(f"{name:<10}{point['threshold']:>10.4f}  {cells}")
    default = content["guarantees"].get("default")
    lines += [default["sentence"]] if default else []
    refused = content["refused_by_input_checks"] if content.get("refused_left_out") else []
    unreadable = [entry["name"] for entry in content["unreadable"]]
    lines += left_out_lines(unreadable, refused, content.get("not_test_pictures") or [])
    return "\n".join([*lines, *_comparison_lines(content.get("comparison"))])


def left_out_lines(unreadable: Sequence[str], refused: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """What no figure counts, by file names: a line each for what there is, with the first names."""
    kinds = (
        ("unreadable", unreadable),
        ("refused by the input checks (blank)", refused),
        ("not among the checkpoint's test pictures", others),
    )
    return [
        f"Left out, {kind}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in kinds
        if names
    ]


def _comparison_lines(found: dict[str, Any] | None) -> list[str]:
    """The second checkpoint against the first."""
    if not found:
        return []
    lines = [f"{found['second']} against {found['first']}, {found['n']} pictures of {found['patients']} patients:"]
    for name in ("auc", "sensitivity", "specificity", "accuracy"):
        entry = found[name]
        if entry["difference"] is None:
            continue
        low, high = entry["interval"] or (float("nan"), float("nan"))
        lines.append(
            f"  {name:<12} {entry['second']:.4f} - {entry['first']:.4f} = {entry['difference']:+.4f} "
            f"({low:+.4f} to {high:+.4f})"
        )
    exact = found["mcnemar"]["all"]
    lines.append(
        f"  McNemar, exact: {exact['only_first_right']} only the first gets right, {exact['only_second_right']} only "
        f"the second, p = {exact['p_value']:.3g}. Intervals: paired bootstrap over patients, 95 %."
    )
    return lines


def _cell(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    low, high = figure["interval"] or (float("nan"), float("nan"))
    return f"{figure['value']:.3f} ({low:.3f}-{high:.3f})"
