"""What the shape and place of the lungs tell about a picture, as numbers for input checks.

All lengths are fractions of the picture's height, with the picture's own width over height set in: an outline is
computed on a picture stretched to a square, and proportions have to be those of the film.
"""

from __future__ import annotations

import math

import numpy as np

from hf_model.segmentation.outline import Lungs

SHAPE_FEATURES = (
    "found", "area", "area_ratio", "confidence",
    "centre_x", "centre_y", "centre_apart", "centre_angle",
    "box_aspect", "box_height", "box_fill",
    "width_ratio", "height_ratio", "gap", "overlap",
    "elongation_left", "elongation_right", "tilt_left", "tilt_right",
    "taper", "symmetry", "edge",
)  # fmt: skip
"""Names of :func:`shape_features`, in their order:

- found: lungs, 0 to 2. area: share of the picture. area_ratio: smaller over larger. confidence: of :class:`Lungs`.
- centre_x, centre_y: of both lungs, shares of the picture's width and height. centre_apart: distance of the two
  lungs' centres. centre_angle: of the line from the left lung's centre to the right one's, degrees, 0 where level.
- box_aspect: width over height of the box around both. box_height: share of the picture's height. box_fill: share of
  the box that lungs cover.
- width_ratio, height_ratio: of the two lungs' boxes, smaller over larger. gap: between the lungs' boxes, negative where
  they overlap. overlap: of the lungs' rows, shared over all.
- elongation_left, _right: standard deviation along the long axis over that across. tilt_left, _right: of the long axis
  from the vertical, degrees, positive where its top leans to the picture's middle.
- taper: mean width of both lungs in their upper third over that in their lower third, less than 1 for an upright chest.
- symmetry: IoU of the left lung, mirrored and moved onto the right one's centre, with the right one.
- edge: share of the outline's pixels that lie at the picture's border.
"""


def shape_features(lungs: Lungs, aspect: float = 1.0) -> np.ndarray:
    """Numbers that describe two lungs: float64 (22,), see ``SHAPE_FEATURES``; NaN for what fewer than two do not have.

    Args:
        lungs: of one picture.
        aspect: width over height of the picture.
    """
    values = dict.fromkeys(SHAPE_FEATURES, math.nan)
    side = lungs.parts.shape[0]
    mask = lungs.mask
    values |= {"found": lungs.found, "area": lungs.area, "confidence": lungs.confidence, "edge": _edge(mask)}
    if lungs.found:
        rows, columns = np.nonzero(mask)
        left, top, right, bottom = lungs.box(margin=0)
        values |= {
            "centre_x": (columns.mean() + 0.5) / side,
            "centre_y": (rows.mean() + 0.5) / side,
            "box_aspect": (right - left) * aspect / (bottom - top),
            "box_height": bottom - top,
            "box_fill": lungs.area / ((right - left) * (bottom - top)),
        }
    if lungs.found == 2:
        values |= _pair(lungs.parts == 1, lungs.parts == 2, aspect)
    return np.array([values[name] for name in SHAPE_FEATURES], dtype=np.float64)


def contrast_inside(pixels: np.ndarray, lungs: Lungs) -> float:
    """Mean grey around the lungs minus that inside, in standard deviations of both together.

    Positive in a chest film (air is dark), negative in an inverted one; NaN where no lung was found. Around: the box
    of the lungs without margin, less the lungs. pixels: grey uint8 (H, W) of the whole picture.
    """
    if not lungs.found:
        return math.nan
    mask = lungs.at(*pixels.shape)
    top, left, bottom, right = _extent(mask)
    grey, inside = pixels[top:bottom, left:right].astype(np.float64), mask[top:bottom, left:right]
    if inside.all():
        return math.nan
    return float((grey[~inside].mean() - grey[inside].mean()) / max(grey.std(), 1e-9))


def _pair(left: np.ndarray, right: np.ndarray, aspect: float) -> dict[str, float]:
    side = left.shape[0]
    first, second = _moments(left, aspect), _moments(right, aspect)
    across, down = second["x"] - first["x"], second["y"] - first["y"]
    boxes = [_extent(lung) for lung in (left, right)]
    widths = [box[3] - box[1] for box in boxes]
    heights = [box[2] - box[0] for box in boxes]
    shared = min(boxes[0][2], boxes[1][2]) - max(boxes[0][0], boxes[1][0])
    whole = max(boxes[0][2], boxes[1][2]) - min(boxes[0][0], boxes[1][0])
    areas = left.sum(), right.sum()
    return {
        "area_ratio": min(areas) / max(areas),
        "centre_apart": math.hypot(across, down),
        "centre_angle": math.degrees(math.atan2(down, across)),
        "width_ratio": min(widths) / max(widths),
        "height_ratio": min(heights) / max(heights),
        "gap": (boxes[1][1] - boxes[0][3]) / side * aspect,
        "overlap": max(0, shared) / whole,
        "elongation_left": first["elongation"],
        "elongation_right": second["elongation"],
        "tilt_left": first["tilt"],
        "tilt_right": -second["tilt"],
        "taper": _taper(left | right),
        "symmetry": _symmetry(left, right),
    }


def _moments(lung: np.ndarray, aspect: float) -> dict[str, float]:
    """Centre and axes of one lung; tilt in degrees, positive where the top of the long axis leans to the right."""
    rows, columns = np.nonzero(lung)
    side = lung.shape[0]
    points = np.stack([(columns + 0.5) / side * aspect, (rows + 0.5) / side])
    centre = points.mean(axis=1)
    values, vectors = np.linalg.eigh(np.cov(points - centre[:, None], bias=True))
    x, y = vectors[:, 1] * (-1 if vectors[1, 1] > 0 else 1)  # the long axis, pointing up
    return {
        "x": float(centre[0]),
        "y": float(centre[1]),
        "elongation": math.sqrt(max(values[1], 0) / max(values[0], 1e-9)),
        "tilt": math.degrees(math.atan2(x, -y)),
    }


def _extent(lung: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right in pixels; the last two are exclusive."""
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _taper(mask: np.ndarray) -> float:
    top, _, bottom, _ = _extent(mask)
    widths = mask[top:bottom].sum(axis=1)
    third = max(1, len(widths) // 3)
    return float(widths[:third].mean() / max(widths[-third:].mean(), 1e-9))


def _symmetry(left: np.ndarray, right: np.ndarray) -> float:
    """IoU after mirroring; the centres are laid on each other to the pixel."""
    mirrored = left[:, ::-1]
    shift = [round(float(b.mean() - a.mean())) for a, b in zip(np.nonzero(mirrored), np.nonzero(right), strict=True)]
    moved = np.zeros_like(right)
    rows, columns = (axis + by for axis, by in zip(np.nonzero(mirrored), shift, strict=True))
    kept = (rows >= 0) & (rows < right.shape[0]) & (columns >= 0) & (columns < right.shape[1])
    moved[rows[kept], columns[kept]] = True
    return float((moved & right).sum() / ((moved | right).sum() + (~kept).sum()))


def _edge(mask: np.ndarray) -> float:
    border = mask[0].sum() + mask[-1].sum() + mask[1:-1, 0].sum() + mask[1:-1, -1].sum()
    return float(border / max(mask.sum(), 1))
