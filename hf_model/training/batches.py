"""Augmented pictures for training, and one fixed augmented view for validation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.data import ConcatDataset, Dataset, Sampler

from hf_model.data.augmentation import AugmentationArguments, Augmenter, mixup
from hf_model.data.prepare import VALIDATION, DevelopmentData
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
        outlines: for each rendering uint8 (M, H, W), 0 outside the lungs to 255 inside, all 255 where the lungs of
            a picture are not known; or None.
        weights: float (N,), how often each picture is drawn, relative to the others; None for every one once an epoch.
    """

    def __init__(
        self,
        renderings: list[tuple[np.ndarray, np.ndarray]],
        labels: np.ndarray,
        outlines: list[np.ndarray] | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self.renderings, self.labels, self.outlines, self.weights = renderings, labels, outlines, weights
        self.epoch = 0
        # how many renderings a picture has, and which: to draw one uniformly
        self.available = np.stack([rows >= 0 for _, rows in renderings], axis=1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[int, int]:
        return int(row), self.epoch

    def pictures(self, rows: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        """uint8 (B, H, W): each picture in one of its renderings, drawn by ``generator``."""
        return self.draw(rows, generator)[0]

    def draw(self, rows: Sequence[int], generator: torch.Generator) -> list[torch.Tensor]:
        """Pictures as ``pictures`` draws them, uint8 (B, H, W), and with outlines those of the same renderings."""
        chosen = []
        for row, draw in zip(rows, torch.rand(len(rows), generator=generator).tolist(), strict=True):
            choices = np.flatnonzero(self.available[row])
            number = choices[int(draw * len(choices))]
            chosen.append((number, self.renderings[number][1][row]))
        maps = [[pixels for pixels, _ in self.renderings]] + ([] if self.outlines is None else [self.outlines])
        return [torch.from_numpy(np.stack([kind[number][row] for number, row in chosen])) for kind in maps]


class WeightedRows(Sampler[int]):
    """As many rows as there are, drawn by ``TrainingRows.weights``, another draw every epoch.

    By systematic sampling: a row of weight w, mean 1, comes floor(w) or ceil(w) times, so that chance leaves out as few
    rows as it can. The draw depends on seed and epoch alone, so a resumed run goes on with the rows it would have had.
    """

    def __init__(self, rows: TrainingRows, seed: int) -> None:
        self.rows, self.seed = rows, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        generator = generator_for(self.seed, self.rows.epoch, [])
        count, weights = len(self.rows), torch.as_tensor(self.rows.weights, dtype=torch.float64)
        order = torch.randperm(count, generator=generator)
        ends = (weights[order] / weights.sum() * count).cumsum(0)
        points = torch.arange(count, dtype=torch.float64) + torch.rand(1, generator=generator, dtype=torch.float64)
        drawn = order[torch.searchsorted(ends, points, right=True).clamp(max=count - 1)]
        yield from drawn[torch.randperm(count, generator=generator)].tolist()


@dataclass
class TrainingCollator:
    """Rows -> ``pixel_values`` (B, 3, h, w), ``labels`` (B,), ``targets`` (B, 2), by seed, epoch and rows alone.

    With outlines also ``lungs``, float (B, h, w), 0 outside to 1 inside, on the pictures as they are augmented.
    """

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
        pictures, *lungs = self.rows.draw(rows, generator)
        if lungs:
            x, *lungs = self.augment(pictures, generator, *lungs)
        else:
            x = self.augment(pictures, generator)
        labels = torch.from_numpy(self.rows.labels[rows])
        targets = F.one_hot(labels, 2).to(torch.float32)
        x, targets, *lungs = mixup(x, targets, self.augmentation.mixup, generator, *lungs)
        targets = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        batch = {"pixel_values": normalised(x, self.preprocessing), "labels": labels, "targets": targets}
        return batch | ({"lungs": lungs[0]} if lungs else {})


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


def validation_views(
    data: DevelopmentData, augmentation: AugmentationArguments, seed: int
) -> tuple[ConcatDataset, np.ndarray]:
    """Development-validation in every rendering and one augmented view, and which picture each item shows.

    Returns:
        The items, rendering by rendering and the augmented view last, and their picture numbers, int64.
    """
    rows, labels = data.rows(VALIDATION), data.main.labels
    parts = [PictureRows.of_rendering(p.pixels, index, rows, labels) for p, index in data.renderings.values()]
    parts.append(AugmentedRows(data.main.pixels, labels[rows], rows, augmentation, seed))
    shown = [rows[index[rows] >= 0] for _, index in data.renderings.values()] + [rows]
    return ConcatDataset([part for part in parts if len(part)]), np.concatenate(shown)
