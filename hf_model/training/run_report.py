"""The report of a training run: figures and a page that ship, and a page with thumbnails that stays in the run folder.

``report/index.html`` shows every wrong test picture with its heat map. Pictures of a data set are not ours to publish,
so neither push nor promote copies that folder; ``evaluation.html`` beside the weights is the same page with the wrong
pictures by name, and ``figures/`` its figures. Its name is not that of a page by ``evaluate``, which has pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_model.data.prepare import VALIDATION
from hf_model.evaluation import report, test_split
from hf_model.evaluation.labelled_dataset import PERTURBATIONS
from hf_model.evaluation.report import Material
from hf_model.evaluation.report_files import write_figures, write_page
from hf_model.evaluation.report_html import Case
from hf_model.metrics.decision import Decision
from hf_model.metrics.scores import Scores
from hf_model.metrics.subgroups import aetiology_column
from hf_model.training.opening import REPORT, Opened

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
    test_split.write_json(folder / REPORT / "metrics.json", content)
