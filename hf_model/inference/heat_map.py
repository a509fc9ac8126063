"""Class activation maps as pictures: scaling, enlarging, colouring and laying over the radiograph.

A class activation map (Zhou et al., CVPR 2016) is the last feature map weighted with the classifier's row: here the
pneumonia row minus the normal row. For a head of global average pooling and one linear layer it is Grad-CAM (Selvaraju
et al., ICCV 2017) of ``logit_pneumonia - logit_normal`` up to a factor. NumPy and Pillow only.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

WEAK_EVIDENCE = 2.0
"""Log-odds (7 to 1) below which the maximum of a map is not scaled to 1.

Without this limit the map of every clearly normal chest would have a place as bright as a consolidation.
"""
CELL = 32
"""Pixels of the stored heat map per cell of the class activation map: 7 x 7 cells make 224 x 224 px."""

# "inferno" of matplotlib (CC0, van der Walt and Smith): perceptually uniform, readable with every colour blindness and
# in grey. Every eighth of its 256 colours or so; linear interpolation stays within 5/255 of it.
_INFERNO = """
000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e 7d1e6d 8a226a 972766 a32c61 b0315b bc3754
c73e4c d24644 db503b e45a31 eb6628 f1731d f68013 f98e09 fb9d07 fcac11 fbbc21 f9cb35 f5db4c f2ea69 f3f68a fcffa4
"""


def scale_map(raw: np.ndarray) -> np.ndarray:
    """Raw class activation map (h, w) in log-odds -> float32 (h, w) in 0..1, for one picture.

    Evidence against pneumonia becomes 0. Evidence for it is divided by its maximum, or by ``WEAK_EVIDENCE`` where that
    is larger.
    """
    evidence = np.maximum(raw.astype(np.float32), 0.0)
    return evidence / np.float32(max(float(evidence.max()), WEAK_EVIDENCE))


def enlarge(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Map (h, w) in 0..1 -> float32 (height, width) in 0..1, bicubic; ``size`` is ``(height, width)``."""
    picture = Image.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    large = picture.resize((size[1], size[0]), resample=Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large), 0.0, 1.0)


def colours(steps: int = 256) -> np.ndarray:
    """The colour map: uint8 (steps, 3) RGB from no evidence (black) to the strongest (pale yellow)."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in _INFERNO.split()], dtype=np.float64)
    at = np.linspace(0.0, len(anchors) - 1, steps)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def overlay(pixels: np.ndarray, heat: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Lay a heat map over its radiograph.

    pixels: grey uint8 (H, W); heat: float (h, w) in 0..1 over the same field of view; opacity: 0 (radiograph alone) to
    1. Gives uint8 RGB (H, W, 3): each pixel is covered by its colour to ``opacity`` times its heat, so that places
    without evidence stay as they are. Raises ValueError for other shapes, types or opacities.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError(f"the radiograph is {pixels.dtype} {pixels.shape}; give grey uint8 (H, W)")
    if heat.ndim != 2:
        raise ValueError(f"the heat map has shape {heat.shape}; give one map (h, w)")
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"opacity is {opacity!r}; give a number from 0 to 1")
    large = enlarge(heat, pixels.shape)
    cover = (opacity * large)[..., None]
    colour = colours()[np.rint(large * 255).astype(np.uint8)]
    mixed = pixels[..., None] * (1.0 - cover) + colour * cover
    return np.rint(mixed).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W) or (H, W, 3) -> PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def heat_map_png(heat: np.ndarray) -> str:
    """Map (h, w) in 0..1 -> base64 of a grey 8-bit PNG over the whole picture, ``CELL`` times its size, 255 for 1."""
    large = enlarge(heat, (heat.shape[0] * CELL, heat.shape[1] * CELL))
    return base64.b64encode(png(np.rint(large * 255).astype(np.uint8))).decode("ascii")
