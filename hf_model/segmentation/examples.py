"""Training examples: pictures with people's outlines, varied together, a batch a call."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Image as ImageFeature
from datasets import load_dataset
from PIL import Image

from hf_model.data.augmentation import AugmentationArguments, Augmenter
from hf_model.data.loading import DatasetError
from hf_model.data.prepare import DevelopmentData

GREYS = AugmentationArguments(
    rotation=0, shift=0, zoom=0, shear=0, flip=0,
    gamma=0.7, contrast=0.5, brightness=0.25, blur=0.4, noise=0.06, erasing=0.3, jpeg=0.2, downscale=0.4,
)  # fmt: skip
"""How greys and sharpness are varied; geometry is varied here, where the outline goes along."""
MILD_SHARE, MILD_SHARE_AT_LAST = 0.25, 0.75
"""Share of examples with a quarter of the geometric variation and the greys as they are: at first, and in the last
batches, so that the network ends on pictures like those that it will see."""


@dataclass(frozen=True)
class OutlinedPictures:
    """Pictures of one data set that people have outlined, in every rendering that there is.

    Attributes:
        renderings: name -> (uint8 (M, H, W), int64 (N,): which of them shows picture n, or -1).
        outlines: bool (N, h, w), True in either lung.
        names: N file names. patients: N keys.
        split: N names of the development split that each picture is in.
    """

    renderings: dict[str, tuple[np.ndarray, np.ndarray]]
    outlines: np.ndarray
    names: list[str]
    patients: list[str]
    labels: np.ndarray
    split: np.ndarray

    def rows(self, *splits: str) -> np.ndarray:
        """Pictures in any of the named splits."""
        return np.flatnonzero(np.isin(self.split, splits))


def read_outlines(folder: str | Path) -> dict[str, np.ndarray]:
    """File name of the picture -> bool (h, w), from a data set with columns ``name`` and ``lungs``.

    Raises:
        DatasetError: no such folder, columns missing, or outlines of different sizes.
    """
    if not Path(folder).is_dir():
        raise DatasetError(f"--outlines {folder}: there is no such folder.")
    rows = load_dataset(str(folder), split="train")
    if missing := {"name", "lungs"} - set(rows.column_names):
        raise DatasetError(f"--outlines {folder} has no column {' and no '.join(sorted(missing))}.")
    rows = rows.select_columns(["name", "lungs"]).cast_column("lungs", ImageFeature(decode=False))
    outlines = {}
    for row in rows:
        with Image.open(io.BytesIO(row["lungs"]["bytes"])) as picture:
            outlines[row["name"]] = np.asarray(picture.convert("L")) > 0
    if len({outline.shape for outline in outlines.values()}) != 1:
        raise DatasetError(f"--outlines {folder}: outlines have different sizes; stretch them to one.")
    return outlines


def join_outlines(data: DevelopmentData, outlines: dict[str, np.ndarray]) -> OutlinedPictures:
    """The development pictures that have an outline, joined by file name; pixels are copied into memory.

    Raises:
        DatasetError: none has one.
    """
    split_of = {int(i): name for name, split in data.splits.items() for i in split.indices}
    kept = [i for i, name in enumerate(data.main.names) if name in outlines and i in split_of]
    if not kept:
        raise DatasetError(f"--outlines: no name there is the file name of a picture of {data.main_name}.")
    renderings = {}
    for name, (pixels, index) in data.renderings.items():
        rows = index[kept]
        there = rows[rows >= 0]
        position = np.full(len(kept), -1)
        position[rows >= 0] = np.arange(len(there))
        if len(there):
            renderings[name] = (np.asarray(pixels.pixels[there]), position)
    patients = [data.main.names[i] for i in kept] if data.patients is None else [data.patients[i] for i in kept]
    return OutlinedPictures(
        renderings,
        np.stack([outlines[data.main.names[i]] for i in kept]),
        [data.main.names[i] for i in kept],
        patients,
        np.asarray(data.main.labels)[kept],
        np.array([split_of[i] for i in kept]),
    )


class ExampleBatches(torch.utils.data.Dataset):
    """Batch ``n`` of training: (grey float (B, 1, S, S) 0 to 255, outline (B, 1, S/2, S/2) 0 to 1, view int64 (B, 3)).

    sizes: the side S of each batch; there are as many batches. last: number of batches at the end with more mild
    examples.

    ``view`` holds quarter turns counter-clockwise, inverted (0 or 1) and mirrored (0 or 1). A batch is a function of
    the seed and its number; every picture is shown once an epoch, in a rendering drawn at random.
    """

    def __init__(
        self, pictures: OutlinedPictures, rows: np.ndarray, sizes: Sequence[int], batch: int, seed: int, last: int = 0
    ) -> None:
        self.pictures, self.rows, self.sizes, self.batch, self.seed = pictures, rows, sizes, batch, seed
        self.last = last
        self._greys = Augmenter(GREYS)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.seed, step])
        size = self.sizes[step]
        grey = np.empty((self.batch, size, size), np.uint8)
        outline = np.empty((self.batch, size // 2, size // 2), np.uint8)
        view = np.empty((self.batch, 3), np.int64)
        at_last = step >= len(self.sizes) - self.last
        mild = rng.random(self.batch) < (MILD_SHARE_AT_LAST if at_last else MILD_SHARE)
        for n, row in enumerate(self._drawn(step)):
            grey[n], outline[n], view[n] = self._example(row, size, rng, bool(mild[n]))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        greys = torch.from_numpy(grey).float()
        if not mild.all():
            varied = torch.from_numpy(~mild)
            greys[varied] = self._greys(torch.from_numpy(grey[~mild]), generator) * 255
        greys = greys[:, None]
        inverted = torch.from_numpy(view[:, 1]).bool()
        greys[inverted] = 255 - greys[inverted]
        return greys, torch.from_numpy(outline)[:, None].float() / 255, torch.from_numpy(view)

    def _drawn(self, step: int) -> np.ndarray:
        """Rows of the batch: consecutive parts of one shuffle an epoch."""
        count = len(self.rows)
        at = np.arange(step * self.batch, (step + 1) * self.batch)
        orders = {e: np.random.default_rng([self.seed, 0, int(e)]).permutation(count) for e in np.unique(at // count)}
        return np.array([self.rows[orders[i // count][i % count]] for i in at])

    def _example(
        self, row: int, size: int, rng: np.random.Generator, mild: bool
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, int, int]]:
        there = [(pixels, index[row]) for pixels, index in self.pictures.renderings.values() if index[row] >= 0]
        pixels, index = there[rng.integers(len(there))]
        outline = self.pictures.outlines[row]
        matrix, mirrored = _affine(rng, mild)
        background = 0 if rng.random() < 0.6 else int(rng.integers(256))
        grey = _warp(pixels[index], matrix, size, background)
        lungs = _warp(outline.astype(np.uint8) * 255, matrix, size // 2, 0)
        if not mild and rng.random() < 0.35:
            grey = _opacity(grey, lungs, rng)
        turns = int(rng.integers(1, 4)) if rng.random() < 0.1 else 0
        inverted = int(rng.random() < 0.06)
        return np.rot90(grey, turns), np.rot90(lungs, turns), (turns, inverted, int(mirrored))


def _affine(rng: np.random.Generator, mild: bool) -> tuple[np.ndarray, bool]:
    """Output to input, both as fractions of the side from the centre: rotation, zoom, stretch, shear, shift, mirror.

    Zooms out further than in: uploads have borders, and lungs that fill the frame are in the data already.
    """
    strength = 0.25 if mild else 1.0
    angle = math.radians(rng.normal(0, 7 * strength))
    zoom, stretch = math.exp(strength * rng.uniform(-0.25, 0.45)), math.exp(strength * rng.uniform(-0.12, 0.12))
    shear = math.tan(math.radians(strength * rng.uniform(-6, 6)))
    mirrored = rng.random() < (0.2 if mild else 0.5)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    linear = turn @ np.diag([zoom * stretch * (-1 if mirrored else 1), zoom / stretch])
    return np.column_stack([linear, strength * rng.uniform(-0.12, 0.12, 2)]), mirrored


def _warp(pixels: np.ndarray, matrix: np.ndarray, size: int, background: int) -> np.ndarray:
    """uint8 (H, W) -> (size, size), bilinear; ``matrix`` as ``_affine`` gives it."""
    scale = np.array([pixels.shape[1], pixels.shape[0]])
    linear = matrix[:, :2] * scale[:, None] / size
    offset = scale / 2 - linear @ np.full(2, size / 2) + matrix[:, 2] * scale
    data = (*linear[0], offset[0], *linear[1], offset[1])
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).transform((size, size), affine, data, bilinear, fillcolor=background))


def _opacity(grey: np.ndarray, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A soft white spot centred in a lung: what dense pneumonia and effusions do to its border."""
    inside = np.argwhere(lungs)
    if not len(inside):
        return grey
    side = grey.shape[0]
    y, x = inside[rng.integers(len(inside))] * (side / lungs.shape[0])
    spread = rng.uniform(0.06, 0.22, 2) * side
    rows = np.exp(-0.5 * ((np.arange(side) - y) / spread[0]) ** 2)
    columns = np.exp(-0.5 * ((np.arange(side) - x) / spread[1]) ** 2)
    weight = (rng.uniform(0.4, 0.95) * rows[:, None] * columns[None, :]).astype(np.float32)
    white = np.float32(np.percentile(grey, rng.uniform(65, 95)))
    return (grey + weight * np.maximum(white - grey, 0)).astype(np.uint8)
