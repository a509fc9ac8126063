"""Stage one without running the backbone in every epoch: its features are computed once per augmented view."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from hf_model.modeling.freezing import head_of


class FeatureRows(Dataset):
    """Features (N, D) with labels (N,), as items that torch's default collator batches."""

    def __init__(self, features: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor | None = None) -> None:
        self.features, self.labels, self.targets = features, labels, targets

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        item = {"pixel_values": self.features[row], "labels": self.labels[row]}
        return item if self.targets is None else item | {"targets": self.targets[row]}


class HeadOnFeatures(nn.Module):
    """The model's own dropout and head, fed with stored features. Training it trains the model's head in place."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        dropout = getattr(model, "dropout", None)
        self.dropout = nn.Dropout(dropout.p if isinstance(dropout, nn.Dropout) else 0.0)
        self.classifier = head_of(model)
        self.config = model.config  # Trainer looks into it

    def forward(self, pixel_values: torch.Tensor, **_: object) -> ImageClassifierOutputWithNoAttention:
        return ImageClassifierOutputWithNoAttention(logits=self.classifier(self.dropout(pixel_values)))


@torch.inference_mode()
def compute_features(
    model: nn.Module, batches: DataLoader, device: torch.device, what: str, *, bf16: bool = False
) -> dict[str, torch.Tensor]:
    """What the head gets to see of each picture, backbone and BatchNorms in evaluation mode.

    Args:
        batches: of ``pixel_values``, ``labels`` and possibly ``targets``.
        what: name for the progress bar.
        bf16: compute in bfloat16: for features that a head learns from, not for figures.

    Returns:
        ``features`` float32 (N, D) on the CPU, ``labels`` (N,), and ``targets`` (N, 2) where the batches had them.
    """
    was_training = model.training
    model.eval()
    seen: list[torch.Tensor] = []
    hook = head_of(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().cpu()))
    parts: dict[str, list[torch.Tensor]] = {}
    try:
        for batch in tqdm(batches, desc=f"features of {what}", leave=False):
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                model(pixel_values=batch["pixel_values"].to(device))
            for key in ("labels", "targets"):
                if key in batch:
                    parts.setdefault(key, []).append(batch[key])
    finally:
        hook.remove()
        model.train(was_training)
    return {"features": torch.cat(seen)} | {key: torch.cat(values) for key, values in parts.items()}


@torch.inference_mode()
def compute_logits(model: nn.Module, batches: DataLoader, device: torch.device, what: str) -> np.ndarray:
    """Logits float32 (N, 2) of every picture, in order, in evaluation mode."""
    model.eval()
    out = [
        model(pixel_values=batch["pixel_values"].to(device)).logits.float().cpu()
        for batch in tqdm(batches, desc=what, leave=False)
    ]
    return torch.cat(out).numpy()
