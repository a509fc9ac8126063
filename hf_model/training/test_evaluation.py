"""The test split of a training run: opened once, scored, and kept so that a resumed run need not open it again.

What was found lies in the run's ``report/`` folder, thumbnails of wrong pictures included. Pictures of a data set are
not ours to publish, so neither push nor promote copies that folder.
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
from hf_model.evaluation import test_split
from hf_model.evaluation.report import ErrorThumbnail, error_list, load_thumbnails, save_thumbnails
from hf_model.files import write_json
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import open_engine
from hf_model.inference.engines.openvino_engine import OpenVinoEngine, shared_core
from hf_model.metrics.decision import Decision
from hf_model.metrics.intervals import wilson
from hf_model.metrics.record import evidence_figures
from hf_model.metrics.scores import Scores
from hf_model.radiograph import Finding
from hf_model.training.finalize import TrainedModel
from hf_model.training.records import recorded_openings

logger = logging.getLogger(__name__)

REPORT = "report"
"""Folder of the run that holds pictures of the data set: not among the files that a push or promote copies."""
FACTS = "opening.json"
MOST_CASES = 500
BY_FEATURES = ("unlike-training", "adult")
"""Codes of findings that are made from the network's features."""


@dataclass
class EvaluatedSplit:
    """What is known of the pictures that a run is evaluated on: the test split, or development-validation.

    All but ``scores`` and ``openings`` is empty for development-validation and where an opening was interrupted.

    Attributes:
        name: "test" or "development-validation". role: "test" or "development".
        scores: by rendering, the data set's own first.
        openings: of the test split for these weights, from metrics.json.
        perturbed: scores of the data set's own rendering, blurred and sharpened.
        engines: engine and precision -> rendering -> logits (N, 2).
        facts: "checks" (by rendering), "refused" and "unreadable" (of the data set's own rendering).
        cases: thumbnails of the wrong pictures.
    """

    name: str
    role: str
    scores: dict[str, Scores]
    openings: list[dict[str, Any]] = field(default_factory=list)
    perturbed: dict[str, Scores] = field(default_factory=dict)
    engines: dict[str, dict[str, Scores]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    thumbnails: list[ErrorThumbnail] = field(default_factory=list)

    @property
    def main(self) -> str:
        """The data set's own rendering."""
        return next(iter(self.scores))


def open_test_split(trained: TrainedModel, decision: Decision, weights: str) -> EvaluatedSplit:
    """Open the test split, or read what was kept when it was opened for these weights.

    The record of the opening and the logits of every rendering are on disk before anything is computed from them.
    """
    folder, tests = trained.folder, trained.data.test
    files = {name: folder / "scores" / f"test-{name}.csv" for name in tests}
    if recorded_openings(folder, weights) and all(file.exists() for file in files.values()):
        scores = {name: Scores.from_csv(file) for name, file in files.items()}
        return _load(folder, EvaluatedSplit("test", "test", scores, recorded_openings(folder, weights)), weights)
    shutil.rmtree(folder / REPORT, ignore_errors=True)
    test_split.open_test(folder, weights, list(tests), reopen=True, by="train.py")
    pixels = {name: test.decode() for name, test in tests.items()}
    scores = {name: trained.scores(part, f"test, {name}") for name, part in pixels.items()}
    for name, file in files.items():
        scores[name].to_csv(file)
    split = EvaluatedSplit("test", "test", scores, recorded_openings(folder, weights))
    split.perturbed = trained.perturbed_scores(pixels[split.main].pixels, scores[split.main], "test")
    split.engines = _engine_scores(Checkpoint.open(folder), pixels, scores)
    _predict_as_uploads(trained, decision, pixels, split)
    _store(folder, split, weights)
    return split


def _engine_scores(
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


def _predict_as_uploads(
    trained: TrainedModel, decision: Decision, pixels: dict[str, Pixels], split: EvaluatedSplit
) -> None:
    """Predict the encoded pictures as uploads: what the input checks say, and heat maps of the wrong ones."""
    checkpoint = Checkpoint.open(trained.folder)
    classifier = Classifier(checkpoint, open_engine(checkpoint))
    wrong = {case["row"] for case in error_list(split.scores[split.main], decision)[:MOST_CASES]}
    checks, evidence = {}, {}
    for name, part in pixels.items():
        main = name == split.main
        sources = trained.data.test[name].contents(part)
        seen, inside = [], []
        for row, result in enumerate(classifier.predict_batch(sources, heat_map=main)):
            if not result.ok:
                raise ValueError(f"{result.name} of the test split could be read a moment ago: {result.reason}")
            seen.append(result.findings)
            inside.append(result.evidence)
            if main and row in wrong:
                picture = np.asarray(part.pixels[row])
                split.thumbnails.append(ErrorThumbnail.draw(row, picture, result.class_activation_map))
        checks[name] = checks_record(seen)
        if classifier.lungs is not None:
            evidence[name] = evidence_figures(inside, part.labels, split.scores[name].patients)
        if main:
            refused = [n for n, findings in zip(part.names, seen, strict=True) if _any(findings, "refuse")]
            split.facts |= {"refused": refused, "unreadable": part.skipped}
    split.facts |= {"checks": checks, "evidence": evidence or None}


def checks_record(seen: Sequence[Sequence[Finding]]) -> dict[str, Any]:
    """How many of N radiographs the input checks flag or refuse, from the findings of each.

    {"n", "flagged" (at least one finding of severity flag), "refused" (of severity refuse), "feature_gate",
    "cheap_checks" (flagged or refused by the features, by the pixels and header): {"count", "value", "interval"
    (Wilson 95 %)}, "codes": {code: pictures}}.
    """
    by_gate = [any(finding.code in BY_FEATURES for finding in findings) for findings in seen]
    held = [[finding for finding in findings if finding.severity != "note"] for findings in seen]
    cheap = [any(finding.code not in BY_FEATURES for finding in findings) for findings in held]
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


def _store(folder: Path, split: EvaluatedSplit, weights: str) -> None:
    """Keep everything but the shipped logits; the file that lists it is written last."""
    for kind, part in {"perturbed": split.perturbed, **split.engines}.items():
        for name, scores in part.items():
            scores.to_csv(folder / REPORT / "scores" / kind / f"{name}.csv")
    save_thumbnails(folder / REPORT, split.thumbnails)
    listing = {"perturbed": list(split.perturbed), "engines": {k: list(v) for k, v in split.engines.items()}}
    write_json(folder / REPORT / FACTS, {"weights_sha256": weights, "facts": split.facts, **listing})


def _load(folder: Path, split: EvaluatedSplit, weights: str) -> EvaluatedSplit:
    """Add to ``split`` what ``_store`` kept for these weights."""
    file = folder / REPORT / FACTS
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if stored.get("weights_sha256") != weights:
        logger.warning("%s is missing: the report is made from the stored logits, without thumbnails.", file)
        return split

    def scores(kind: str, names: list[str]) -> dict[str, Scores]:
        return {name: Scores.from_csv(folder / REPORT / "scores" / kind / f"{name}.csv") for name in names}

    split.facts = stored["facts"]
    split.perturbed = scores("perturbed", stored["perturbed"])
    split.engines = {engine: scores(engine, names) for engine, names in stored["engines"].items()}
    split.thumbnails = load_thumbnails(folder / REPORT)
    return split
