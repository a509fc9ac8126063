"""The Hub stand-in, and a small checkpoint folder as training writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hub_standin import hub
from safetensors.numpy import save_file

__all__ = ["hub"]

CARD = "---\nlicense: apache-2.0\nlibrary_name: transformers\npipeline_tag: image-classification\n---\n\n# Small\n"
OTHERS = (
    "optimizer.pt",
    "training_args.bin",
    "trainer_state.json",
    "report.html",
    "report/index.html",
    "report/cases/3.jpg",
    "checkpoint-10/model.safetensors",
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A complete checkpoint folder with 6 MB of weights, and beside them what must never be published."""
    folder = tmp_path / "outputs" / "my run"
    (folder / "scores").mkdir(parents=True)
    weights = np.random.default_rng(0).standard_normal(1_500_000, dtype=np.float32)
    save_file({"classifier.weight": weights}, folder / "model.safetensors")
    for name in ("config.json", "preprocessor_config.json", "decision.json", "metrics.json"):
        (folder / name).write_text(json.dumps({"file": name}), encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "scores" / "test.csv").write_text("name,label\n", encoding="utf-8")
    for name in OTHERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x80\x04not for others")
    return folder


@pytest.fixture
def snapshot():
    """Path -> bytes of everything under a folder, to compare before and after."""
    return lambda folder: {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
