"""A small finished run for the card's tests: figures made up and plainly so, structure as training writes it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from hf_model.metrics.decision import Decision, OperatingPoint

SHA = "0123456789abcdef" * 4


def rate(value: float) -> dict:
    around = {"interval": [value - 0.0625, value + 0.0078125], "cluster_interval": [value - 0.125, value + 0.01171875]}
    return {"value": value, **around}


def point(threshold: float, tn: int, fp: int, fn: int, tp: int) -> dict:
    """Rates of the four counts, worked out here."""
    sensitivity, specificity, ppv, npv = tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)
    rates = {"accuracy": (tp + tn) / (tp + tn + fp + fn), "sensitivity": sensitivity, "specificity": specificity}
    rates |= {"ppv": ppv, "npv": npv, "f1": 2 * tp / (2 * tp + fp + fn), "balanced_accuracy": sensitivity}
    return {
        "threshold": threshold,
        "confusion": {"tn": tn, "fp": fp, "fn": fn, "tp": tp},
        **{name: rate(value) for name, value in rates.items()},
        "precision": ppv,
        "recall": sensitivity,
    }


def record(auc: float, n: int = 40) -> dict:
    return {
        "n": n,
        "patients": n - 10,
        "normal": 16,
        "pneumonia": n - 16,
        "prevalence": (n - 16) / n,
        "loss": 0.25,
        "auc": {**rate(auc), "method": "DeLong"},
        "average_precision": rate(0.9625),
        "brier": 0.0625,
        "mean_probability": 0.5625,
        "ece": {
            "bins": 10,
            "binned": 0.03125,
            "expected_if_calibrated": 0.025,
            "adaptive": 0.0375,
            "debiased_rms": 0.0,
        },
        "points": {"argmax": point(0.46875, 12, 4, 3, 21), "default": point(0.375, 11, 5, 2, 22), "rule_out": None},
        "subgroups": {"aetiology": {"bacteria": {"n": 14, "sensitivity": rate(0.9375)}}},
        "guarantees": {"default": {"verdict": "holds", "sentence": "The promise holds here: 2 of 24."}},
        "shift": {"sentence": "In log-odds against the calibration pictures, normal pictures score 1.00 higher."},
    }


def agreement(n: int, mean: float) -> dict:
    flips = {"default": {"threshold": 0.375, "count": 2, "to_normal": 2, "to_pneumonia": 0}}
    largest = {"largest_difference": 0.25, "largest_difference_name": "a.jpeg", "percentile_95": 0.125}
    return {"n": n, "mean_absolute_difference": mean, **largest, "flips": flips, "answers_changed": 3}


def engine(difference: float, flips: int) -> dict:
    return {
        "n": 40,
        "max_logit_difference": difference,
        "max_probability_difference": difference / 8,
        "flips": flips,
        "band": 0.01,
        "flips_outside_band": 0,
    }


def checks(flagged: int) -> dict:
    shares = {name: {"count": 0, **rate(0.0625)} for name in ("refused", "feature_gate", "cheap_checks")}
    return {"n": 40, "flagged": {"count": flagged, **rate(flagged / 40)}, **shares, "codes": {}}


def metrics() -> dict:
    split = {"images": 80, "patients": 60, "NORMAL": 30, "PNEUMONIA": 50, "sha256": SHA}
    names = ("development_train", "development_validation", "calibration")
    counts = {"train": (1341, 3875), "validation": (8, 8), "test": (234, 390)}
    return {
        "schema_version": "1.0",
        "command": "python train.py --dataset /home/someone/xray",
        "arguments": {"hub_model_id": "someone/chest", "num_train_epochs": 4, "learning_rate": 0.0004, "dataset": "x"}
        | {"evidence_weight": 0.5},
        "seed": 7,
        "machine": {"cores": 2, "accelerator": None},
        "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
        "base_model": {"name": "efficientnet-b0", "hub_id": "google/efficientnet-b0"},
        "weights_sha256": SHA,
        "data": {
            "dataset": "/home/someone/xray",
            "renderings": ["xray", "xray-sharp"],
            "sha256": "f" * 16,
            "patient_key": "file name",
            "leakage": {"clean": True, "allowed": False, "counts": {"patients": 0, "pixels": 0, "near": 0}},
            "published": {name: {"NORMAL": pair[0], "PNEUMONIA": pair[1]} for name, pair in counts.items()},
            "splits": dict.fromkeys(names, split),
            "class_weights": [1.9448, 0.6730],
        },
        "stages": [{"name": "head", "seconds": 90}, {"name": "fine_tuning", "seconds": 600.0}],
        "development_validation": record(0.9875),
        "calibration": record(0.975),
        "test": {"xray": record(0.9375), "xray-sharp": record(0.90625)},
        "test_openings": [
            {
                "when": "2026-01-02T03:04:05Z",
                "weights_sha256": SHA,
                "renderings": ["xray", "xray-sharp"],
                "by": "train.py",
            }
        ],
        "renderings": {"xray / xray-sharp": agreement(40, 0.03125)},
        "engines": {"openvino-f32": {"xray": engine(0.000125, 1)}},
        "gate": {"quantile": 0.993, "test": {"xray": checks(1)}},
        "guidance": {
            "by_people": 1100,
            "by_network": 140,
            "style_auc": {"development_train": 0.96875, "development_validation": 0.9375},
            "largest_weight": 6.25,
        },
        "originals": {
            "pictures": 8,
            "of_development_train": 6,
            "accuracy_at_0.5": 0.875,
            "accuracy_at_threshold": 1.0,
            "agreement": agreement(8, 0.046875),
        },
    }


def other_hospital() -> dict:
    """The same run on a data set that is not the known one."""
    changed = copy.deepcopy(metrics())
    changed["data"]["published"]["test"]["NORMAL"] = 235
    changed["data"]["dataset"] = "clinic/our-xrays"
    return changed


def decision() -> Decision:
    points = {
        "default": OperatingPoint("default", "sensitivity", 0.95, 0.95, 0.375, 90, 59, 1, 1, 0.9515),
        "rule_out": OperatingPoint("rule_out", "sensitivity", 0.99, 0.95, None, 90, 299),
        "rule_in": OperatingPoint("rule_in", "specificity", 0.95, 0.95, 0.875, 93, 59, 0, 1, 0.9683),
    }
    return Decision(1.25, -0.125, 0.625, points, {"pictures": 80})


def write_run(folder: Path, content: dict | None) -> Path:
    """Write the run's JSON files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["EfficientNetForImageClassification"], "model_type": "efficientnet"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    size = {"size": {"height": 224, "width": 224}}
    (folder / "preprocessor_config.json").write_text(json.dumps(size), encoding="utf-8")
    if content is not None:
        (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
        decision().save(folder)
        for name in ("evaluation.html", "figures/roc.png", "figures/reliability.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
    return folder
