"""``python -m hf_model readme``: README's figures from the files that hold them. Only a clone of the repository has it.

Between ``<!-- NAME -->`` and ``<!-- /NAME -->`` stands what the stored results say: ``results`` (the shipped
checkpoint's metrics.json), ``audit`` (its audit.json), ``experiments`` and ``experiments-whole`` (docs/NAME.md) and
``benchmarks`` (benchmarks/results.json). A test holds README equal to this.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from hf_model.config import CHECKPOINT_DIR

ROOT = Path(__file__).parents[2]
POINTS = {"argmax": "larger logit", "default": "threshold", "rule_out": "rule-out", "rule_in": "rule-in", "0.5": "0.5"}


def results(metrics: dict[str, Any]) -> str:
    """The table of the published test split: a row for each rendering and operating point."""
    lines = ["| rendering | point | threshold | sensitivity | specificity | accuracy |", "| --- " * 6 + "|"]
    for name, record in metrics["test"].items():
        for point, label in POINTS.items():
            at = record["points"][point]
            rates = " | ".join(_rate(at[key]) for key in ("sensitivity", "specificity", "accuracy"))
            lines.append(f"| {name} | {label} | {at['threshold']:.3f} | {rates} |")
    return "\n".join(lines)


def _rate(entry: dict[str, Any]) -> str:
    low, high = entry["interval"]
    return f"{100 * entry['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def audit(record: dict[str, Any]) -> str:
    """The audit's findings, a line each, warnings first as the audit has them."""
    return "\n".join(f"- {finding['text']}" for finding in record["findings"])


def experiments(document: str) -> str:
    """Each question of the study with its conclusion, from ``experiments.md``."""
    found = re.findall(r"^## (.+)\n\n(.+)$", document, re.MULTILINE)
    return "\n".join(f"- **{question}** {conclusion}" for question, conclusion in found)


def benchmarks() -> str:
    """The stored tables of speed."""
    from benchmarks import frame

    return frame.readme_tables(frame.load())


def blocks() -> dict[str, str]:
    """Every block of README by its name, as the stored files have it now."""
    return {
        "results": results(json.loads((CHECKPOINT_DIR / "metrics.json").read_text(encoding="utf-8"))),
        "audit": audit(json.loads((CHECKPOINT_DIR / "audit.json").read_text(encoding="utf-8"))),
        "experiments": experiments((ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")),
        "experiments-whole": experiments((ROOT / "docs" / "experiments-whole.md").read_text(encoding="utf-8")),
        "benchmarks": benchmarks().rstrip("\n"),
    }


def filled(readme: str, contents: dict[str, str]) -> str:
    """``readme`` with each block replaced. ValueError for one whose two markers are not there once each, in order."""
    for name, content in contents.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
            raise ValueError(f"README.md needs one line {begin} and after it one line {end}")
        before, rest = readme.split(begin, 1)
        readme = f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
    return readme


def main(argv: list[str]) -> int:
    """Rewrite README.md; 2 with one line where a stored file or a marker is missing."""
    parser = argparse.ArgumentParser(prog="python -m hf_model readme", description=__doc__.split("``: ")[1])
    parser.parse_args(argv)
    path = ROOT / "README.md"
    try:
        path.write_text(filled(path.read_text(encoding="utf-8"), blocks()), encoding="utf-8")
    except (ImportError, OSError, ValueError) as error:
        print(f"readme: {error}", file=sys.stderr)
        return 2
    return 0
