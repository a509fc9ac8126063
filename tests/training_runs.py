"""Short training runs on generated pictures, for the tests that start from a finished one."""

from __future__ import annotations

from pathlib import Path

import pytest
from generated import write_image_folder

import train

BRIEF = [
    *("--head_epochs", "2", "--head_views", "1", "--per_device_train_batch_size", "16", "--logging_steps", "2"),
    *("--disable_tqdm", "true", "--learning_rate", "1e-3", "--ema_decay", "0.9", "--gamma", "0.1", "--zoom", "0.05"),
    *("--save_total_limit", "5", "--early_stopping_patience", "0"),
]


@pytest.fixture(scope="session")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """80 training and 12 test patients per class, in two renderings."""
    folder, splits = tmp_path_factory.mktemp("data"), {"train": 80, "test": 12}
    return write_image_folder(folder / "plain", splits), write_image_folder(folder / "smooth", splits, smooth=True)


def run(renderings: tuple[Path, Path], base: Path, out: Path, *more: str) -> Path:
    """One training run to the end; fails the test if it does."""
    plain, smooth = map(str, renderings)
    argv = ["--dataset", plain, "--renderings", smooth, "--originals", smooth, "--base_model", str(base)]
    assert train.main([*argv, "--output_dir", str(out), "--num_train_epochs", "2", *BRIEF, *more]) == 0
    return out


@pytest.fixture(scope="session")
def trained(renderings, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(renderings, tiny_base, tmp_path_factory.mktemp("out") / "run")
