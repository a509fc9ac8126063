"""Pictures, data sets and scores that tests generate: nothing here comes from a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hf_model.metrics.scores import Scores


def chest(seed: int, *, pneumonia: bool = False, side: int = 64) -> np.ndarray:
    """A radiograph-like picture, uint8 (side, side): bright body, two dark lungs, ribs; pneumonia adds opacity."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    jitter = rng.normal(0, 0.015, 6)
    picture = 0.62 * np.exp(-(((x - 0.5) / 0.55) ** 4)) + 0.1
    for centre in (0.3 + jitter[0], 0.7 + jitter[1]):
        lung = ((x - centre) / (0.15 + jitter[2])) ** 2 + ((y - 0.48 - jitter[3]) / (0.3 + jitter[4])) ** 2 < 1
        picture = np.where(lung, 0.2 + 0.05 * np.sin(y * 60 + rng.uniform(0, 6)), picture)
        if pneumonia:
            spot = np.exp(-(((x - centre) / 0.12) ** 2 + ((y - rng.uniform(0.45, 0.65)) / 0.14) ** 2))
            picture = picture + 0.4 * rng.uniform(0.7, 1.0) * spot
    picture += 0.25 * np.exp(-(((x - 0.52) / 0.05) ** 2)) + rng.normal(0, 0.02, picture.shape)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def file_name(patient: int, picture: int, pneumonia: bool) -> str:
    """A name as the Kermany data set has it."""
    if pneumonia:
        return f"person{patient}_{('bacteria', 'virus')[patient % 2]}_{patient * 10 + picture}.png"
    return f"IM-{patient:04d}-{picture + 1:04d}.png"


def write_image_folder(
    folder: Path,
    splits: dict[str, int],
    *,
    side: int = 64,
    pictures: int = 2,
    seed: int = 0,
    smooth: bool = False,
    first: int = 0,
) -> Path:
    """An image folder ``<split>/<CLASS>/<name>``, each split with so many patients per class.

    Patients are numbered from ``first`` on; numbers do not repeat over splits. ``smooth`` gives another rendering of
    the same pictures.
    """
    number = first
    for split, patients in splits.items():
        for pneumonia in (False, True):
            target = folder / split / ("PNEUMONIA" if pneumonia else "NORMAL")
            target.mkdir(parents=True, exist_ok=True)
            for patient in range(number, number + patients):
                for picture in range(1 + patient % pictures):
                    name = file_name(patient, picture, pneumonia)
                    pixels = chest(seed + 1000 * patient + picture + 500 * pneumonia, pneumonia=pneumonia, side=side)
                    image = Image.fromarray(pixels)
                    if smooth:
                        image = image.resize((side // 2, side // 2)).resize((side, side), Image.Resampling.BICUBIC)
                    image.save(target / name)
        number += patients
    return folder


def make_scores(patients: int = 400, *, seed: int = 0, separation: float = 2.0, shared: float = 1.0) -> Scores:
    """Correlated scores of several pictures a patient, as in the real data.

    Three of four patients have pneumonia; one to four pictures each; ``shared`` is the spread between patients.
    """
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), generator.integers(1, 5, patients))
    labels = (owner % 4 > 0).astype(int)
    margins = np.where(labels == 1, separation, -separation) + shared * generator.normal(size=patients)[owner]
    margins = margins + generator.normal(size=len(owner))
    logits = np.stack([-margins / 2, margins / 2], axis=1)
    return Scores(logits, labels, [f"p{row:05d}.jpeg" for row in range(len(owner))], [f"person{key}" for key in owner])


def pictures(count: int, seed: int = 0, side: int = 64) -> np.ndarray:
    """Smooth random grey pictures uint8 (count, side, side)."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (count, 8, 8))
    return np.clip(
        np.kron(coarse, np.ones((side // 8, side // 8))) + generator.normal(0, 5, (count, side, side)), 0, 255
    ).astype(np.uint8)
