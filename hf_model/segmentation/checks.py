"""Input checks that follow from the lungs: is this an upright frontal chest film, as the model knows it?

Limits lie outside what was measured on 5,323 pictures of the published training split (every second copy of 224 px, and
all of 512 px), of which 2 are flagged; all of 214 photographs, 88 generated pictures, 136 inverted and 408 turned films
are. ``python -m hf_model benchmark input_checks`` measures again.
"""

from __future__ import annotations

import numpy as np

from hf_model.radiograph.checks import likeness
from hf_model.radiograph.types import Finding
from hf_model.segmentation.outline import Lungs
from hf_model.segmentation.shape import SHAPE_FEATURES, contrast_inside, shape_features

LEAST_CONFIDENCE = 0.91
"""Of the outline. Training radiographs: 0.04 % below; photographs: at most 0.91 but for one."""
CERTAIN_MIRRORING = 0.95
"""Probability of a mirrored film that is worth a note. Training radiographs: 0.1 % above."""
LEAST_LIKENESS = 0.25
"""Correlation with the mean chest. Training radiographs: at least 0.257; chests in a screenshot: median 0.13."""
RANGES = {
    "area": (0.14, 0.75),
    "area_ratio": (0.5, 1),
    "centre_x": (0.35, 0.65),
    "centre_y": (0.2, 0.7),
    "centre_apart": (0.24, 0.56),
    "centre_angle": (-30, 30),
    "width_ratio": (0.45, 1),
    "height_ratio": (0.55, 1),
    "overlap": (0.4, 1),
    "gap": (-0.06, 0.18),
    "symmetry": (0.38, 1),
    "tilt_left": (-10, 45),
    "tilt_right": (-10, 45),
}
"""Features of ``segmentation.shape`` with limits, on the picture stretched to a square."""
SIDE = 256
"""Pixels of the shorter side, at least, that contrast and likeness are taken of."""
CONTRAST = (-0.4, 1.8)
"""Limits of ``contrast_inside``."""


def check_lungs(lungs: Lungs, pixels: np.ndarray) -> tuple[Finding, ...]:
    """At most one finding: a flag (not a frontal chest film, turned, inverted), or a note that it may be mirrored.

    Args:
        lungs: of the picture, with their view.
        pixels: grey uint8 (H, W), the picture.
    """
    view = lungs.view
    if lungs.found < 2 or lungs.confidence < LEAST_CONFIDENCE:
        return (_flag("not-a-chest", "No two lungs were found as on a frontal chest film; upload a frontal film."),)
    if view.turn != "upright":
        way = "upside down" if view.turn == "upside-down" else f"turned to the {view.turn}"
        return (_flag("turned", f"The film looks {way}; turn it upright and upload it again."),)
    if view.inverted > 0.5:
        message = "The film looks inverted (bone dark instead of white); invert it and upload it again."
        return (_flag("inverted", message),)
    step = max(1, min(pixels.shape) // SIDE)  # means of a large film need no more pixels
    pixels = np.ascontiguousarray(pixels[::step, ::step])
    values = dict(zip(SHAPE_FEATURES, shape_features(lungs).tolist(), strict=True))
    limits = [(values[name], limit) for name, limit in RANGES.items()]
    if not all(low <= value <= high for value, (low, high) in [*limits, (contrast_inside(pixels, lungs), CONTRAST)]):
        message = "The lungs do not have the place and proportions of a frontal chest film; upload a frontal film."
        return (_flag("not-a-chest", message),)
    if likeness(pixels)["upright"] < LEAST_LIKENESS:
        message = "The chest does not fill the picture as in a chest film; crop the picture to the film."
        return (_flag("not-a-chest", message),)
    if view.mirrored > CERTAIN_MIRRORING:
        message = "The heart seems to lie on the patient's right side: the film may be mirrored."
        return (Finding("mirrored", message, "note"),)
    return ()


def _flag(code: str, message: str) -> Finding:
    return Finding(code, message, "flag")
