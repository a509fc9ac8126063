"""Builders of tiny checkpoints with random weights that answer differently for different pictures; no data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification

from hf_model.config import ID2LABEL, LABEL2ID
from hf_model.metrics.decision import Decision, OperatingPoint
from hf_model.radiograph import Preprocessing

SIDE = 64


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Give a random model activations of order one: transformers initialises an EfficientNet to put out zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1.0)
                module.running_mean.normal_(0.0, 0.05, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, generator=generator)
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 0.4, generator=generator)
                module.bias.normal_(0.0, 0.4, generator=generator)


def neutralise(model: nn.Module) -> None:
    """Make every squeeze-excite gate neutral, as the conversion of efficientnet-lite0 does."""
    with torch.no_grad():
        for block in model.efficientnet.encoder.blocks:
            block.squeeze_excite.expand.weight.zero_()
            block.squeeze_excite.expand.bias.fill_(40.0)


def build(folder: Path, *, neutral: bool = True, activation: str = "relu6", seed: int = 0, swap: bool = False) -> Path:
    """Save a tiny EfficientNet with its preprocessing into a new folder; ``swap`` stores PNEUMONIA as row 0."""
    id2label = {0: "PNEUMONIA", 1: "NORMAL"} if swap else ID2LABEL
    config = EfficientNetConfig(
        width_coefficient=0.1,
        depth_coefficient=0.1,
        hidden_dim=128,
        image_size=SIDE,
        hidden_act=activation,
        id2label=id2label,
        label2id={label: index for index, label in id2label.items()} if swap else LABEL2ID,
    )
    model = EfficientNetForImageClassification(config).eval()
    randomise(model, seed)
    if neutral:
        neutralise(model)
    model.save_pretrained(folder)
    Preprocessing(height=SIDE, width=SIDE).save(folder)
    return folder


def decision() -> Decision:
    """A calibrated decision with a refer band from 0.3 to 0.8 around its threshold of 0.6."""
    shared = {"target": 0.9, "confidence": 0.9, "patients": 100, "patients_needed": 22}
    proof = {"errors": 3, "allowed_errors": 5, "lower_bound": 0.92}
    points = {
        name: OperatingPoint(name=name, kind=kind, threshold=threshold, **shared, **proof)
        for name, kind, threshold in (
            ("default", "sensitivity", 0.6),
            ("rule_out", "sensitivity", 0.3),
            ("rule_in", "specificity", 0.8),
        )
    }
    return Decision(temperature=1.5, bias=-0.2, prevalence=0.7, points=points)


def pictures(count: int, seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Smooth random grey pictures uint8 (count, side, side)."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (count, 8, 8))
    return np.clip(
        np.kron(coarse, np.ones((side // 8, side // 8))) + generator.normal(0, 5, (count, side, side)), 0, 255
    ).astype(np.uint8)
