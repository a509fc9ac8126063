"""The model card: README.md of a checkpoint folder, made from the folder's JSON files and ``model_card.md.jinja``.

What a card should say: Mitchell et al., Model Cards for Model Reporting, FAT* 2019; CLAIM; TRIPOD+AI. The card is never
edited by hand; every figure in it is one of metrics.json or decision.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_model.config import BASELINE, DEFAULT_DATASET, NOT_A_DEVICE, is_hub_id
from hf_model.metrics.decision import Decision
from hf_model.radiograph.population import Population, known
from hf_model.templates import environment
from hf_model.wording import (
    POINTS,
    decimal,
    interval_of,
    patients_unknown,
    rate,
    ratio,
    shared_between_splits,
    value_of,
)

FILE_NAME = "README.md"
KERMANY_TITLE = "Chest X-Ray Images (Pneumonia), Kermany et al. 2018"
PLACEHOLDER = "path/to/this/folder"
"""Model name in the card's code while the model has none; a push puts the repository's in its place."""
RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")
"""Figures at an operating point, in the order of the card's columns."""


def build_card(folder: Path | str) -> str:
    """The model card of a checkpoint folder, front matter and text, from config.json, decision.json, metrics.json.

    Only config.json is required: the card says what is missing. It describes the Kermany patients only if the published
    splits have that set's counts.

    Raises:
        FileNotFoundError: no config.json.
        ValueError: a file that does not parse, or (DecisionError) a decision.json that cannot be trusted.
    """
    run = TrainingRun.read(folder)
    development = {"development_validation": "development-validation", "calibration": "calibration"}
    records = {label: record for key, label in development.items() if (record := run.metrics.get(key))}
    records |= {f"test, {name}": record for name, record in run.tests.items()}
    text = (
        environment(Path(__file__).parent)
        .get_template("model_card.md.jinja")
        .render(
            run=run,
            front_matter=front_matter(run).to_yaml(),
            model=run.arguments.get("hub_model_id") or PLACEHOLDER,
            splits=_splits(run),
            shared_patients=_shared_patients(run),
            stages=_stages(run),
            loss=_loss(run),
            facts=_facts(run),
            leakage=_leakage(run),
            partitions=records,
            calibrated={name: record for name, record in records.items() if name != "development-validation"},
            agreement=_agreement(run),
            checklist=_checklist(run),
            rates=_rates,
            NOT_A_DEVICE=NOT_A_DEVICE,
        )
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def write_card(folder: Path | str) -> Path:
    """Write ``build_card(folder)`` to the folder's README.md and return its path."""
    path = Path(folder) / FILE_NAME
    path.write_text(build_card(folder), encoding="utf-8")
    return path


@dataclass(frozen=True)
class TrainingRun:
    """The JSON files of a checkpoint folder; a missing file is an empty dict."""

    folder: Path
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    metrics: dict[str, Any]
    decision: Decision

    @classmethod
    def read(cls, folder: Path | str) -> TrainingRun:
        """Read the folder. Raises as ``build_card`` does; a ValueError names the file."""
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} has no config.json, so it is not a checkpoint and gets no card.")
        names = ("config.json", "preprocessor_config.json", "metrics.json")
        return cls(folder, *(_read(folder / name) for name in names), decision=Decision.load(folder))

    @property
    def files(self) -> set[str]:
        """Paths inside the folder, with ``/``."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}

    @property
    def data(self) -> dict[str, Any]:
        return self.metrics.get("data") or {}

    @property
    def arguments(self) -> dict[str, Any]:
        """Training options."""
        return self.metrics.get("arguments") or {}

    @property
    def base_model(self) -> dict[str, str | None]:
        """``{"name", "hub_id"}`` of what fine-tuning started from."""
        return self.metrics.get("base_model") or {"name": None, "hub_id": None}

    @property
    def tests(self) -> dict[str, dict[str, Any]]:
        """Rendering -> record of the test split; empty while the test split is closed."""
        return self.metrics.get("test") or {}

    @property
    def has_subgroups(self) -> bool:
        return any(record["subgroups"] for record in self.tests.values())

    @property
    def kermany(self) -> bool:
        """True if the published splits have the counts of the Kermany set: a folder's name proves nothing."""
        return known(self.data.get("published")) is not None

    @property
    def population(self) -> Population | None:
        """Whom the radiographs show, where metrics.json describes it."""
        return Population.of(self.metrics)

    @property
    def dataset_name(self) -> str | None:
        """The data set's Hub id, or the last part of its path: the card shows no path of somebody's computer."""
        name = self.data.get("dataset")
        return name if not name or is_hub_id(name) else re.split(r"[/\\]", name.rstrip("/\\"))[-1]

    @property
    def dataset_id(self) -> str | None:
        """The data set's Hub id, if it has one."""
        if self.kermany:
            return DEFAULT_DATASET
        return self.dataset_name if is_hub_id(self.data.get("dataset")) else None

    @property
    def architecture(self) -> str:
        return str((self.config.get("architectures") or [self.config.get("model_type") or "unknown architecture"])[0])

    @property
    def own_head(self) -> str | None:
        """Name of a head that is this project's code, which transformers does not load; None for the linear one."""
        return self.config.get("chest_xray_head")

    @property
    def image_size(self) -> str | None:
        """Height x width in pixels, as the preprocessing has it."""
        size = self.preprocessing.get("size") or {}
        return f"{size['height']} x {size['width']}" if "height" in size else None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): restore it from the run.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object, not {type(content).__name__}.")
    return content


METRICS = ["accuracy", "recall", "precision", "f1", "roc_auc"]
COMPARED = {
    "accuracy": ("accuracy", "Accuracy"),
    "recall": ("sensitivity", "Sensitivity"),
    "specificity": ("specificity", "Specificity"),
    "f1": ("f1", "F1"),
}
"""Metric type of the Hub -> (figure at an operating point, name), for ``model-index``."""


def front_matter(run: TrainingRun) -> ModelCardData:
    """The card's YAML, which the Hub reads, with the figures that people compare as ``model-index``."""
    results = list(eval_results(run))
    hub_id = run.arguments.get("hub_model_id")
    tags = ["chest-x-ray", "pneumonia", "radiology", "medical-imaging", *(["pediatrics"] if run.kermany else [])]
    return ModelCardData(
        language="en",
        license="apache-2.0",
        library_name=None if run.own_head else "transformers",  # the Hub would show code that does not load it
        pipeline_tag="image-classification",
        base_model=run.base_model["hub_id"],
        datasets=[run.dataset_id] if run.dataset_id else None,
        metrics=METRICS,
        tags=[*tags, *([run.config["model_type"]] if run.config.get("model_type") else [])],
        model_name=(hub_id.split("/")[-1] if hub_id else run.folder.resolve().name) if results else None,
        eval_results=results or None,
    )


def eval_results(run: TrainingRun) -> Iterator[EvalResult]:
    """AUC, then accuracy, sensitivity, specificity and F1 at the default point and at the larger logit, a rendering.

    Four digits, with 95 % intervals; undefined figures are left out. The rest stays in metrics.json.
    """
    for rendering, record in run.tests.items():
        figures = [("roc_auc", "AUC", record["auc"], {})]
        for point in ("default", "argmax"):
            if at := record["points"].get(point):
                where = f"at the {POINTS[point]} ({decimal(at['threshold'], 4)})"
                threshold = {"threshold": round(at["threshold"], 4)}
                figures += [(kind, f"{name} {where}", at[key], threshold) for kind, (key, name) in COMPARED.items()]
        for kind, name, figure, arguments in figures:
            if value_of(figure) is None:
                continue
            interval = interval_of(figure)
            ends = {"interval_95": [round(end, 4) for end in interval]} if interval else {}
            yield EvalResult(
                task_type="image-classification",
                task_name="Image classification",
                dataset_type=run.dataset_id or run.dataset_name or "unknown",
                dataset_name=KERMANY_TITLE if run.kermany else run.dataset_name or "unknown",
                dataset_config=rendering,
                dataset_split="test",
                metric_type=kind,
                metric_name=name,
                metric_value=round(value_of(figure), 4),
                metric_args={**arguments, **ends} or None,
            )


def _rates(at: dict[str, Any]) -> list[str]:
    """Cells of ``RATES`` at an operating point. F1 is not a share of anything, so not a percentage."""
    return [ratio(at[key]) if key == "f1" else rate(at[key]) for key in RATES]


def _splits(run: TrainingRun) -> dict[str, dict[str, Any]]:
    """Name in the card -> sizes and fingerprint of each split."""
    splits = {name.replace("_", "-"): part for name, part in (run.data.get("splits") or {}).items()}
    for record in list(run.tests.values())[:1]:  # published, not split by the run: its record knows its size
        counts = {"NORMAL": record["normal"], "PNEUMONIA": record["pneumonia"]}
        splits.setdefault("test", {"images": record["n"], "patients": record["patients"], **counts, "sha256": None})
    return splits


def _shared_patients(run: TrainingRun) -> str:
    """What development, calibration and test share, as far as the run knows."""
    key, found = run.data.get("patient_key"), run.data.get("leakage") or {}
    names = "Development (training and every choice)", "calibration (temperature and thresholds)"
    if key:
        how = f"; patients are identified by {key}."
    elif key is None:
        how = ". **How patients were identified is not recorded, so they may share patients.**"
    else:
        how = ". **The data names no patients, so they may share patients.**"
    what = "patient" if key else "picture"
    if found.get("clean"):
        recorded = " that is known" if key and patients_unknown(found) else ""
        return f"{', '.join(names)} and test share no {what}{recorded}{how}"
    test = "What the test split shares with them follows below." if found else "Whether test does is not known."
    return f"{' and '.join(names)} share no {what}{how} {test}"


def _leakage(run: TrainingRun) -> list[str]:
    """Lines for a run whose development and test share something, or may do so."""
    found, lines = run.data.get("leakage") or {}, []
    if found and not found.get("clean"):
        lines.append(
            f"**Development and test share {shared_between_splits(found)}** (`--allow_leakage`): figures on the test "
            "split are too good."
        )
    if run.data.get("patient_key") and (unknown := patients_unknown(found)):
        lines.append(f"**{unknown}**: whether training has seen their patients is not known.")
    return lines


def _stages(run: TrainingRun) -> str:
    """What was trained, in the order of the recorded stages."""
    done = [stage["name"] for stage in run.metrics.get("stages") or []]
    depth = str(run.arguments.get("unfreeze_blocks") or "all")
    blocks = "all blocks" if depth == "all" else f"the upper {depth} blocks"
    if done == ["head", "fine_tuning"]:
        return f"the head on a frozen backbone, then {blocks} at a lower rate"
    if done == ["head"]:
        return "the head on a frozen backbone, and nothing else"
    if done == ["fine_tuning"]:
        scratch = run.base_model["name"] == BASELINE
        return "everything from random weights" if scratch else f"the head with {blocks}, in one stage"
    return "stages that are not recorded"


def _loss(run: TrainingRun) -> str:
    kind, weights = run.arguments.get("loss") or "weighted", run.data.get("class_weights")
    if kind != "weighted":
        return {"plain": "cross-entropy without class weights", "focal": "focal loss (gamma 2, no class weights)"}[kind]
    listed = f", weights {', '.join(decimal(weight, 4) for weight in weights)}" if weights else ""
    return f"class-weighted cross-entropy{listed}"


SETTINGS = (
    "head_epochs",
    "head_learning_rate",
    "unfreeze_blocks",
    "num_train_epochs",
    "learning_rate",
    "layer_decay",
    "head_multiplier",
    "per_device_train_batch_size",
    "weight_decay",
    "label_smoothing_factor",
    "mixup",
    "ema_decay",
    "lr_scheduler_type",
    "warmup_steps",
    "early_stopping_patience",
    "metric_for_best_model",
    "precision",
    "head",
    "loss",
)
"""Training options that the card lists."""


def _facts(run: TrainingRun) -> dict[str, Any]:
    """Settings, time, seed, software and computer of the run; empty where not recorded."""
    steps = run.arguments.get("max_steps") or 0
    settings = {name: run.arguments.get(name) for name in SETTINGS}
    settings["max_steps"] = steps if steps > 0 else None  # it, and not the epochs, ended training
    times = {stage["name"]: f"{decimal(stage['seconds'] / 60, 1)} min" for stage in run.metrics.get("stages") or []}
    return {
        "Settings": _listed(settings),
        "Time": _listed(times),
        "Seed": run.metrics.get("seed"),
        "Software": _listed(run.metrics.get("versions") or {}),
        "Machine": _listed(run.metrics.get("machine") or {}),
    }


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _agreement(run: TrainingRun) -> dict[str, dict[str, Any]]:
    """How far the answer moves when a picture is resized, compressed or blurred, by pair of renderings."""
    pairs = dict(run.metrics.get("renderings") or {})
    if originals := run.metrics.get("originals"):
        pairs["copies / full-size originals (training pictures)"] = originals["agreement"]
    return pairs


NOT = "**Not answered**"
CHECKLIST = (
    # (topic, CLAIM, TRIPOD+AI, where for the Kermany data, where for other data)
    ("Title names the method, population and outcome", "1", "1", "Title", "Title, without the population"),
    ("Summary", "2", "2", "Table at the top", "Table at the top"),
    ("Background, existing models", "3", "3a", NOT, NOT),
    ("Intended use, users, place in care", "3", "3b", "Intended use", "Intended use"),
    ("Health inequalities, fairness", "", "3c, 14", NOT, NOT),
    ("Objectives, study goal", "4, 6", "4", "Intended use", "Intended use"),
    ("Prospective or retrospective", "5", "5a", "Data", NOT),
    ("Data sources", "7", "5a", "Data", NOT),
    ("Dates", "8", "5b", f"{NOT}: not published", NOT),
    ("Setting, eligibility", "8", "6a, 6b", "Data, in part", NOT),
    ("Treatments", "", "6c", NOT, NOT),
    ("Preprocessing", "9", "7", "preprocessor_config.json", "preprocessor_config.json"),
    ("Data subsets", "10", "5a", "Data, table of splits", "Data, table of splits"),
    ("Definitions of data elements", "11", "8a, 9a", "Data", NOT),
    ("De-identification", "12", "", "Data", NOT),
    ("Missing data", "13", "11", "Not applicable: one picture is the only input", "Not applicable: one picture"),
    ("Reference standard, its rationale", "14, 15", "8a", "Data", NOT),
    ("Annotators, tools, agreement between them", "16 to 18", "8b, 8c", "Data, in part; agreement not published", NOT),
    ("Sample size", "19", "10", "Operating points: patients needed", "Operating points: patients needed"),
    ("Partitions, disjoint by patient", "20, 21", "12a", "Data, Protocol", "Data, Protocol"),
    ("Model, software, initial weights", "22 to 24", "12c, 22", "Protocol, config.json", "Protocol, config.json"),
    ("Training, choice of the final model", "25, 26", "12c, 21", "Protocol, metrics.json", "Protocol, metrics.json"),
    ("Ensembling", "27", "12c", "Not applicable: one model", "Not applicable: one model"),
    ("Class imbalance", "", "13", "Protocol: class weights", "Protocol: class weights"),
    ("Metrics, uncertainty", "28, 29", "12e", "Results", "Results"),
    ("Output, thresholds", "", "15", "Operating points", "Operating points"),
    ("Training against evaluation data", "", "16, 20c", "Data: shift between train and test", NOT),
    ("Robustness", "30", "12e", "Agreement between renderings", "Agreement between renderings"),
    ("Explainability", "31", "", "Limits: heat map", "Limits: heat map"),
    ("External validation", "32", "12d", f"{NOT}: none with this checkpoint", f"{NOT}: none recorded"),
    ("Flow and characteristics of participants", "33, 34", "20a, 20b", "Data, counts only", "Data, counts only"),
    ("Performance on all partitions, with intervals", "35, 36", "23a", "Results", "Results"),
    ("Calibration", "28", "12e, 23a", "Calibration", "Calibration"),
    ("Heterogeneity, subgroups", "36", "23b", "Subgroups", "Subgroups"),
    ("Failure analysis", "37", "", "evaluation.html", "evaluation.html"),
    ("Model updating", "", "12f, 24", "Limits: recalibrate", "Limits: recalibrate"),
    ("Limitations, interpretation", "38", "25, 26", "Limits", "Limits"),
    (
        "Implications, poor input, user interaction",
        "39",
        "27a to 27c",
        "Intended use, in part",
        "Intended use, in part",
    ),
    ("Registration, protocol", "40, 41", "18c, 18d", f"{NOT}: not registered", NOT),
    ("Ethics approval, patient involvement", "", "17, 19", NOT, NOT),
    ("Data and code sharing", "41", "18e, 18f", "Data, How to cite", NOT),
    ("Funding, conflicts of interest", "42", "18a, 18b", NOT, NOT),
)
"""Which item of two reporting guidelines is answered where in the card.

CLAIM: Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020, doi 10.1148/ryai.2020200029, items 1 to 42.
TRIPOD+AI: Collins et al., BMJ 2024, doi 10.1136/bmj-2023-078378, items 1 to 27.
"""


def _checklist(run: TrainingRun) -> list[tuple[str, str, str, str]]:
    """Rows of the checklist for this run; an item that needs missing figures is not answered."""
    answered = {
        "Subgroups": run.has_subgroups,
        "Agreement between renderings": _agreement(run),
        "Results": run.tests,
        "evaluation.html": "evaluation.html" in run.files,
        "Table at the top": run.tests,
        "Calibration": run.decision.calibrated,
        "Operating points": run.decision.points,
        "Data, table of splits": run.data.get("splits"),
        "Data, counts only": run.data.get("splits"),
        "Data, Protocol": run.data.get("splits"),
        "Protocol: class weights": run.data.get("class_weights"),
        "Protocol, metrics.json": run.metrics,
    }
    rows = []
    for topic, claim, tripod, kermany, other in CHECKLIST:
        where = kermany if run.kermany else other
        lacking = not answered.get(where, True) or not answered.get(where.split(":")[0], True)
        rows.append((topic, claim, tripod, NOT if lacking else where))
    return rows
