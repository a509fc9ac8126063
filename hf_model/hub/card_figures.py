"""The card's sections of figures. Every number is one of metrics.json or decision.json, none is worked out here."""

from __future__ import annotations

from typing import Any

from hf_model.hub.card_run import POINTS, Run, markdown_table, value_of, with_interval

RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "f1": "F1",
}
INTERVALS = (
    "Intervals are 95 %: DeLong for the AUC, Wilson for rates, a bootstrap over patients for average precision and F1. "
    "metrics.json has a bootstrap over patients for every figure besides."
)
DIFFERENCES = {
    "n": "Pictures",
    "mean_absolute_difference": "Mean",
    "percentile_95": "95th percentile",
    "largest_difference": "Largest",
}
PICTURES = {
    "confusion_matrix.png": "Confusion matrix",
    "figures/roc.png": "ROC curve with the operating points",
    "figures/decision_curve.png": "Decision curve: net benefit",
    "training_curves.png": "Training curves",
}


def headline(run: Run) -> str:
    """The first table: one row a test rendering, at the checkpoint's own threshold."""
    if not run.tests:
        return "**No test split was evaluated, so nothing is known of this checkpoint's errors.**"
    rows = [
        [name, record.get("n"), with_interval(record.get("auc")), *(_at(record, "default", rate) for rate in RATES)]
        for name, record in run.tests.items()
    ]
    head = ["Test rendering", "Pictures", "AUC", *RATES.values()]
    at = f"At this checkpoint's own threshold, {run.decision.threshold:.4f}, on the test split:"
    return f"{at}\n\n{markdown_table(head, rows)}\n\n{INTERVALS}"


def results(run: Run) -> str:
    """All operating points on every test rendering, with counts, then all partitions side by side."""
    parts = [_rendering(name, record) for name, record in run.tests.items()]
    if partitions := _partitions(run):
        parts.append(f"### All partitions\n\n{partitions}")
    parts += [f"![{text}]({name})" for name, text in PICTURES.items() if (run.folder / name).is_file()]
    if (run.folder / "evaluation.html").is_file():
        parts.append("[evaluation.html](evaluation.html) has all of it on one page, with every wrong picture by name.")
    return "\n\n".join(parts) if parts else "No partition was evaluated."


def operating_points(run: Run) -> str:
    """What was proven for each threshold on the calibration patients, in words of ``OperatingPoint.describe``."""
    points = {name: run.decision.points.get(key) for key, name in POINTS.items()}
    lines = [f"- **{name}**: {point.describe()}" for name, point in points.items() if point is not None]
    if not lines:
        return (
            "There is no decision.json with operating points: the threshold is 0.5, and nothing is guaranteed for it."
        )
    default = run.decision.points.get("default")
    if default is None or default.threshold is None:
        lines.append(f"- So the threshold in use is {run.decision.threshold:g}, and nothing is guaranteed for it.")
    band = run.decision.refer_band
    if band:
        lines.append(f"- Probabilities from {band[0]:.4f} to below {band[1]:.4f} are answered with a referral.")
    return "\n".join(lines)


def calibration(run: Run) -> str:
    """Temperature, bias, prevalence, and how well the probabilities hold on each evaluated set."""
    decision = run.decision
    if not decision.calibrated:
        return "The probability is the plain softmax: no temperature was fitted."
    bias = f"{'-' if decision.bias < 0 else '+'} {abs(decision.bias):.4f}"
    text = (
        f"probability = sigmoid((logit PNEUMONIA - logit NORMAL) / {decision.temperature:.4f} {bias}), fitted on the "
        f"calibration patients, of whose pictures {decision.prevalence:.3f} show pneumonia. At another prevalence the "
        "probability must be moved by Bayes (`Decision.posterior`)."
    )
    records = {"calibration": run.metrics.get("calibration"), **{f"test, {k}": v for k, v in run.tests.items()}}
    rows = [
        [name, *(_plain(record.get(key)) for key in ("prevalence", "mean_probability", "brier")), *_errors(record)]
        for name, record in records.items()
        if record
    ]
    head = [
        "Set",
        "Share of pneumonia",
        "Mean probability",
        "Brier score",
        "ECE",
        "ECE if perfectly calibrated",
        "Adaptive ECE",
        "Debiased RMS error",
    ]
    diagram = "figures/reliability.png"
    parts = [text, *([markdown_table(head, rows)] if rows else [])]
    parts += [f"![Reliability diagram]({diagram})"] if (run.folder / diagram).is_file() else []
    return "\n\n".join(parts)


def subgroups(run: Run) -> str:
    """Sensitivity and specificity by group, where metrics.json has them; else a sentence that it has not."""
    rows = []
    sources = {name: record.get("subgroups") for name, record in run.tests.items()}
    for source, columns in {**sources, "test": run.metrics.get("subgroups")}.items():
        for column, groups in (columns or {}).items():
            rows += [_group(source, column, group, entry) for group, entry in groups.items()]
    if not rows:
        return "No subgroup was evaluated: how the errors differ by sex, age, aetiology or device is not known."
    return markdown_table(["Set", "Column", "Group", "Pictures", "AUC", "Sensitivity", "Specificity"], rows)


def agreement(run: Run) -> str:
    """How far the answer moves when the same picture is resized or compressed otherwise."""
    pairs = {name: entry for name, entry in (run.metrics.get("renderings") or {}).items() if isinstance(entry, dict)}
    originals = run.metrics.get("originals") or {}
    if originals.get("agreement"):
        pairs["copies / full-size originals (training pictures)"] = originals["agreement"]
    if not pairs:
        return "Not measured."
    rows = [[name, *(_plain(entry.get(key)) for key in DIFFERENCES), *_changes(entry)] for name, entry in pairs.items()]
    changes = ["Decisions that change at the threshold", "Answers that change"]
    parts = [
        "Differences in the probability of the same picture, in absolute value:",
        markdown_table(["Pair", *DIFFERENCES.values(), *changes], rows),
    ]
    if originals:
        at_half, at_threshold = (_plain(originals.get(f"accuracy_at_{point}")) for point in ("0.5", "threshold"))
        parts.append(
            f"On {originals.get('pictures')} full-size originals of training pictures "
            f"({originals.get('of_development_train')} of them learned from) the accuracy is {at_half} at 0.5 and "
            f"{at_threshold} at the threshold: a check of the way that an upload takes, not a figure of merit."
        )
    return "\n\n".join(parts)


def _changes(entry: dict[str, Any]) -> list[str]:
    flips = entry.get("flips")
    default = flips.get("default") if isinstance(flips, dict) else flips
    count = default.get("count") if isinstance(default, dict) else default
    return [_plain(count), _plain(entry.get("answers_changed"))]


def _rendering(name: str, record: dict[str, Any]) -> str:
    auc = record.get("auc")
    facts = [
        f"{record.get('n')} pictures of {record.get('patients')} patients, {record.get('normal')} normal and "
        f"{record.get('pneumonia')} with pneumonia.",
        f"AUC {with_interval(auc)}; with a bootstrap over patients {with_interval(auc, key='cluster_interval')}.",
        f"Average precision {with_interval(record.get('average_precision'))}.",
    ]
    rows = []
    if (record.get("points") or {}).get("argmax"):
        facts.append('"Larger logit" is what `transformers.pipeline` answers, which knows no calibration.')
    for key, label in POINTS.items():
        if point := (record.get("points") or {}).get(key):
            counts = point.get("confusion") or {}
            cells = [with_interval(point.get(rate)) for rate in RATES]
            cells += [counts.get(cell, "") for cell in ("tn", "fp", "fn", "tp")]
            rows.append([label, f"{point['threshold']:.4f}", *cells])
    head = ["Point", "Threshold", *RATES.values(), "TN", "FP", "FN", "TP"]
    parts = [f"### Test split, rendering {name}", " ".join(facts), markdown_table(head, rows)]
    return "\n\n".join([*parts, *_promises(record)])


def _promises(record: dict[str, Any]) -> list[str]:
    """Whether each point's guarantee holds on these patients, and how the scores moved, in the report's words."""
    found = record.get("guarantees") or {}
    lines = [f"- **{name}**: {found[key]['sentence']}" for key, name in POINTS.items() if key in found]
    shift = record.get("shift") or {}
    return (["\n".join(lines)] if lines else []) + ([shift["sentence"]] if shift else [])


def _partitions(run: Run) -> str:
    names = {"development_validation": "development-validation", "calibration": "calibration"}
    records = {label: run.metrics.get(key) for key, label in names.items()}
    records |= {f"test, {name}": record for name, record in run.tests.items()}
    rows = [
        [
            name,
            record.get("n"),
            record.get("patients"),
            with_interval(record.get("auc")),
            *(_at(record, "default", rate) for rate in ("sensitivity", "specificity")),
        ]
        for name, record in records.items()
        if record
    ]
    head = ["Set", "Pictures", "Patients", "AUC", "Sensitivity", "Specificity"]
    return markdown_table(head, rows) if rows else ""


def _at(record: dict[str, Any], point: str, rate: str) -> str:
    return with_interval(((record.get("points") or {}).get(point) or {}).get(rate))


def _errors(record: dict[str, Any]) -> list[str]:
    errors = record.get("ece")
    if not isinstance(errors, dict):
        return [_plain(errors), "", "", ""]
    return [_plain(errors.get(key)) for key in ("binned", "expected_if_calibrated", "adaptive", "debiased_rms")]


def _group(source: str, column: str, group: str, entry: dict[str, Any]) -> list[object]:
    """A group's entry is an evaluation record, or has the rates by themselves."""
    at_default = (entry.get("points") or {}).get("default") or entry
    figures = (entry.get("auc"), at_default.get("sensitivity"), at_default.get("specificity"))
    cells = ["" if figure is None else with_interval(figure) for figure in figures]
    return [source, column, group, entry.get("n", ""), *cells]


def _plain(figure: Any) -> str:
    value = value_of(figure)
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"
