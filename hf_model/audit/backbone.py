"""Features of an ImageNet backbone that has seen no radiograph: an honest witness for labels, and a yardstick."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.data.pixels import default_cache_dir


def backbone_features(pictures: Pictures, name: str, cache_dir: Path | None = None) -> np.ndarray:
    """What the frozen ``name`` gives its head for each development picture, float32 (D, F); computed once and kept.

    Raises ModelError for a backbone that cannot be loaded.
    """
    key = hashlib.sha256("\n".join([name, *(pictures.hashes[i] for i in pictures.development)]).encode())
    file = (cache_dir or default_cache_dir()) / f"features-{key.hexdigest()[:24]}.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    features = _compute(pictures, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part.npy")
    np.save(partial, features, allow_pickle=False)
    partial.replace(file)
    return features


def _compute(pictures: Pictures, name: str) -> np.ndarray:
    import torch
    from torch.utils.data import DataLoader

    from hf_model.modeling.base import load_base_model
    from hf_model.training.batches import PlainCollator, PlainRows
    from hf_model.training.features import compute_features

    base = load_base_model(name, image_size=pictures.pixels.shape[1])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    at = pictures.development
    rows = PlainRows(pictures.pixels[at], pictures.labels[pictures.kept[at]])
    batches = DataLoader(rows, batch_size=64, collate_fn=PlainCollator(base.preprocessing))
    return compute_features(base.model.to(device), batches, device, f"{pictures.name} by {name}")["features"].numpy()
