"""The card's YAML front matter: what the Hub reads, with every test figure as ``model-index``."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_model.hub.card_run import POINTS, Run, value_of

METRICS = ["accuracy", "recall", "precision", "f1", "roc_auc"]
OF_RECORD = {"auc": "roc_auc", "average_precision": "average_precision", "brier": "brier_score"}
"""Entry of an evaluation record -> metric type of the Hub; the same for OF_POINT at a threshold."""
OF_POINT = {
    "accuracy": "accuracy",
    "sensitivity": "recall",
    "specificity": "specificity",
    "ppv": "precision",
    "f1": "f1",
}
NAMES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Positive predictive value",
    "f1": "F1",
}


def front_matter(run: Run) -> ModelCardData:
    """The card's metadata. Figures are the very numbers of metrics.json and parse back to them."""
    results = eval_results(run)
    tags = ["chest-x-ray", "pneumonia", "radiology", "medical-imaging", *(["pediatrics"] if run.kermany else [])]
    return ModelCardData(
        language="en",
        license="apache-2.0",
        library_name=None if run.own_head else "transformers",  # the Hub would show code that does not load it
        pipeline_tag="image-classification",
        base_model=run.base_model[1],
        datasets=[run.dataset_id] if run.dataset_id else None,
        metrics=METRICS,
        tags=[*tags, *([run.config["model_type"]] if run.config.get("model_type") else [])],
        model_name=model_name(run) if results else None,
        eval_results=results or None,
    )


def model_name(run: Run) -> str:
    """The repository's name where it is known, else the folder's."""
    hub_id = run.argument("hub_model_id")
    return str(hub_id).split("/")[-1] if hub_id else run.folder.resolve().name


def eval_results(run: Run) -> list[EvalResult]:
    """One result a figure, rendering by rendering; what is undefined is left out."""
    results = []
    for rendering, record in run.tests.items():
        results += [_result(run, rendering, key, kind, record.get(key), None) for key, kind in OF_RECORD.items()]
        for point in POINTS:
            figures = (record.get("points") or {}).get(point) or {}
            results += [
                _result(run, rendering, key, kind, figures.get(key), (point, figures["threshold"]))
                for key, kind in OF_POINT.items()
                if key in figures
            ]
    return [result for result in results if result is not None]


def _result(
    run: Run, rendering: str, key: str, kind: str, figure: Any, point: tuple[str, float] | None
) -> EvalResult | None:
    value = value_of(figure)
    if value is None:
        return None
    name = NAMES[key] + (f" at the {POINTS[point[0]]} point (threshold {point[1]:.4f})" if point else "")
    interval = figure.get("interval") if isinstance(figure, dict) else None
    arguments = {"threshold": point[1]} if point else {}
    return EvalResult(
        task_type="image-classification",
        task_name="Image classification",
        dataset_type=run.dataset_id or run.dataset_name or "unknown",
        dataset_name=run.dataset_title,
        dataset_config=rendering,
        dataset_split="test",
        metric_type=kind,
        metric_name=name,
        metric_value=value,
        metric_args={**arguments, **({"interval_95": list(interval)} if interval else {})} or None,
    )
