"""A complete tiny checkpoint for the page's tests: random weights, made-up scores, a decision fitted to the phantom."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification

from hf_model.config import ID2LABEL, LABEL2ID
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.export import export
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.metrics.record import evaluation_record
from hf_model.metrics.scores import Scores
from hf_model.radiograph import Preprocessing, read_radiograph
from hf_model.radiograph.population import KERMANY

SIDE = 64
THRESHOLDS = {"default": 0.412345, "rule_out": 0.2, "rule_in": 0.7}
TARGETS = {"clear": 0.08, "sick": 0.87}
"""Probabilities that the decision gives the clear and the sick phantom."""


def build(folder: Path, clear: bytes, sick: bytes) -> Path:
    """Write the checkpoint into a new folder and return it; ``clear`` and ``sick`` are the phantom's files."""
    preprocessing = Preprocessing(height=SIDE, width=SIDE)
    model = _model(seed=0)
    _tell_apart(model, *(preprocessing(read_radiograph(data).pixels) for data in (clear, sick)))
    model.save_pretrained(folder)
    preprocessing.save(folder)
    classifier = Classifier.from_pretrained(folder, engine="torch")
    margins = {}
    for kind, data in (("clear", clear), ("sick", sick)):
        normal, pneumonia = classifier.predict(data, heat_map=False).logits
        margins[kind] = pneumonia - normal
    decision = _decision(margins)
    decision.save(folder)
    scores = _scores(decision)
    scores.to_csv(folder / "scores" / "test.csv")
    record = evaluation_record(scores, decision, replicates=20)
    splits = {"development_train": {"images": 3657, "patients": 2100, "NORMAL": 945, "PNEUMONIA": 2712}}
    data = {"dataset": "made up for tests", "splits": splits, "population": KERMANY.to_dict()}
    metrics = {"test": {"test": record}, "data": data}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Tiny card\n\nFor tests.\n", encoding="utf-8")
    export(Checkpoint.open(folder))
    return folder


def _model(seed: int) -> nn.Module:
    config = EfficientNetConfig(
        width_coefficient=0.1,
        depth_coefficient=0.1,
        hidden_dim=128,
        image_size=SIDE,
        hidden_act="relu6",
        id2label=ID2LABEL,
        label2id=LABEL2ID,
    )
    model = EfficientNetForImageClassification(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                # transformers draws these near zero, and the model would put out zeros.
                module.weight.fill_(1.0)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, generator=generator)
    return model


def _tell_apart(model: nn.Module, clear: np.ndarray, sick: np.ndarray) -> None:
    """Set the classifier to the line between the two phantoms' features, so that its map lights what differs."""
    with torch.no_grad():
        features = model.efficientnet(torch.from_numpy(np.concatenate([clear, sick]))).pooler_output
        line = features[1] - features[0]
        line *= 4 / line.square().sum()
        model.classifier.weight[1] = line
        model.classifier.weight[0] = 0
        model.classifier.bias[:] = 0


def _decision(margins: dict[str, float]) -> Decision:
    """The temperature and bias that give both phantoms their target probability (a line through two points)."""
    wanted = {kind: float(np.log(share / (1 - share))) for kind, share in TARGETS.items()}
    slope = (wanted["sick"] - wanted["clear"]) / (margins["sick"] - margins["clear"])
    assert slope > 0, f"this seed calls the clear phantom sicker: {margins}"
    proof = {"errors": 3, "allowed_errors": 5, "lower_bound": 0.951, "patients": 300, "patients_needed": 59}
    points = {
        name: OperatingPoint(
            name=name,
            kind="specificity" if name == "rule_in" else "sensitivity",
            target=0.95,
            confidence=0.95,
            threshold=threshold,
            **proof,
        )
        for name, threshold in THRESHOLDS.items()
    }
    bias = wanted["sick"] - slope * margins["sick"]
    return Decision(temperature=1 / slope, bias=bias, prevalence=0.74, points=points)


def _scores(decision: Decision) -> Scores:
    """Made-up held-out logits: 40 normal and 60 with pneumonia, log-odds normal around -2 and 2."""
    draw = np.random.default_rng(7)
    labels = np.repeat([0, 1], [40, 60])
    log_odds = draw.normal(np.where(labels == 1, 2.0, -2.0), 1.5)
    margin = (log_odds - decision.bias) * decision.temperature
    names = [f"held-out-{number}.png" for number in range(len(labels))]
    return Scores(np.stack([np.zeros_like(margin), margin], axis=1), labels, names, names)
