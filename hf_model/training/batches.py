"""Augmented pictures for training, and one fixed augmented view for validation."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.data import Dataset

from hf_model.data.augmentation import AugmentationArguments, Augmenter, mixup
from hf_model.modeling.features import PictureRows
from hf_model.radiograph.preprocess import Preprocessing


def generator_for(seed: int, epoch: int, rows: Sequence[int]) -> torch.Generator:
    """A generator that depends on what is drawn for, not on what was drawn before."""
    key = zlib.crc32(np.asarray([seed, epoch, *rows], dtype=np.int64).tobytes())
    return torch.Generator().manual_seed((seed << 32) ^ key)


class TrainingRows(Dataset):
    """Row numbers with the epoch they are drawn in; pictures are fetched by the batch.

    Attributes:
        renderings: for each rendering a uint8 array (M, H, W) and int64 (N,), which row of it shows picture n, or -1.
        labels: int64 (N,).
    """

    def __init__(self, renderings: list[tuple[np.ndarray, np.ndarray]], labels: np.ndarray) -> None:
        self.renderings, self.labels, self.epoch = renderings, labels, 0
        # how many renderings a picture has, and which: to draw one uniformly
        self.available = np.stack([rows >= 0 for _, rows in renderings], axis=1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[int, int]:
        return int(row), self.epoch

    def pictures(self, rows: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """uint8 (B, H, W): each picture in one of its renderings, drawn by ``generator``."""
        out = []
        for row, draw in zip(rows, torch.rand(len(rows), generator=generator).tolist(), strict=True):
            choices = np.flatnonzero(self.available[row])
            pixels, index = self.renderings[choices[int(draw * len(choices))]]
            out.append(pixels[index[row]])
        return torch.from_numpy(np.stack(out))


@dataclass
class TrainingCollator:
    """Rows -> ``pixel_values`` (B, 3, h, w), ``labels`` (B,), ``targets`` (B, 2), by seed, epoch and rows alone."""

    rows: TrainingRows
    preprocessing: Preprocessing
    augmentation: AugmentationArguments
    label_smoothing: float
    seed: int

    def __post_init__(self) -> None:
        self.augment = Augmenter(self.augmentation)

    def __call__(self, items: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
        rows, epoch = [row for row, _ in items], items[0][1]
        generator = generator_for(self.seed, epoch, rows)
        x = self.augment(self.rows.pictures(rows, generator), generator)
        labels = torch.from_numpy(self.rows.labels[rows])
        targets = F.one_hot(labels, 2).to(torch.float32)
        x, targets = mixup(x, targets, self.augmentation.mixup, generator)
        targets = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return {"pixel_values": normalised(x, self.preprocessing), "labels": labels, "targets": targets}


def normalised(x: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """float (B, h, w) in 0 to 1 -> float32 (B, 3, h, w) as the image processor gives it, channels last in memory."""
    scale = 255 * preprocessing.rescale_factor
    mean = torch.tensor(preprocessing.mean, dtype=torch.float32)[None, :, None, None]
    std = torch.tensor(preprocessing.std, dtype=torch.float32)[None, :, None, None]
    return ((x.unsqueeze(1) * scale - mean) / std).contiguous(memory_format=torch.channels_last)


class AugmentedRows(PictureRows):
    """One fixed augmented view of pictures: development data under the shift that training prepares for.

    Development pictures as they are come from the distribution of training and are nearly all classified correctly;
    the published test pictures come from another. This view keeps the choice of the best state from being a toss-up.
    Each picture's variation depends on the seed and the picture alone.
    """

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray, augmentation: AugmentationArguments, seed: int
    ) -> None:
        super().__init__(pixels, labels, rows)
        self.augment, self.seed = Augmenter(augmentation), seed

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        picture, label = super().__getitem__(row)
        generator = generator_for(self.seed, 0, [int(self.rows[row])])
        varied = self.augment(torch.from_numpy(np.array(picture)[None]), generator)[0]
        return (varied * 255).round().to(torch.uint8).numpy(), label
