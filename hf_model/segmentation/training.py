"""Train the lung segmentation network on outlines drawn by people."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from hf_model.segmentation.examples import ExampleBatches, OutlinedPictures
from hf_model.segmentation.network import LungNetwork, LungNetworkConfig
from hf_model.segmentation.outline import TURNS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LungTraining:
    """Options of one training.

    small_share: of the batches, at the start, that are shown at two thirds of the side: as much is learned of where
    lungs are, in less than half of the time. last_share: of the batches, at the end, with more mild examples. average:
    decay of the exponential moving average of weights that is returned. view_weight: of the view's loss beside the
    outline's. bf16: autocast, for processors that are faster with it.
    """

    epochs: float = 62
    small_share: float = 0.5
    last_share: float = 0.4
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    average: float = 0.999
    view_weight: float = 0.05
    bf16: bool = False
    seed: int = 42


def segmentation_loss(outline: Tensor, view: Tensor, target: Tensor, views: Tensor, view_weight: float) -> Tensor:
    """Binary cross-entropy plus soft Dice of the outline, plus cross-entropies of the view.

    outline: logits (N, 1, h, w). target: the same shape, 0 to 1. view: logits (N, 6). views: int64 (N, 3).
    """
    probability = outline.sigmoid()
    overlap = (probability * target).sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)
    pixels = F.binary_cross_entropy_with_logits(outline, target)
    turns = len(TURNS)
    seen = F.cross_entropy(view[:, :turns], views[:, 0])
    seen = seen + F.binary_cross_entropy_with_logits(view[:, turns:], views[:, 1:].float())
    return pixels + dice.mean() + view_weight * seen


def train_network(
    pictures: OutlinedPictures,
    rows: np.ndarray,
    config: LungNetworkConfig,
    options: LungTraining,
    *,
    workers: int = 1,
    state: Path | None = None,
) -> LungNetwork:
    """Train on the given rows; return the averaged weights, in evaluation mode.

    Args:
        state: file that is written after every epoch, and that an interrupted training with the same options and rows
            goes on from. It is a torch file, to be deleted when the weights are saved.
    """
    torch.manual_seed(options.seed)
    network = LungNetwork(config).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    steps = max(1, math.ceil(options.epochs * len(rows) / options.batch_size))
    sizes = [_small(config.size) if step < options.small_share * steps else config.size for step in range(steps)]
    last = round(options.last_share * steps)
    batches = ExampleBatches(pictures, rows, sizes, options.batch_size, options.seed, last)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=steps, pct_start=0.1, div_factor=10, final_div_factor=100
    )
    parts = {"network": network, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    identity = json.dumps([asdict(config), asdict(replace(options, bf16=False)), [pictures.names[i] for i in rows]])
    start = _restore(state, parts, identity)
    remaining = Subset(batches, range(start, steps))
    loader = DataLoader(remaining, batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None)
    an_epoch = max(1, len(rows) // options.batch_size)
    started, losses = time.perf_counter(), []
    network.train()
    for step, (grey, target, views) in enumerate(tqdm(loader, desc="lungs", mininterval=10), start):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            outline, view = network(grey.contiguous(memory_format=torch.channels_last))
        loss = segmentation_loss(outline.float(), view.float(), target, views, options.view_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        _average(averaged, network, min(options.average, (step + 1) / (step + 10)))
        losses.append(loss.item())
        if (step + 1) % an_epoch == 0:
            mean = np.mean(losses[-an_epoch:])
            logger.info("epoch %d: loss %.4f, %.0f s", (step + 1) // an_epoch, mean, time.perf_counter() - started)
            _store(state, parts, identity, step + 1)
    return averaged


def _store(state: Path | None, parts: dict[str, Any], identity: str, steps: int) -> None:
    if state is None:
        return
    draft = state.with_name(f"{state.name}.draft")
    content = {name: part.state_dict() for name, part in parts.items()}
    torch.save(content | {"identity": identity, "steps": steps}, draft)
    draft.replace(state)


def _restore(state: Path | None, parts: dict[str, Any], identity: str) -> int:
    """Load what ``_store`` wrote and return the number of steps done; 0 for no file or one of another training."""
    if state is None or not state.is_file():
        return 0
    content = torch.load(state, weights_only=True)
    if content["identity"] != identity:
        logger.warning("%s is of a training with other options or pictures; starting anew.", state)
        return 0
    for name, part in parts.items():
        part.load_state_dict(content[name])
    logger.info("Resumed after %d steps.", content["steps"])
    return content["steps"]


def _small(size: int) -> int:
    """Two thirds of a side, as a multiple of 16."""
    return max(32, round(size / 24) * 16)


@torch.no_grad()
def _average(averaged: LungNetwork, network: LungNetwork, decay: float) -> None:
    """Weights and BatchNorm statistics alike, one step of the moving average."""
    for mean, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(new, 1 - decay)
        else:
            mean.copy_(new)
