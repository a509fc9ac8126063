"""Features of an ImageNet backbone that has seen no radiograph: an honest witness for labels, and a yardstick."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.data.pixels import default_cache_dir
from hf_model.data.prepare import rendering_name
from hf_model.inference.checkpoint import sha256

SETTINGS = ("config.json", "preprocessor_config.json")


def backbone_features(pictures: Pictures, name: str, cache_dir: Path | None = None) -> np.ndarray:
    """What the frozen ``name`` gives its head for each development picture, float32 (D, F); computed once and kept.

    A folder is kept under the SHA-256 of its files, so that weights trained anew give features anew. Raises ModelError
    for a backbone that cannot be loaded.
    """
    key = hashlib.sha256("\n".join([_identity(name), *(pictures.hashes[i] for i in pictures.development)]).encode())
    file = (cache_dir or default_cache_dir()) / f"features-{key.hexdigest()[:24]}.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    features = _compute(pictures, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part.npy")
    np.save(partial, features, allow_pickle=False)
    partial.replace(file)
    return features


def describe(name: str) -> str:
    """What the features are, for a report; of a folder without its path."""
    from hf_model.modeling.base import LITE0, NAMED

    if name == LITE0 or name in NAMED:
        return f"features of {name} as ImageNet left it"
    return f"features of the network as {rendering_name(name)} has it"


def _identity(name: str) -> str:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    # the settings of network and processor decide as well as the weights
    files = sorted({*folder.glob("*.safetensors"), *(folder / file for file in SETTINGS)})
    return " ".join(f"{path.name} {sha256(path)}" for path in files if path.is_file())


def _compute(pictures: Pictures, name: str) -> np.ndarray:
    import torch
    from torch.utils.data import DataLoader

    from hf_model.modeling.base import load_base_model
    from hf_model.modeling.features import compute_features
    from hf_model.training.batches import PlainCollator, PlainRows

    base = load_base_model(name, image_size=pictures.pixels.shape[1])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    at = pictures.development
    rows = PlainRows(pictures.pixels[at], pictures.labels[pictures.kept[at]])
    batches = DataLoader(rows, batch_size=64, collate_fn=PlainCollator(base.preprocessing))
    return compute_features(base.model.to(device), batches, device, f"{pictures.name} by {name}")["features"].numpy()
