"""Radiograph and heat map as HTML: data URIs, so that no picture is written to disk or fetched by an address."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from hf_model.inference.heat_map import colours, enlarge
from hf_model.page.text import escape

SHOWN_SIDE = 1024
"""Longer side in pixels of the radiograph on the page: about what a screen shows; the model gets the file itself."""
HEAT_SIDE = 256
THUMBNAIL_SIDE = 64


def data_uri(pixels: np.ndarray, kind: str = "PNG") -> str:
    """uint8 (H, W), (H, W, 3) or (H, W, 4) -> ``data:image/…``. PNG loses nothing; WEBP is for thumbnails."""
    buffer = io.BytesIO()
    options = {"compress_level": 3} if kind == "PNG" else {"quality": 70}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def heat_layer(heat: np.ndarray) -> np.ndarray:
    """Map (h, w) in 0..1 -> uint8 (H, W, 4) to lay over the radiograph.

    Colour by heat and cover by heat: with the layer's opacity set to ``o`` the page shows what
    ``heat_map.overlay(…, opacity=o)`` computes.
    """
    height, width = heat.shape
    scale = HEAT_SIDE / max(height, width)
    large = np.rint(enlarge(heat, (round(height * scale), round(width * scale))) * 255).astype(np.uint8)
    return np.dstack([colours()[large], large])


def viewer(pixels: np.ndarray, heat: np.ndarray | None, name: str) -> str:
    """Original and overlay side by side as HTML; ``pixels`` grey uint8 (H, W), ``heat`` (h, w) in 0..1 or None."""
    source, label = data_uri(pixels), escape(name)
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
    original = (
        f'<figure><div class="cxr-film"><img src="{source}" {size} alt="The uploaded radiograph {label}"></div>'
        f'<figcaption><span>Original</span> <span class="cxr-file">{label}</span></figcaption></figure>'
    )
    if heat is None:
        return f'<div class="cxr-viewer cxr-single">{original}</div>'
    layer = f'<img class="cxr-heat" src="{data_uri(heat_layer(heat))}" alt="" aria-hidden="true">'
    strongest = (
        "No place speaks for pneumonia." if not heat.any() else "Brighter colour: stronger evidence for pneumonia."
    )
    described = f"{label} with the heat map laid over it. {strongest} {_strongest_place(heat)}"
    return (
        f'<div class="cxr-viewer">{original}<figure><div class="cxr-film"><img src="{source}" {size} alt="{described}">'
        f'{layer}</div><figcaption><span>Heat map</span> <span class="cxr-scale"><span>evidence: none</span>'
        f'<span class="cxr-ramp" aria-hidden="true"></span><span>strong</span></span></figcaption></figure></div>'
        f'<p class="cxr-caption">{strongest} The map shows what moved the model; it does not outline the disease.</p>'
    )


def _strongest_place(heat: np.ndarray) -> str:
    """The strongest cell in words, as in the picture (its left is the patient's right)."""
    if not heat.any():
        return ""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    vertical = ("upper", "middle", "lower")[min(2, int(3 * (row + 0.5) / heat.shape[0]))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (column + 0.5) / heat.shape[1]))]
    return f"Strongest in the {vertical} {horizontal} of the picture."
