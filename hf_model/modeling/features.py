"""Run a network over pictures: features that a head is trained on without the backbone, and logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from hf_model.modeling.freezing import head_of
from hf_model.radiograph.preprocess import Preprocessing


class PictureRows(Dataset):
    """Pictures without augmentation: (uint8 (H, W), label). They stay in their memory map until asked for.

    Args:
        pixels: uint8 (M, H, W). labels: (N,). rows: which pictures, (N,); None for all in order.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.pixels, self.labels = pixels, labels
        self.rows = np.arange(len(labels)) if rows is None else rows

    @classmethod
    def of_rendering(cls, pixels: np.ndarray, index: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> PictureRows:
        """Those of the pictures ``rows`` that a rendering has.

        Args:
            pixels: uint8 (M, H, W), the rendering. index: int64 (N,), which of them shows picture n, or -1.
            rows: picture numbers wanted. labels: (N,).
        """
        there = rows[index[rows] >= 0]
        return cls(pixels, labels[there], index[there])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return self.pixels[self.rows[row]], int(self.labels[row])


@dataclass
class PictureCollator:
    """(picture, label) pairs -> ``pixel_values`` by the serving code, ``Preprocessing.normalize``, and ``labels``."""

    preprocessing: Preprocessing

    def __call__(self, items: list[tuple[np.ndarray, int]]) -> dict[str, torch.Tensor]:
        pixels = self.preprocessing.normalize(np.stack([picture for picture, _ in items]))
        tensor = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
        return {"pixel_values": tensor, "labels": torch.tensor([label for _, label in items])}


def picture_batches(rows: Dataset, preprocessing: Preprocessing) -> DataLoader:
    """Batches of 64 for ``compute_features`` and ``compute_logits``, preprocessed as for serving."""
    return DataLoader(rows, batch_size=64, collate_fn=PictureCollator(preprocessing))


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
