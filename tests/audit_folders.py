"""Generated data sets for the audit; nothing here comes from a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 96


def film(seed: int, *, pneumonia: bool) -> np.ndarray:
    """A chest of its own, uint8 (96, 96): two dark lungs, structure at middle scales, for pneumonia an opacity."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7), dtype=np.uint8))
    picture = 90 + 0.5 * np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)
    for centre in (0.3, 0.7):
        place = centre + rng.normal(0, 0.015)
        picture -= 80 * (((x - place) / 0.16) ** 2 + ((y - 0.48) / 0.3) ** 2 < 1)
        if pneumonia:
            picture += 90 * np.exp(-(((x - place) / 0.1) ** 2 + ((y - rng.uniform(0.45, 0.6)) / 0.12) ** 2))
    picture += rng.normal(0, 6, picture.shape)
    return picture.round().clip(0, 255).astype(np.uint8)


def name_of(patient: int, picture: int, *, pneumonia: bool) -> str:
    """As the Kermany data set names its files, odd patients viral."""
    if pneumonia:
        return f"person{patient}_{('bacteria', 'virus')[patient % 2]}_{patient * 10 + picture}.bmp"
    return f"IM-{patient:04d}-{picture + 1:04d}.bmp"


def write_clean(folder: Path, patients: dict[str, int]) -> Path:
    """``<split>/<CLASS>/<name>``: so many patients per class, two pictures each, as BMP so that all have one length."""
    number = 0
    for split, count in patients.items():
        for pneumonia in (False, True):
            target = folder / split / ("PNEUMONIA" if pneumonia else "NORMAL")
            target.mkdir(parents=True)
            for patient in range(number, number + count):
                for picture in range(2):
                    pixels = film(100_000 * pneumonia + 10 * patient + picture, pneumonia=pneumonia)
                    Image.fromarray(pixels).save(target / name_of(patient, picture, pneumonia=pneumonia))
        number += count
    return folder
