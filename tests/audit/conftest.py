"""A clean generated data set, a copy to plant faults in, and the reader of both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from audit_folders import SIDE, write_clean

from hf_model.audit.pictures import Pictures, gather
from hf_model.data.loading import load_splits
from hf_model.radiograph import Preprocessing


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 12 test patients per class, nothing wrong with them."""
    return write_clean(tmp_path_factory.mktemp("clean"), {"train": 24, "test": 12})


@pytest.fixture
def folder(clean_folder: Path, tmp_path: Path) -> Path:
    """A copy of the clean folder to plant faults in."""
    return Path(shutil.copytree(clean_folder, tmp_path / "data"))


@pytest.fixture
def read(tmp_path: Path):
    """folder -> Pictures, decoded at 96 px into a cache of this test."""

    def reading(source: Path) -> Pictures:
        published = load_splits(str(source), cache_dir=str(tmp_path / "hf"))
        return gather("generated", published, Preprocessing(height=SIDE, width=SIDE), cache_dir=tmp_path / "cache")

    return reading
