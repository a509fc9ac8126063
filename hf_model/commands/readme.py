"""``python -m hf_model readme``: put stored figures into README.md and docs/*.md of a clone of the repository.

What stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` is replaced by block NAME:

- ``results``, ``operating-points``, ``guarantees`` and ``robustness``: the shipped checkpoint's metrics.json;
- ``lungs``: the shipped checkpoint's lungs.json, where it has one;
- ``audit``: the shipped checkpoint's audit.json;
- ``experiments-short`` and ``experiments-full``: conclusions of docs/experiments/short.md and full.md;
- ``recipes``: rows of docs/experiments/recipes.csv that are listed;
- ``benchmarks``: benchmarks/results.json.

A test holds the documents equal to this.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

from hf_model.config import CHECKPOINT_DIR, LABELS
from hf_model.hub.model_card import lungs_rows
from hf_model.wording import POINTS, SHARES, count, counted, decimal, percent, policy_sentence, rate, ratio

ROOT = Path(__file__).parents[2]
RATES = ("sensitivity", "specificity", "accuracy")
OTHERS = (
    ("The Keras project that this one replaces: MobileNetV2, frozen, at 0.5", 0.956, 0.939, 0.876, 0.915),
    ("Kermany et al., Cell 2018", 0.968, 0.932, 0.901, 0.928),
)
"""Name, AUC and ``RATES`` of others on the same test split, as published."""


def results(metrics: dict[str, Any]) -> str:
    """Table of the test split: this checkpoint at its threshold and at the larger logit, then ``OTHERS``."""
    rows = []
    for point, where in (("default", "at its threshold"), ("argmax", "at the larger logit")):
        for name, record in metrics["test"].items():
            if at := record["points"].get(point):
                rates = [rate(at[key]) for key in RATES]
                rows.append([f"This checkpoint {where}", name, ratio(record["auc"]), *rates])
    rows += [[name, "", decimal(auc), *map(percent, rates)] for name, auc, *rates in OTHERS]
    return _table(["", "rendering", "AUC", *RATES], rows)


def operating_points(metrics: dict[str, Any]) -> str:
    """Table of the test split: a row for each rendering and operating point."""
    rows = [
        [name, label, decimal(at["threshold"]), *(rate(at[key]) for key in RATES)]
        for name, record in metrics["test"].items()
        for point, label in POINTS.items()
        if (at := record["points"].get(point))
    ]
    return _table(["rendering", "point", "threshold", *RATES], rows)


def policy_table(metrics: dict[str, Any]) -> str:
    """Table of the test split: what the policy does with each class, rendering by rendering; "" without a record."""
    rows = [
        [name, label, *(rate(record["policy"][label][share]) for share in SHARES)]
        for name, record in metrics["test"].items()
        if "policy" in record
        for label in LABELS
    ]
    return _table(["rendering", "label", *SHARES], rows) if rows else ""


def policy_sentences(metrics: dict[str, Any]) -> str:
    """The same in one paragraph, a sentence for each rendering."""
    return " ".join(
        f"On {name}: {policy_sentence(record['policy'])}"
        for name, record in metrics["test"].items()
        if "policy" in record
    )


def guarantees(metrics: dict[str, Any]) -> str:
    """Whether each promise holds on the test split, and how the scores moved, rendering by rendering."""
    lines = []
    for name, record in metrics["test"].items():
        lines.append(f"- {name}, AUC {ratio(record['auc'])}:")
        held = record["guarantees"]
        lines += [f"  - **{label}**: {held[point]['sentence']}" for point, label in POINTS.items() if point in held]
        lines.append(f"  - {record['shift']['sentence']}")
    return "\n".join(lines)


def robustness(metrics: dict[str, Any]) -> str:
    """How far the probability moves when a picture is rendered otherwise, and how many radiographs are flagged."""
    pairs, originals = metrics["renderings"], metrics["originals"]
    first, second = list(metrics["test"])[:2]
    moved = {name: decimal(pair["mean_absolute_difference"]) for name, pair in pairs.items()}
    return "\n".join(
        [
            f"- Between the renderings {first} and {second} of the test split: a mean difference of "
            f"{moved[f'{first} / {second}']} in the probability of a picture.",
            f"- A calibration picture's probability moves by {moved['calibration / blurred']} on average when it is "
            f"blurred and by {moved['calibration / sharpened']} when it is sharpened, at the model's size.",
            f"- On {counted(originals['pictures'], 'full-size original')} of training pictures the accuracy is "
            f"{percent(originals['accuracy_at_threshold'])} and the mean difference in probability from the small "
            f"copies {decimal(originals['agreement']['mean_absolute_difference'])}.",
            f"- By distance in feature space {percent(1 - metrics['gate']['quantile'])} of held-out development "
            "radiographs are flagged.",
        ]
    )


def lungs(record: dict[str, Any]) -> str:
    """What the training of the lung network took, and the table of its overlap with people on held-out patients."""
    held_out, training = record["held_out"], record["training"]
    minutes = decimal(record["processor_seconds"] / 60, 0)
    view = {name: percent(share) for name, share in held_out["view"].items()}
    head = ["held-out pictures", "pictures", "patients", "median IoU", "two lungs found"]
    return "\n".join(
        [
            f"Trained on {counted(training['pictures'], 'picture')} of {counted(training['patients'], 'patient')}, "
            f"{counted(training['options']['epochs'], 'epoch')}; {minutes} minutes of processor time in all. "
            f"{counted(record['weights'], 'weight')}. Overlap (intersection over union) with the outlines by people:",
            "",
            _table(head, [[name, *cells] for name, *cells in lungs_rows(record)]),
            "",
            f"The turn of a picture is recognised in {view['upright']} of upright pictures and in {view['left']}, "
            f"{view['upside-down']} and {view['right']} of those turned left, upside-down and right; inversion in "
            f"{view['inverted']}; mirroring in {view['mirrored']}, and {view['not_mirrored']} are rightly taken for "
            "not mirrored.",
        ]
    )


def audit(record: dict[str, Any]) -> str:
    """The audit's findings, a line each, warnings first as the audit has them."""
    return "\n".join(f"- {finding['text']}" for finding in record["findings"])


def experiments(document: str) -> str:
    """Each question of a study with its conclusion, from the study's ``experiments.md``."""
    found = re.findall(r"^## (.+)\n\n(.+)$", document, re.MULTILINE)
    return "\n".join(f"- **{question}** {conclusion}" for question, conclusion in found)


def recipes(rows: list[dict[str, str]]) -> str:
    """Table of the trials of recipes that are listed, in the file's order; the interval is the style-balanced AUC's."""
    names = ("plain_auc", "block_auc", "odd_style_auc", "style_balanced_auc", "exchanged_surroundings_auc")
    areas = ["plain AUC", "blocks", "unusual style", "style-balanced", "surroundings exchanged"]
    cells = []
    for row in rows:
        if row["listed"] == "1":
            named = {name: decimal(float(row[name])) for name in names}
            low, high = (decimal(float(row[f"style_balanced_auc_{end}"])) for end in ("low", "high"))
            named["style_balanced_auc"] += f" ({low} to {high})"
            recipe = row["recipe"] + (", lungs' box scored" if row["scored_view"] == "box" else "")
            evidence = [decimal(float(row[name]), 2) for name in ("evidence_in_lungs", "peak_in_lungs")]
            moved = decimal(float(row["renderings_difference"]))
            budget = [row["pixels"], count(int(row["draws"])), row["train_seconds"]]
            cells.append([row["run"], recipe, *budget, *named.values(), *evidence, moved])
    return _table(["run", "recipe", "px", "draws", "s", *areas, "evidence in lungs", "peak", "renderings"], cells)


def benchmarks() -> str:
    """The stored tables of speed."""
    from benchmarks import frame  # only a clone has it

    return frame.readme_tables(frame.load()).rstrip("\n")


def blocks() -> dict[str, str]:
    """Every block by its name, as the stored files have it now."""
    metrics, record = (
        json.loads((CHECKPOINT_DIR / name).read_text(encoding="utf-8")) for name in ("metrics.json", "audit.json")
    )
    short, full = (
        (ROOT / "docs" / "experiments" / name).read_text(encoding="utf-8") for name in ("short.md", "full.md")
    )
    with (ROOT / "docs" / "experiments" / "recipes.csv").open(encoding="utf-8", newline="") as file:
        trials = list(csv.DictReader(file))
    found = CHECKPOINT_DIR / "lungs.json"
    optional = {"lungs": lungs(json.loads(found.read_text(encoding="utf-8")))} if found.is_file() else {}
    return optional | {
        "results": "\n\n".join(filter(None, (results(metrics), policy_sentences(metrics)))),
        "operating-points": "\n\n".join(filter(None, (operating_points(metrics), policy_table(metrics)))),
        "guarantees": guarantees(metrics),
        "robustness": robustness(metrics),
        "audit": audit(record),
        "experiments-short": experiments(short),
        "experiments-full": experiments(full),
        "recipes": recipes(trials),
        "benchmarks": benchmarks(),
    }


def documents() -> dict[Path, str]:
    """README.md and docs/*.md by path."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def filled(texts: dict[Path, str], contents: dict[str, str]) -> dict[Path, str]:
    """``texts`` with each block replaced.

    Raises:
        ValueError: a block whose two markers are not there once each, in order, in one of the texts.
    """
    texts = dict(texts)
    for name, content in contents.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        found = [path for path, text in texts.items() if begin in text or end in text]
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        whole = "".join(texts.values())
        if len(found) != 1 or whole.count(begin) != 1 or whole.count(end) != 1 or not pattern.search(whole):
            raise ValueError(f"README.md or a file of docs/ needs one line {begin} and after it one line {end}")
        block = f"{begin}\n{content}\n{end}"
        texts[found[0]] = pattern.sub(lambda _, block=block: block, texts[found[0]])
    return texts


def main(argv: list[str]) -> int:
    """Rewrite the documents; 2 with one line where a stored file or a marker is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m hf_model readme", description="Put stored figures into README.md and docs/*.md."
    )
    parser.parse_args(argv)
    try:
        for path, text in filled(documents(), blocks()).items():
            path.write_text(text, encoding="utf-8")
    except (ImportError, OSError, ValueError) as error:
        print(f"readme: {error}", file=sys.stderr)
        return 2
    return 0


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))
