"""Films of adults, which an input check learns to recognise: decoded in several renderings, never trained on."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from hf_model.data.loading import load_splits
from hf_model.data.pixels import decode_split
from hf_model.data.prepare import rendering_name
from hf_model.radiograph.preprocess import Preprocessing


def read_adults(
    folder: str, preprocessing: Preprocessing, cache_dir: Path | None = None
) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Rendering -> (pictures uint8 (N, H, W), N patients): antialiased, the same as JPEG, and by nearest neighbour.

    The three are how the copies of the children's films were made, so that resizing does not give adults away. The
    patient is the part of a file name before the first underscore, as in ChestX-ray8.

    Raises:
        DatasetError: ``load_splits`` cannot read the folder.
    """
    rows = load_splits(folder, option="--adults")["train"]
    what = rendering_name(folder)
    plain = decode_split(rows, preprocessing, what=what, cache_dir=cache_dir)
    nearest = replace(preprocessing, resample=int(Image.Resampling.NEAREST))
    sharp = decode_split(rows, nearest, what=f"{what}, nearest neighbour", cache_dir=cache_dir)
    compressed = np.stack([_jpeg(picture) for picture in plain.pixels])
    patients = [[name.split("_")[0] for name in pixels.names] for pixels in (plain, sharp)]
    return {
        "antialiased": (plain.pixels, patients[0]),
        "JPEG of quality 75": (compressed, patients[0]),
        "nearest neighbour": (sharp.pixels, patients[1]),
    }


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer))
