"""Radiograph and heat map as HTML: data URIs, so that no picture is written to disk or fetched by an address."""

from __future__ import annotations

import io

import numpy as np
from markupsafe import Markup
from PIL import Image

from hf_model import templates
from hf_model.inference.heat_map import colours, enlarge
from hf_model.inference.prediction import Prediction
from hf_model.page import fragment

SHOWN_SIDE = 1024
"""Longer side in pixels of the radiograph on the page: about what a screen shows; the model gets the file itself."""
HEAT_SIDE = 256


def viewer(prediction: Prediction) -> Markup:
    """The radiograph that the prediction keeps, and beside it the heat map over it unless the answer is withheld."""
    pixels = prediction.radiograph.pixels
    heat = None if prediction.withheld else prediction.class_activation_map
    evidence = heat is not None and bool(heat.any())
    return fragment(
        "viewer",
        "viewer",
        name=prediction.name,
        source=data_uri(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
        layer=None if heat is None else data_uri(heat_layer(heat)),
        strongest="Brighter colour: stronger evidence for pneumonia." if evidence else "No place speaks for pneumonia.",
        place=strongest_place(heat) if evidence else "",
    )


def heat_layer(heat: np.ndarray) -> np.ndarray:
    """Map (h, w) in 0..1 -> uint8 (H, W, 4) to lay over the radiograph.

    Colour by heat and cover by heat: with the layer's opacity set to ``o`` the page shows what
    ``heat_map.overlay(…, opacity=o)`` computes.
    """
    height, width = heat.shape
    scale = HEAT_SIDE / max(height, width)
    large = np.rint(enlarge(heat, (round(height * scale), round(width * scale))) * 255).astype(np.uint8)
    return np.dstack([colours()[large], large])


def strongest_place(heat: np.ndarray) -> str:
    """Where in the picture the strongest cell of a map (h, w) lies, in words (left is the patient's right)."""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    vertical = ("upper", "middle", "lower")[min(2, int(3 * (row + 0.5) / heat.shape[0]))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (column + 0.5) / heat.shape[1]))]
    return f"Strongest in the {vertical} {horizontal} of the picture."


def data_uri(pixels: np.ndarray, kind: str = "PNG") -> str:
    """uint8 (H, W), (H, W, 3) or (H, W, 4) -> ``data:image/…``. PNG loses nothing; WEBP is for thumbnails."""
    buffer = io.BytesIO()
    options = {"compress_level": 3} if kind == "PNG" else {"quality": 70}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return templates.data_uri(buffer.getvalue(), f"image/{kind.lower()}")
