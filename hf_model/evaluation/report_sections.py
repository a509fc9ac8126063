"""The sections of the report, each from the JSON of ``report.build``; a section without material is left out."""

from __future__ import annotations

from html import escape
from typing import Any

from hf_model.evaluation.report_markup import POINT, Markup, Section, figure, number, percent, rate, table, text


def tiles(content: dict[str, Any]) -> str:
    """The headline figures."""
    record = content["record"]
    point = record["points"]["default"]
    shown = [("AUC", number(record["auc"]))]
    names = {"sensitivity": "Sensitivity", "specificity": "Specificity", "accuracy": "Accuracy"}
    shown += [(f"{label} at {point['threshold']:.3f}", rate(point[name])) for name, label in names.items()]
    cells = "".join(f'<div class="tile"><dt>{label}</dt><dd>{value}</dd></div>' for label, value in shown)
    return f'<dl class="tiles">{cells}</dl>'


def points(content: dict[str, Any], images: dict[str, str]) -> Section:
    """The rates at every operating point, and the confusion matrices."""
    shown = {name: point for name, point in content["record"]["points"].items() if point is not None}
    rates = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
    rows = [
        [POINT[name], f"{point['threshold']:.4f}", *(rate(point[key]) for key in rates)]
        for name, point in shown.items()
    ]
    head = ["Point", "Threshold", "Sensitivity", "Specificity", "PPV", "NPV", "Accuracy"]
    note = text(
        "Rates of pictures with Wilson 95 % intervals. PPV and NPV are those of this set's own share of pneumonia.",
        "note",
    )
    matrices = "".join(
        figure(images[stem], _matrix_alt(point["confusion"]), POINT[name])
        for name, point in shown.items()
        if (stem := f"confusion_matrix_{name.replace('.', '_')}") in images
    )
    body = f'{table(head, rows)}{note}{_further(shown)}<div class="figures matrices">{matrices}</div>'
    return Section("points", "Operating points", body)


def _further(shown: dict[str, Any]) -> str:
    """F1, balanced accuracy, likelihood ratios, and rates with intervals that know which pictures belong together."""
    keys = ("sensitivity", "specificity", "accuracy")
    clustered = [
        [POINT[name], *(rate({**point[key], "interval": point[key]["cluster_interval"]}) for key in keys)]
        for name, point in shown.items()
    ]
    others = [
        [
            POINT[name],
            rate(point["f1"]),
            rate(point["balanced_accuracy"]),
            number(point.get("lr_positive"), 2),
            number(point.get("lr_negative"), 3),
        ]
        for name, point in shown.items()
    ]
    head = ["Point", "F1", "Balanced accuracy", "Likelihood ratio +", "Likelihood ratio -"]
    first = table(head, others, "Intervals: bootstrap over patients; log method for likelihood ratios.")
    head = ["Point", "Sensitivity", "Specificity", "Accuracy"]
    second = table(head, clustered, "Intervals: bootstrap over patients.")
    label = "F1, balanced accuracy, likelihood ratios; intervals by a bootstrap over whole patients"
    return f"<details><summary>{label}</summary>{first}{second}</details>"


def _matrix_alt(cells: dict[str, int]) -> str:
    return (
        f"Confusion matrix: {cells['tn']} normal right, {cells['fp']} normal called pneumonia, {cells['fn']} pneumonia "
        f"missed, {cells['tp']} pneumonia found."
    )


def curves(images: dict[str, str]) -> Section:
    """ROC, precision-recall, thresholds, histograms."""
    captions = {
        "roc": "ROC curve with the operating points; the interval of the AUC is DeLong's.",
        "precision_recall": "Precision against recall in this set.",
        "thresholds": "Sensitivity and specificity against the threshold, bands are 95 % Wilson intervals.",
        "scores": "Probabilities of each class; the count axis is logarithmic above 1.",
    }
    body = "".join(figure(images[stem], caption, caption) for stem, caption in captions.items() if stem in images)
    return Section("curves", "Curves", f'<div class="figures">{body}</div>')


def prevalence(content: dict[str, Any]) -> Section | None:
    """What an answer is worth elsewhere."""
    if not content["predictive_values"]:
        return None
    rows = [
        [percent(entry["prevalence"], 0), rate(entry["ppv"]), rate(entry["npv"])]
        for entry in content["predictive_values"]
    ]
    lead = text(
        "A positive answer is worth less where pneumonia is rare. With the sensitivity and specificity measured here "
        "at the default threshold, and the share of pneumonia among the patients who are X-rayed as given:"
    )
    note = "Intervals are those of Mercaldo, Lau and Zhou (2007); they assume sensitivity and specificity carry over."
    ratios = content["predictive_values"][0]
    words = " and ".join(
        f"{name} {ratios[key]['value']:.{digits}f} ({ratios[key]['interval'][0]:.{digits}f} to "
        f"{ratios[key]['interval'][1]:.{digits}f})"
        for key, name, digits in (("lr_positive", "LR+", 1), ("lr_negative", "LR-", 3))
    )
    below = text(f"Whatever the share, an answer multiplies the odds of pneumonia by the likelihood ratio: {words}.")
    head = ["Share of pneumonia", "PPV: pneumonia if so answered", "NPV: no pneumonia if so answered"]
    return Section("prevalence", "What an answer is worth", lead + table(head, rows, note) + below)


def calibration(content: dict[str, Any], images: dict[str, str]) -> Section:
    """Reliability, Brier, ECE, decision curve."""
    record, ece = content["record"], content["record"]["ece"]
    rows = [
        [
            "Mean probability, against the observed share",
            f"{record['mean_probability']:.3f} / {record['prevalence']:.3f}",
        ],
        ["Brier score", f"{record['brier']:.4f}"],
        ["Log loss (before temperature and bias)", f"{record['loss']:.4f} ({record['uncalibrated_loss']:.4f})"],
        ["Expected calibration error, ten equal bins", f"{ece['binned']:.4f}"],
        ["... that perfect probabilities would show by chance", f"{ece['expected_if_calibrated']:.4f}"],
        ["Adaptive calibration error, ten equal counts", f"{ece['adaptive']:.4f}"],
        ["Debiased root mean squared calibration error", f"{ece['debiased_rms']:.4f}"],
    ]
    drawn = "".join(
        figure(images[stem], caption, caption)
        for stem, caption in {
            "reliability": "Observed share of pneumonia against the probability; counts beside the points.",
            "decision_curve": "Net benefit of acting on the model, on everyone and on no one (Vickers and Elkin 2006).",
        }.items()
        if stem in images
    )
    note = text(
        "Probabilities are calibrated at the calibration set's share of pneumonia, "
        f"{_share(content)}; where it differs here, they are off by that difference.",
        "note",
    )
    return Section(
        "calibration",
        "Calibration and net benefit",
        table(["Figure", "Value"], rows) + note + f'<div class="figures">{drawn}</div>',
    )


def _share(content: dict[str, Any]) -> str:
    prevalence = content["decision"]["prevalence"]
    return "which is not known" if prevalence is None else percent(prevalence)


def subgroups(content: dict[str, Any]) -> Section | None:
    """One table per column."""
    if not content["subgroups"]:
        return None
    body = text(
        "At the default threshold. Many groups are compared here, so some differ by chance; small ones say little."
    )
    for column, groups in content["subgroups"].items():
        rows = [
            [
                name,
                f"{group['n']} / {group['patients']}",
                f"{group['normal']} / {group['pneumonia']}",
                rate(group["sensitivity"]),
                rate(group["specificity"]),
                _auc(group),
            ]
            for name, group in groups.items()
        ]
        head = ["Group", "Pictures / patients", "Normal / pneumonia", "Sensitivity", "Specificity", "AUC"]
        body += f"<h3>By {escape(column)}</h3>{table(head, rows)}"
    return Section("subgroups", "Subgroups", body)


def _auc(group: dict[str, Any]) -> Markup:
    against = "" if group.get("auc_against") != "all normal" else "<small>against all normal</small>"
    return Markup(number(group.get("auc")) + against)


def stability(content: dict[str, Any]) -> Section | None:
    """Agreement between renderings, and under blur and sharpening."""
    pairs = [(name, entry, content["rendering_records"][name]) for name, entry in content["renderings"].items()]
    pairs += [(name, entry, content["perturbation_records"][name]) for name, entry in content["perturbations"].items()]
    if not pairs:
        return None
    rows = []
    for name, entry, record in pairs:
        flips, point = entry["flips"]["default"], record["points"]["default"]
        split = f"<small>{flips['to_normal']} to normal, {flips['to_pneumonia']} to pneumonia</small>"
        largest = f"{entry['largest_difference']:.3f}<small>{escape(entry['largest_difference_name'])}</small>"
        signed = f"<small>with its sign {entry['mean_difference']['all']:+.3f}</small>"
        mean = f"{entry['mean_absolute_difference']:.3f}{signed}"
        rows.append(
            [
                Markup(f"{escape(name)}<small>{entry['n']} pictures</small>"),
                Markup(mean),
                Markup(largest),
                Markup(f"{flips['count']} ({percent(flips['rate']['value'])}){split}"),
                number(record["auc"]),
                rate(point["sensitivity"]),
                rate(point["specificity"]),
            ]
        )
    head = [
        "Same pictures as",
        "Mean difference",
        "Largest",
        "Decisions that flip",
        "AUC",
        "Sensitivity",
        "Specificity",
    ]
    lead = text(
        "How far the probability moves when only the rendering of a picture changes: how it was resized, "
        "compressed, blurred or sharpened. It should hardly move."
    )
    notes = "".join(text(f"{name}: {how}.", "note") for name, how in content.get("perturbation_notes", {}).items())
    body = lead + table(head, rows) + notes + _originals(content.get("originals"))
    return Section("stability", "Other renderings of the same pictures", body)


def _originals(found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    entry = found["agreement"]
    flips = entry["flips"]["default"]["count"]
    return text(
        f"{found['pictures']} full-size originals of development pictures ({found['of_development_train']} of them "
        f"trained on) against their small copies: mean difference {entry['mean_absolute_difference']:.3f}, largest "
        f"{entry['largest_difference']:.3f} ({entry['largest_difference_name']}), {flips} decisions flip. This is a "
        "check of the way that an upload takes; it says nothing about accuracy."
    )
