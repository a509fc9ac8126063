"""The report's longer sections: a second checkpoint, every wrong picture, and how it all was done."""

from __future__ import annotations

from html import escape
from typing import Any

from hf_model.evaluation.report_markup import Markup, Section, number, table, text


def comparison(content: dict[str, Any]) -> Section | None:
    """Two checkpoints on the same pictures."""
    found = content.get("comparison")
    if not found:
        return None
    names = ("auc", "average_precision", "accuracy", "sensitivity", "specificity", "balanced_accuracy", "brier")
    rows = [
        [
            name.replace("_", " ").replace("auc", "AUC"),
            _four(found[name]["first"]),
            _four(found[name]["second"]),
            number({"value": found[name]["difference"], "interval": found[name]["interval"]}, 4),
        ]
        for name in names
    ]
    head = ["Figure", found["first"], found["second"], "Difference, 95 % interval"]
    exact = found["mcnemar"]["all"]
    sentence = (
        f"Decisions, each at its own threshold: {exact['only_first_right']} pictures only {found['first']} gets right, "
        f"{exact['only_second_right']} only {found['second']}; exact McNemar p = {exact['p_value']:.3g}. The intervals "
        "are a paired bootstrap over patients; one that holds 0 leaves open which is better."
    )
    if content["role"] == "test":
        sentence += (
            " Whoever takes the better of the two because of this has chosen by the test split, and needs another."
        )
    return Section("comparison", f"Against {found['second']}", table(head, rows) + text(sentence))


def _four(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def errors(content: dict[str, Any], thumbnails: dict[int, tuple[str, ...]]) -> Section:
    """Every false negative and false positive, the most wrong first."""
    body = ""
    for kind, title, truth in (
        ("false negative", "Missed pneumonia (false negatives)", "labelled pneumonia"),
        ("false positive", "False alarms (false positives)", "labelled normal"),
    ):
        cases = [case for case in content["errors"] if case["kind"] == kind]
        body += f"<h3>{title}: {len(cases)}</h3>"
        shown = [_case(case, truth, thumbnails[case["row"]]) for case in cases if case["row"] in thumbnails]
        if shown:
            body += f'<ul class="cases">{"".join(shown)}</ul>'
        rest = [case for case in cases if case["row"] not in thumbnails]
        if rest:
            rows = [[case["name"], f"{case['probability']:.4f}", case["answer"].lower()] for case in rest]
            listing = table(["File", "Probability", "Answer"], rows)
            label = "The others, by name" if shown else "By name"
            body += f"<details{'' if shown else ' open'}><summary>{label} ({len(rest)})</summary>{listing}</details>"
    sentence = "At the default threshold, the most wrong first."
    if thumbnails:
        sentence += (
            " The second picture of a pair is the class activation map over the radiograph: the brighter, the more the "
            "place speaks for pneumonia. It shows what moved the model, not where disease is."
        )
    elif content.get("cases_elsewhere"):
        sentence += f" {content['cases_elsewhere']}"
    lead = text(sentence)
    return Section("errors", "Every wrong picture", lead + body)


def _case(case: dict[str, Any], truth: str, sources: tuple[str, ...]) -> str:
    name = escape(case["name"])
    alts = (f"Radiograph {name}, {truth}", f"Heat map over {name}")
    pictures = "".join(f'<img src="{source}" alt="{alt}">' for source, alt in zip(sources, alts, strict=False))
    words = (
        f"<b>{case['probability']:.3f}</b> {truth}, answered “{escape(case['answer'].lower())}”<br><code>{name}</code>"
    )
    return f'<li class="case"><div class="pair">{pictures}</div><div class="text">{words}</div></li>'


def protocol(content: dict[str, Any]) -> Section:
    """Provenance, openings of the test split, unreadable files, limits."""
    facts = {
        "Checkpoint": content["model_id"],
        "Weights (SHA-256)": Markup(f"<code>{escape(content['weights_sha256'])}</code>"),
        "Engine": content["engine"],
        "Data set": f"{content['dataset_name']}, split {content['split']}",
        "Made": content["created"],
        "Command": Markup(f"<code>{escape(content['command'])}</code>"),
        "Temperature, bias": f"{content['decision']['temperature']:.4f}, {content['decision']['bias']:+.4f}",
        "Test split opened": _opening(content),
        "Unreadable files": _listing([entry["name"] for entry in content["unreadable"]]),
        "Refused by the input checks": _refused(content),
    }
    if others := content.get("not_test_pictures"):
        facts["Left out, not among the test pictures whose scores the checkpoint holds"] = _listing(others)
    rows = "".join(
        f"<dt>{key}</dt><dd>{value if isinstance(value, Markup) else escape(str(value))}</dd>"
        for key, value in facts.items()
    )
    limits = text(
        "Limits: labels are those of the data set; a picture counts as a chest radiograph of the population the "
        "checkpoint was trained on, and no figure here speaks for another. Intervals describe chance in drawing these "
        "patients, not a change of hospital, device or labelling."
    )
    return Section("protocol", "How this was made", f'<dl class="facts">{rows}</dl>{limits}')


def _opening(content: dict[str, Any]) -> str:
    entry = content["test_opening"]
    if content["role"] != "test":
        return "no, these are other pictures"
    if entry is None:
        return "not for this report: made from the scores that the checkpoint holds"
    return f"{entry['when']}, opening {entry['count']} for these weights"


def _refused(content: dict[str, Any]) -> str:
    names = content["refused_by_input_checks"]
    counted = "left out of every figure" if content.get("refused_left_out") else "counted in every figure all the same"
    return f"{_listing(names)} ({counted})" if names else _listing(names)


def _listing(names: list[str], most: int = 5) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)}: {', '.join(names[:most])}{more}"
