"""Drawn chests with the outline of their lungs, and a network trained on them for a few seconds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Picture

from hf_model.inference.lungs import export_network
from hf_model.segmentation.examples import OutlinedPictures
from hf_model.segmentation.network import LungNetworkConfig, save_network
from hf_model.segmentation.training import LungTraining, train_network

TINY = LungNetworkConfig(size=64, channels=(8, 12, 16, 24), blocks=1)


def drawn_lungs(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A bright body with a spine and two dark lungs with ribs, and its lungs: uint8 and bool (side, side)."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    outline = np.zeros((side, side), bool)
    body = 150 * np.exp(-(((x - 0.5) / 0.55) ** 4)) + 20 + 60 * np.exp(-(((x - 0.52) / 0.05) ** 2))
    for centre in (0.28, 0.72):
        a, b = rng.uniform(0.1, 0.16), rng.uniform(0.22, 0.33)
        cy, lean = 0.48 + rng.normal(0, 0.03), rng.normal(0, 0.1)
        across = x - centre + (y - cy) * lean
        outline |= (across / a) ** 2 + ((y - cy) / b) ** 2 * np.where(y > cy, 1.4, 1) < 1
    ribs = 12 * np.sin(y * 60 + rng.uniform(0, 6))
    picture = np.where(outline, 50 + ribs, body) + rng.normal(0, 5, (side, side))
    return picture.clip(0, 255).astype(np.uint8), outline


def outlined(count: int, side: int = 64) -> OutlinedPictures:
    """Two renderings, two pictures a patient; the last quarter of the patients is held out."""
    drawn = [drawn_lungs(seed, side) for seed in range(count)]
    pixels = np.stack([picture for picture, _ in drawn])
    second = np.flatnonzero(np.arange(count) % 3 == 0)  # of every third picture only
    index = np.full(count, -1)
    index[second] = np.arange(len(second))
    return OutlinedPictures(
        {"plain": (pixels, np.arange(count)), "bright": ((pixels[second] // 2 + 100).astype(np.uint8), index)},
        np.stack([outline for _, outline in drawn]),
        [f"IM-{n // 2:04d}-{n % 2 + 1:04d}.png" for n in range(count)],
        [f"im-{n // 2}" for n in range(count)],
        np.arange(count) // 2 % 2,
        np.where(np.arange(count) < 3 * count // 4, "development_train", "calibration"),
    )


def write_outlines(folder: Path, outlines: dict[str, np.ndarray]) -> Path:
    """The data set that ``--outlines`` names: Parquet with ``name`` and ``lungs``."""

    def png(mask: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Picture.fromarray(mask).save(buffer, "PNG")
        return buffer.getvalue()

    rows = {"name": list(outlines), "lungs": [{"bytes": png(mask), "path": None} for mask in outlines.values()]}
    features = Features({"name": Value("string"), "lungs": Image()})
    (folder / "data").mkdir(parents=True)
    Dataset.from_dict(rows, features=features).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


def trained_folder(folder: Path, pictures: OutlinedPictures) -> Path:
    """``lungs.safetensors`` and its graph."""
    options = LungTraining(epochs=30, batch_size=8, learning_rate=1e-2, average=0.9)
    network = train_network(pictures, pictures.rows("development_train"), TINY, options, workers=0)
    save_network(network, folder, {"pictures": 48})
    export_network(folder)
    return folder
