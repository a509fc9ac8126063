"""Films of adults: three renderings, patients by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from generated import chest
from PIL import Image

from hf_model.data.adults import read_adults
from hf_model.data.loading import DatasetError
from hf_model.radiograph import Preprocessing


def test_three_renderings_of_every_film(tmp_path: Path) -> None:
    for number, label in enumerate(("NORMAL", "NORMAL", "PNEUMONIA")):
        place = tmp_path / "adults" / "train" / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chest(number, side=128)).save(place / f"0000{number // 2}_00{number}.png")
    found = read_adults(str(tmp_path / "adults"), Preprocessing(height=48, width=40), tmp_path / "cache")
    assert list(found) == ["antialiased", "JPEG of quality 75", "nearest neighbour"]
    assert {pixels.shape for pixels, _ in found.values()} == {(3, 48, 40)}
    assert all(sorted(patients) == ["00000", "00000", "00001"] for _, patients in found.values())
    plain, jpeg, nearest = (pixels.astype(int) for pixels, _ in found.values())
    assert 0 < np.abs(plain - jpeg).mean() < 4
    assert np.abs(plain - nearest).mean() > np.abs(plain - jpeg).mean()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--adults"):
        read_adults(str(tmp_path / "none"), Preprocessing(), tmp_path / "cache")
