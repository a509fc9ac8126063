"""The report of a training run: figures and a page that ship, and a page with thumbnails that stays in the run folder.

``report/index.html`` shows every wrong test picture with its heat map. Pictures of a data set are not ours to publish,
so neither push nor promote copies that folder; ``evaluation.html`` beside the weights is the same page with the wrong
pictures by name, and ``figures/`` its figures. Its name is not that of a page by ``evaluate``, which has pictures.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.data.pixels import Pixels
from hf_model.data.prepare import VALIDATION
from hf_model.evaluation import report, test_split
from hf_model.evaluation.labelled_dataset import PERTURBATIONS
from hf_model.evaluation.report import Material, error_list
from hf_model.evaluation.report_files import load_cases, make_case, save_cases, write_figures, write_page
from hf_model.evaluation.report_html import Case
from hf_model.files import write_json
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import open_engine
from hf_model.inference.engines.openvino_engine import OpenVinoEngine, shared_core
from hf_model.metrics.decision import Decision
from hf_model.metrics.intervals import wilson
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column
from hf_model.radiograph import Finding
from hf_model.training.finalize import Finisher
from hf_model.training.records import recorded_openings

logger = logging.getLogger(__name__)

REPORT = "report"
"""Folder of the run that holds pictures of the data set: not among the files that a push or promote copies."""
FACTS = "opening.json"
MOST_CASES = 500


@dataclass
class Opened:
    """What is known of the test split.

    ``scores`` by rendering, the data set's own first; ``perturbed`` those of its own pictures, blurred and sharpened;
    ``engines`` engine and precision -> rendering -> logits (N, 2); ``facts`` "checks" (by rendering), "refused" and
    "unreadable" (of the first). All but ``scores`` and ``openings`` are empty where an opening was interrupted.
    """

    scores: dict[str, Scores]
    openings: list[dict[str, Any]]
    perturbed: dict[str, Scores] = field(default_factory=dict)
    engines: dict[str, dict[str, Scores]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)


def open_test(finisher: Finisher, decision: Decision, weights: str) -> Opened:
    """Open the test split, or take what was kept when it was opened for these weights.

    The record and the logits of every rendering are on disk before anything is computed from them.
    """
    folder, tests = finisher.folder, finisher.data.test
    files = {name: folder / "scores" / f"test-{name}.csv" for name in tests}
    if recorded_openings(folder, weights) and all(file.exists() for file in files.values()):
        scores = {name: Scores.from_csv(file) for name, file in files.items()}
        return _kept(folder / REPORT, Opened(scores, recorded_openings(folder, weights)), weights)
    shutil.rmtree(folder / REPORT, ignore_errors=True)
    test_split.open_test(folder, weights, list(tests), reopen=True, by="train.py")
    pixels = {name: test.decode() for name, test in tests.items()}
    scores = {name: finisher.scores(part, f"test, {name}") for name, part in pixels.items()}
    for name, file in files.items():
        scores[name].to_csv(file)
    opened = Opened(scores, recorded_openings(folder, weights))
    main = next(iter(scores))
    opened.perturbed = finisher.perturbed(pixels[main].pixels, scores[main], "test")
    opened.engines = _engines(Checkpoint.open(folder), pixels, scores)
    _serve(finisher, decision, pixels, opened)
    _keep(folder / REPORT, opened, weights)
    return opened


def _engines(
    checkpoint: Checkpoint, pixels: dict[str, Pixels], scores: dict[str, Scores]
) -> dict[str, dict[str, Scores]]:
    """The exported graph's logits in every precision that this machine has; empty without OpenVINO or a graph."""
    found: dict[str, dict[str, Scores]] = {}
    try:
        for precision in _precisions():
            engine = OpenVinoEngine(checkpoint, precision=precision, cache="")
            found[engine.name] = {name: _run(engine, part.pixels, scores[name]) for name, part in pixels.items()}
    except EngineUnavailable as error:
        logger.warning("The serving graph was not compared with torch on the test split: %s", error)
    return found


def _precisions() -> tuple[str, ...]:
    capabilities = shared_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", "bf16") if "BF16" in capabilities else ("f32",)


def _run(engine: OpenVinoEngine, pixels: np.ndarray, reference: Scores) -> Scores:
    # in parts, because an engine also returns features and maps, which would add up
    logits = [engine.run(np.asarray(pixels[start : start + 64])).logits for start in range(0, len(pixels), 64)]
    return Scores(np.concatenate(logits), reference.labels, reference.names, reference.patients)


def _serve(finisher: Finisher, decision: Decision, pixels: dict[str, Pixels], opened: Opened) -> None:
    """The way of an upload, from the encoded pictures on: what the input checks say, and maps of the wrong ones."""
    checkpoint = Checkpoint.open(finisher.folder)
    classifier = Classifier(checkpoint, open_engine(checkpoint))
    main = next(iter(pixels))
    wrong = {case["row"] for case in error_list(opened.scores[main], decision)[:MOST_CASES]}
    checks = {}
    for name, part in pixels.items():
        sources = finisher.data.test[name].contents(part)
        seen = []
        for row, result in enumerate(classifier.predict_batch(sources, heat_map=name == main)):
            if not result.ok:
                raise ValueError(f"{result.name} of the test split could be read a moment ago: {result.reason}")
            seen.append(result.findings)
            if name == main and row in wrong:
                opened.cases.append(make_case(row, np.asarray(part.pixels[row]), result.class_activation_map))
        checks[name] = checks_record(seen)
        if name == main:
            refused = [n for n, findings in zip(part.names, seen, strict=True) if _any(findings, "refuse")]
            opened.facts |= {"refused": refused, "unreadable": part.skipped}
    opened.facts["checks"] = checks


def checks_record(seen: Sequence[Sequence[Finding]]) -> dict[str, Any]:
    """How many of N radiographs the input checks hold up, from each one's findings.

    {"n", "flagged" (at least one finding of severity flag), "refused" (of severity refuse), "feature_gate",
    "cheap_checks" (flagged or refused by the features, by the pixels and header): {"count", "value", "interval"
    (Wilson 95 %)}, "codes": {code: pictures}}.
    """
    by_gate = [any(finding.code == "unlike-training" for finding in findings) for findings in seen]
    held = [[finding for finding in findings if finding.severity != "note"] for findings in seen]
    cheap = [any(finding.code != "unlike-training" for finding in findings) for findings in held]
    shares = {
        "flagged": [_any(findings, "flag") for findings in seen],
        "refused": [_any(findings, "refuse") for findings in seen],
        "feature_gate": by_gate,
        "cheap_checks": cheap,
    }
    codes = Counter(code for findings in held for code in {finding.code for finding in findings})
    return {
        "n": len(seen),
        **{name: _share(marks) for name, marks in shares.items()},
        "codes": dict(sorted(codes.items())),
    }


def _any(findings: Sequence[Finding], severity: str) -> bool:
    return any(finding.severity == severity for finding in findings)


def _share(marks: Sequence[bool]) -> dict[str, Any]:
    return {"count": sum(marks), "value": sum(marks) / len(marks), "interval": list(wilson(sum(marks), len(marks)))}


def _keep(folder: Path, opened: Opened, weights: str) -> None:
    """Everything but the shipped logits; the file that lists it is written last."""
    for name, scores in opened.perturbed.items():
        scores.to_csv(folder / "scores" / "perturbed" / f"{name}.csv")
    for engine, parts in opened.engines.items():
        for name, scores in parts.items():
            scores.to_csv(folder / "scores" / engine / f"{name}.csv")
    save_cases(folder, opened.cases)
    listing = {"perturbed": list(opened.perturbed), "engines": {k: list(v) for k, v in opened.engines.items()}}
    write_json(folder / FACTS, {"weights_sha256": weights, "facts": opened.facts, **listing})


def _kept(folder: Path, opened: Opened, weights: str) -> Opened:
    """What ``_keep`` wrote for these weights, added to ``opened``."""
    file = folder / FACTS
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if stored.get("weights_sha256") != weights:
        logger.warning("%s is not there: the report has what the stored logits tell and no thumbnails.", file)
        return opened
    opened.facts = stored["facts"]
    read = Scores.from_csv
    opened.perturbed = {name: read(folder / "scores" / "perturbed" / f"{name}.csv") for name in stored["perturbed"]}
    opened.engines = {
        engine: {name: read(folder / "scores" / engine / f"{name}.csv") for name in names}
        for engine, names in stored["engines"].items()
    }
    opened.cases = load_cases(folder)
    return opened


SHIPPED_PAGE = "evaluation.html"
ELSEWHERE = (
    "Thumbnails with heat maps are on the page in the folder of the training run, report/index.html; pictures of the "
    "data set are not published with the weights."
)


@dataclass(frozen=True)
class Evaluated:
    """The pictures that the report is of: the test split, or development-validation where that is closed."""

    name: str
    split: str
    role: str
    scores: Scores
    renderings: dict[str, Scores] = field(default_factory=dict)
    perturbed: dict[str, Scores] = field(default_factory=dict)
    opening: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)

    @classmethod
    def of_test(cls, opened: Opened) -> Evaluated:
        """The data set's own rendering, with the others beside it."""
        name, scores = next(iter(opened.scores.items()))
        others = {key: part for key, part in opened.scores.items() if key != name}
        return cls(
            name, "test", "test", scores, others, opened.perturbed, opened.openings[-1], opened.facts, opened.cases
        )

    @classmethod
    def of_validation(cls, scores: Scores, name: str) -> Evaluated:
        """Development-validation, without thumbnails."""
        return cls(name, VALIDATION.replace("_", "-"), "development", scores)


def write_run_report(
    folder: Path, evaluated: Evaluated, decision: Decision, calibration: Scores, metrics: dict[str, Any]
) -> None:
    """``evaluation.html`` and ``figures/`` into the checkpoint folder, the page with pictures into its ``report/``."""
    facts = {
        "command": metrics["command"],
        "model_id": metrics["arguments"].get("hub_model_id") or folder.resolve().name,
        "weights_sha256": metrics["weights_sha256"],
        "engine": "torch-f32, as trained",
        "dataset_name": evaluated.name,
        "split": evaluated.split,
        "role": evaluated.role,
        "from_scores": False,
        "perturbation_notes": {name: PERTURBATIONS[name][0] for name in evaluated.perturbed},
        "leakage": metrics["data"]["leakage"],
        **{key: metrics.get(key) for key in ("engines", "originals", "gate")},
    }
    material = Material(
        facts,
        decision,
        evaluated.scores,
        calibration,
        renderings=evaluated.renderings,
        perturbations=evaluated.perturbed,
        columns=aetiology_column(evaluated.scores),
        failures=[tuple(entry) for entry in evaluated.facts.get("unreadable", [])],
        refused=evaluated.facts.get("refused", []),
        opening=evaluated.opening,
    )
    content = report.build(material)
    figures = write_figures(folder / "figures", material, content)
    write_page(folder / SHIPPED_PAGE, content | {"cases_elsewhere": ELSEWHERE}, figures, [])
    write_page(folder / REPORT / "index.html", content, figures, evaluated.cases)
    write_json(folder / REPORT / "metrics.json", content)
