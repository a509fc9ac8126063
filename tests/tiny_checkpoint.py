"""One tiny EfficientNet (64 px, random weights) and the checkpoint folders that tests make of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from generated import chest
from torch import nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification

from hf_model.config import ID2LABEL
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
"""Probabilities that the decision of ``complete_folder`` gives the clear and the sick phantom."""


def tiny_model(
    *, seed: int = 0, activation: str = "relu6", id2label: dict[int, str] = ID2LABEL
) -> EfficientNetForImageClassification:
    """The network, in evaluation mode; BatchNorms start at 1, because transformers' own start lets it output zeros."""
    config = EfficientNetConfig(
        width_coefficient=0.1,
        depth_coefficient=0.1,
        hidden_dim=128,
        image_size=SIDE,
        hidden_act=activation,
        id2label=id2label,
        label2id={label: index for index, label in id2label.items()},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EfficientNetForImageClassification(config)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    return model.eval()


def save(model: EfficientNetForImageClassification, folder: Path) -> Path:
    """Save the model with its preprocessing into a new folder, which is returned."""
    model.save_pretrained(folder)
    Preprocessing(height=SIDE, width=SIDE).save(folder)
    return folder


def base_folder(folder: Path) -> Path:
    """A base checkpoint: its BatchNorms have the statistics of generated chests, as a pre-trained one's would."""
    model = tiny_model()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over batches
    grey = np.stack([chest(seed, pneumonia=seed % 2 == 1) for seed in range(32)])
    with torch.no_grad():
        model.train()(pixel_values=torch.from_numpy(Preprocessing(height=SIDE, width=SIDE).normalize(grey)))
    return save(model, folder)


def random_folder(
    folder: Path, *, neutral: bool = True, activation: str = "relu6", seed: int = 0, swap: bool = False
) -> Path:
    """A checkpoint with logits of order one that differ between pictures, as transformers saves it: no decision.json.

    neutral: its squeeze-excite layers multiply by 1, as those of efficientnet-lite0 do. swap: PNEUMONIA is row 0.
    """
    id2label = {0: "PNEUMONIA", 1: "NORMAL"} if swap else ID2LABEL
    model = tiny_model(seed=seed, activation=activation, id2label=id2label)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.05, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 0.4, generator=generator)
                module.bias.normal_(0.0, 0.4, generator=generator)
        for block in model.efficientnet.encoder.blocks if neutral else ():
            block.squeeze_excite.expand.weight.zero_()
            block.squeeze_excite.expand.bias.fill_(40.0)
    return save(model, folder)


def exported_folder(folder: Path) -> Path:
    """``random_folder`` with the graph, a small metrics.json, and a decision: threshold 0.6, refer band 0.3 to 0.8."""
    random_folder(folder)
    points = operating_points({"default": 0.6, "rule_out": 0.3, "rule_in": 0.8}, target=0.9, patients=100)
    Decision(temperature=1.5, bias=-0.2, prevalence=0.7, points=points).save(folder)
    (folder / "metrics.json").write_text(json.dumps({"seed": 1}), encoding="utf-8")
    export(Checkpoint.open(folder))
    return folder


def complete_folder(folder: Path, clear: bytes, sick: bytes) -> Path:
    """All files of a published checkpoint, with made-up scores; ``clear`` and ``sick`` are files of the phantom.

    The classifier lies on the line between the two phantoms' features, so that its map shows what differs, and the
    decision gives them the probabilities of ``TARGETS``.
    """
    preprocessing = Preprocessing(height=SIDE, width=SIDE)
    model = tiny_model()
    pixels = np.concatenate([preprocessing(read_radiograph(data).pixels) for data in (clear, sick)])
    with torch.no_grad():
        features = model.efficientnet(torch.from_numpy(pixels)).pooler_output
        line = features[1] - features[0]
        model.classifier.weight[1] = line * 4 / line.square().sum()
        model.classifier.weight[0] = 0
        model.classifier.bias[:] = 0
    save(model, folder)
    classifier = Classifier.from_pretrained(folder, engine="torch")
    logits = [classifier.predict(data, heat_map=False).logits for data in (clear, sick)]
    margins = [pneumonia - normal for normal, pneumonia in logits]
    wanted = [float(np.log(share / (1 - share))) for share in (TARGETS["clear"], TARGETS["sick"])]
    slope = (wanted[1] - wanted[0]) / (margins[1] - margins[0])
    decision = Decision(
        temperature=1 / slope,
        bias=wanted[1] - slope * margins[1],
        prevalence=0.74,
        points=operating_points(THRESHOLDS, target=0.95, patients=300),
    )
    decision.save(folder)
    scores = _held_out_scores(decision)
    scores.to_csv(folder / "scores" / "test.csv")
    record = evaluation_record(scores, decision, replicates=20)
    splits = {"development_train": {"images": 3657, "patients": 2100, "NORMAL": 945, "PNEUMONIA": 2712}}
    data = {"dataset": "made up for tests", "splits": splits, "population": KERMANY.to_dict()}
    metrics = {"test": {"test": record}, "data": data}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Tiny card\n\nFor tests.\n", encoding="utf-8")
    export(Checkpoint.open(folder))
    return folder


def operating_points(thresholds: dict[str, float], *, target: float, patients: int) -> dict[str, OperatingPoint]:
    """Points of these names and thresholds with a made-up proof."""
    return {
        name: OperatingPoint(
            name=name,
            kind="specificity" if name == "rule_in" else "sensitivity",
            target=target,
            confidence=target,
            threshold=threshold,
            errors=3,
            allowed_errors=5,
            lower_bound=target + 0.001,
            patients=patients,
            patients_needed=59,
        )
        for name, threshold in thresholds.items()
    }


def _held_out_scores(decision: Decision) -> Scores:
    """Made-up held-out logits: 40 normal and 60 with pneumonia, log-odds normal around -2 and 2."""
    draw = np.random.default_rng(7)
    labels = np.repeat([0, 1], [40, 60])
    log_odds = draw.normal(np.where(labels == 1, 2.0, -2.0), 1.5)
    margin = (log_odds - decision.bias) * decision.temperature
    names = [f"held-out-{number}.png" for number in range(len(labels))]
    return Scores(np.stack([np.zeros_like(margin), margin], axis=1), labels, names, names)
