"""Quick checks of the pixels: is this a frontal chest radiograph at all? NumPy and Pillow, a few milliseconds.

Thresholds lie outside everything that was measured on the 11,926 training radiographs (four renderings; never on the
test split), except ``ALIKE`` and ``MARGIN``, which together flag 0.31 % of them; the comments give what was measured.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from hf_model.radiograph.types import Finding, Radiograph

SAMPLE_SIDE = 512
"""Statistics are taken of about this many rows and columns; more change nothing and cost time."""
BLANK_RANGE, FAINT_RANGE = 16, 60
"""Grey values between the 1st and the 99th percentile. Training radiographs: at least 85."""
BLANK = "The picture is blank: it has next to no contrast; upload another export."
FEWEST_VALUES = 48
"""Grey values that hold at least 1 in 100,000 pixels. Training radiographs: at least 113; drawings: 6 to 50."""
LARGEST_SHARE = 0.45
"""Share of the four most frequent grey values. Training radiographs: at most 0.34; drawings: 0.54 to 1."""
SHARP_STEP, SHARPEST_SHARE = 48, 0.06
"""Share of horizontal neighbours that differ by more than SHARP_STEP. Training: at most 0.037; pages of text: 0.1."""
NARROWEST, WIDEST = 0.7, 3.3
"""Width over height. Training originals: 0.84 to 3.16."""
ALIKE = 0.4
"""Correlation with the template. Training: 0.2 % below (fitted on other patients); grey photographs: 94 % below."""
MARGIN = 0.05
"""How much better a turned template must fit. Training: 0.09 % taken for upside down; of those turned, 98 % found."""

# The mean of the 5,216 training radiographs at 16 x 16 (each with mean 0 and norm 1), scaled to 0..255, row by row.
TEMPLATE_SIDE = 16
TEMPLATE_HEX = (
    "3d5d646b7c9dbfcfcfbe9c7a6a61513a4365798998a9bbc9c9baaa9887765f41436786a0aba9b6cacbb5abac9f836241"
    "39608eaea797accfd1ab99abac8a5c3a2d5892af9787a6d4d9aa8c9eaf8d542e205295a78783a9dae1b89093aa904d22"
    "155099997c86b2e2e7cba08ea0944a170f509a8b748abce8edd6b38f96944a0f0a52957f7394c4edf2ddc4988e904a09"
    "04538d767594c5eff5e1cfa58a8a4a0501548371778fc0eef6e0d2ad86834a0201557d768398c2eef6ddceac837c4a00"
    "01578394acbed4f2f7ddd0b58c794a00035d9bbcd4dfe7f9fbe5ddcca9884d010665b2d6e8eff3fefdede5dac49f5502"
    "0a6bbee1f0f6f8fffdefe7ddcfaf5c06"
)


def check_radiograph(radiograph: Radiograph) -> tuple[Finding, ...]:
    """All findings of a radiograph: first those of reading, then those of its pixels.

    Severity "refuse": the content is unusable. "flag": probably no upright frontal chest film as the model knows it; a
    person may override it. "note": for information.
    """
    findings = list(radiograph.findings)
    values = _sample(radiograph.pixels)
    histogram = _histogram(values)
    contrast = _contrast(histogram)
    if contrast < BLANK_RANGE:
        return (*findings, Finding("blank", BLANK, "refuse"))
    if contrast < FAINT_RANGE:
        message = "The picture has very little contrast; export it with its display window."
        findings.append(Finding("faint", message, "flag"))
    return (*findings, *_drawn(values, histogram), *_shape(radiograph), *_pose(values))


def is_blank(pixels: np.ndarray) -> bool:
    """Whether a grey picture uint8 (H, W) is refused as blank, in serving and in training."""
    return _contrast(_histogram(_sample(pixels))) < BLANK_RANGE


def likeness(pixels: np.ndarray) -> dict[str, float]:
    """Correlation (-1 to 1) of a grey picture uint8 (H, W) with the mean chest: upright, and turned in each way."""
    small = Image.fromarray(pixels).resize((TEMPLATE_SIDE, TEMPLATE_SIDE), Image.Resampling.BOX)
    found = _standard(np.asarray(small, dtype=np.float64))
    template = _template()
    upright = float(np.sum(found * template))
    return {
        "upright": upright,
        "inverted": -upright,
        "left": float(np.sum(found * np.rot90(template, 1))),
        "upside-down": float(np.sum(found * np.rot90(template, 2))),
        "right": float(np.sum(found * np.rot90(template, 3))),
    }


def _sample(pixels: np.ndarray) -> np.ndarray:
    """Every nth row, whole, so that differences between horizontal neighbours stay what they are."""
    return np.ascontiguousarray(pixels[:: max(1, pixels.shape[0] // SAMPLE_SIDE)])


def _histogram(values: np.ndarray) -> np.ndarray:
    """float64 (256,), the share of each grey value."""
    # Pillow counts the bytes as they are; NumPy's bincount would first convert each to eight bytes
    return np.array(Image.fromarray(values).histogram()) / values.size


def _contrast(histogram: np.ndarray) -> int:
    """Grey values between the 1st and the 99th percentile."""
    low, high = np.searchsorted(np.cumsum(histogram), (0.01, 0.99))
    return int(high - low)


def _drawn(values: np.ndarray, histogram: np.ndarray) -> list[Finding]:
    """Drawings, screenshots and text: few grey values, large even areas, many sharp edges."""
    if np.count_nonzero(histogram >= 1e-5) < FEWEST_VALUES or np.sort(histogram)[-4:].sum() > LARGEST_SHARE:
        message = "The picture has few grey values or large even areas, as a drawing or screenshot has."
        return [Finding("drawing", message, "flag")]
    left, right = values[:, :-1], values[:, 1:]
    steps = np.maximum(left, right) - np.minimum(left, right)
    if np.count_nonzero(steps > SHARP_STEP) > SHARPEST_SHARE * steps.size:
        return [Finding("text", "The picture has many sharp edges, as a page of text or a screenshot has.", "flag")]
    return []


def _shape(radiograph: Radiograph) -> list[Finding]:
    width, height = radiograph.original_size
    if NARROWEST <= width / height <= WIDEST:
        return []
    message = f"The picture is {width} x {height} pixels, an unusual shape for a chest film; crop it to the chest."
    return [Finding("shape", message, "flag")]


def _pose(pixels: np.ndarray) -> list[Finding]:
    """At most one finding: turned, inverted, or not a frontal chest film."""
    alike = likeness(pixels)
    upright = alike.pop("upright")
    best = max(alike, key=alike.get)
    if alike[best] > upright + MARGIN and alike[best] >= ALIKE:
        if best == "inverted":
            message = "The film looks inverted (bone dark instead of white); invert it and upload it again."
            return [Finding("inverted", message, "flag")]
        way = "upside down" if best == "upside-down" else f"turned to the {best}"
        return [Finding("turned", f"The film looks {way}; turn it upright and upload it again.", "flag")]
    if upright < ALIKE:
        message = "This does not look like a frontal chest radiograph (a photograph, a lateral or hand film?)."
        return [Finding("not-a-chest", message, "flag")]
    return []


def _standard(values: np.ndarray) -> np.ndarray:
    """Mean 0 and norm 1; zeros for an even picture."""
    centred = values - values.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)


@cache
def _template() -> np.ndarray:
    """float64 (16, 16), mean 0, norm 1."""
    values = np.frombuffer(bytes.fromhex(TEMPLATE_HEX), dtype=np.uint8).astype(np.float64)
    return _standard(values.reshape(TEMPLATE_SIDE, TEMPLATE_SIDE))
