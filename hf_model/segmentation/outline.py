"""From a probability map to the lungs: clean-up, the outline, its box, and the evidence inside it.

NumPy and Pillow: it is part of serving, which does without SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

TURNS = ("upright", "left", "upside-down", "right")
"""How a picture may lie, by quarter turns counter-clockwise from upright."""
THRESHOLD = 0.5
"""Probability above which a pixel lies in a lung."""
SMALLEST = 0.005
"""Share of the picture that a component must have to be taken for a lung. People's smallest lung has 0.07."""
JOINED = 0.2
"""Where the second component is smaller than this share of the first, the first may be both lungs, touching."""
SPLITS = (0.6, 0.7, 0.8, 0.9, 0.95)
"""Probabilities at which touching lungs are looked for apart."""
MARGIN = 0.06
"""Of the box of the lungs, a share of the picture on each side."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture, 0 to 1."""


@dataclass(frozen=True)
class View:
    """How the network takes a picture to lie.

    turns: probabilities of ``TURNS``, which sum to 1. inverted: of dark bone. mirrored: of the heart's side.
    """

    turns: tuple[float, float, float, float]
    inverted: float
    mirrored: float

    @property
    def turn(self) -> str:
        """The likeliest of ``TURNS``."""
        return TURNS[int(np.argmax(self.turns))]


@dataclass(frozen=True, eq=False)
class Lungs:
    """The lungs of one picture, stretched to a square of ``side`` pixels.

    Attributes:
        parts: uint8 (side, side): 0 outside, 1 the lung on the picture's left (the patient's right), 2 the other.
        probability: float32 (side, side), of lying in a lung, before clean-up.
        view: how the picture lies.
    """

    parts: np.ndarray
    probability: np.ndarray
    view: View | None = None

    @cached_property
    def mask(self) -> np.ndarray:
        """bool (side, side), True in either lung."""
        return self.parts > 0

    @property
    def found(self) -> int:
        """Lungs found, 0 to 2."""
        return int(self.areas[0] > 0) + int(self.areas[1] > 0)

    @cached_property
    def areas(self) -> tuple[float, float]:
        """Shares of the picture, of the lung on its left and of the other. Kept: the input checks ask many times."""
        counts = np.bincount(self.parts.ravel(), minlength=3) / self.parts.size
        return float(counts[1]), float(counts[2])

    @property
    def area(self) -> float:
        """Share of the picture that both lungs cover."""
        return sum(self.areas)

    @cached_property
    def confidence(self) -> float:
        """Dice coefficient that the probabilities promise the outline, 0 to 1; 0 where no lung was found."""
        inside = float(self.probability[self.mask].sum())
        return 2 * inside / max(float(self.probability.sum()) + float(self.mask.sum()), 1e-9)

    def box(self, margin: float = MARGIN) -> Box:
        """Around both lungs, with a margin on each side as a share of the picture; all of it where none was found."""
        return box_around(self.mask, margin)

    def at(self, height: int, width: int) -> np.ndarray:
        """The outline at another size: bool (height, width), its border where the enlarged probability crosses 0.5."""
        mask = self.mask
        if mask.shape == (height, width):
            return mask
        likely = self.probability > THRESHOLD
        # what was cleaned away, and holes that were filled
        cleaned = np.where(likely & ~mask, 0, np.where(mask & ~likely, 1, self.probability)).astype(np.float32)
        picture = Image.fromarray(cleaned)
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)) > THRESHOLD


@dataclass(frozen=True)
class Evidence:
    """Where a class activation map lies: share of its positive part inside the lungs, and whether its peak is."""

    share: float
    peak_inside: bool


def evidence_in_lungs(activation: np.ndarray, mask: np.ndarray, box: Box | None = None) -> Evidence | None:
    """How much of the evidence for pneumonia lies in the lungs; None for a map without any.

    The map is enlarged bicubically to the mask's size, as it is shown; negative values count as none.

    Args:
        activation: float (h, w), evidence for pneumonia in any unit.
        mask: bool (H, W) of the whole picture.
        box: the part of the picture that the map covers; None for all of it.
    """
    if box is not None:
        mask = crop(mask, box)
    height, width = mask.shape
    picture = Image.fromarray(np.maximum(activation, 0).astype(np.float32))
    evidence = np.maximum(np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)), 0)
    total = float(evidence.sum(dtype=np.float64))
    if total <= 0:
        return None
    share = float(evidence[mask].sum(dtype=np.float64)) / total
    return Evidence(share, bool(mask.ravel()[int(evidence.argmax())]))


def box_around(mask: np.ndarray, margin: float = MARGIN) -> Box:
    """Bounding box of a mask bool (H, W) with a margin, as fractions; the whole picture for an empty mask."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 1.0, 1.0
    left, right = columns[0] / width - margin, (columns[-1] + 1) / width + margin
    top, bottom = rows[0] / height - margin, (rows[-1] + 1) / height + margin
    return max(0.0, float(left)), max(0.0, float(top)), min(1.0, float(right)), min(1.0, float(bottom))


def crop(pixels: np.ndarray, box: Box) -> np.ndarray:
    """The part (h, w) of a picture (H, W) that a box names, borders rounded to whole pixels; at least one pixel."""
    height, width = pixels.shape
    left, right = _span(box[0], box[2], width)
    top, bottom = _span(box[1], box[3], height)
    return pixels[top:bottom, left:right]


def clean(probability: np.ndarray) -> np.ndarray:
    """Probability map float (h, w) -> parts uint8 (h, w): the two largest components, holes filled.

    Lungs that touch are cut where the probability between them is lowest. 1 is the lung further left.
    """
    mask = probability > THRESHOLD
    labels, count = label_components(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] / mask.size
    order = [n + 1 for n in np.argsort(-sizes, kind="stable") if sizes[n] >= SMALLEST][:2]
    lungs = [labels == n for n in order]
    if lungs and (len(lungs) == 1 or lungs[1].sum() < JOINED * lungs[0].sum()):
        lungs = _apart(probability, lungs[0]) or lungs
    parts = np.zeros(mask.shape, np.uint8)
    middles = [float(np.flatnonzero(lung.any(axis=0)).mean()) for lung in lungs]
    if len(lungs) == 1:
        parts[lungs[0]] = 1 if middles[0] < mask.shape[1] / 2 else 2
    elif lungs:
        first, second = np.argsort(middles, kind="stable")
        parts[lungs[first]], parts[lungs[second]] = 1, 2
    _fill_holes(parts)
    return parts


def _fill_holes(parts: np.ndarray) -> None:
    """Give each lung the holes in it, in place; what both lungs enclose together is no hole."""
    labels, count = label_components(parts == 0)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    for hole in np.setdiff1d(np.arange(1, count + 1), border):
        inside = labels == hole
        around = np.unique(parts[_dilate(inside) & ~inside])
        if len(around) == 1:
            parts[inside] = around[0]


def _apart(probability: np.ndarray, both: np.ndarray) -> list[np.ndarray] | None:
    """Two lungs that touch; None where raising the threshold does not part this component into two large ones."""
    for threshold in SPLITS:
        labels, count = label_components(both & (probability > threshold))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        if count < 2:
            continue
        first, second = np.argsort(-sizes, kind="stable")[:2] + 1
        if sizes[second - 1] < max(JOINED * sizes[first - 1], SMALLEST * both.size):
            continue
        lungs = [labels == first, labels == second]
        while True:  # both grow by a pixel at a time until they have shared out the component
            free = both & ~lungs[0] & ~lungs[1]
            grown = [lung | (_dilate(lung) & free) for lung in lungs]
            grown[1] &= ~grown[0]
            if np.array_equal(grown, lungs):
                return lungs
            lungs = grown
    return None


def label_components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the 4-connected components of a mask: bool (H, W) -> int (H, W) from 1 in reading order, and how many.

    What ``scipy.ndimage.label`` returns. Runs of pixels in a row are joined with those that they touch in the row
    below, so that Python loops over a few hundred runs and not over pixels.
    """
    height, width = mask.shape
    pitch = width + 2
    padded = np.zeros((height, pitch), np.int8)
    padded[:, 1:-1] = mask
    changes = np.diff(padded.ravel())
    starts, ends = np.flatnonzero(changes == 1) + 1, np.flatnonzero(changes == -1) + 1
    below = zip(
        np.searchsorted(ends, starts + pitch, "right").tolist(),
        np.searchsorted(starts, ends + pitch, "left").tolist(),
        strict=True,
    )
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (first, last) in enumerate(below):
        for other in range(first, last):
            one, two = sorted((root(run), root(other)))
            parent[two] = one
    roots, number = np.unique([root(run) for run in range(len(starts))], return_inverse=True)
    steps = np.zeros(height * pitch + 1, np.int64)
    steps[starts] += number + 1
    steps[ends] -= number + 1
    return np.cumsum(steps[:-1]).reshape(height, pitch)[:, 1:-1], len(roots)


def _dilate(mask: np.ndarray) -> np.ndarray:
    """The mask and its neighbours above, below, left and right."""
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    return out


def _span(low: float, high: float, side: int) -> tuple[int, int]:
    start = min(round(low * side), side - 1)
    return start, max(round(high * side), start + 1)
