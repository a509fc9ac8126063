"""Doubtful labels: those that a classifier finds unlikely without having seen the patient. Nothing is dropped.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021) by the package ``cleanlab`` (Apache 2.0).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from hf_model.audit.pictures import Pictures
from hf_model.audit.shortcuts import auc_entry, linear, out_of_fold
from hf_model.config import LABELS
from hf_model.data.prepare import rendering_name
from hf_model.files import cache_folder, sha256

SETTINGS = ("config.json", "preprocessor_config.json")


def check_labels(pictures: Pictures, features: np.ndarray, how: str, seed: int = 0) -> dict[str, Any]:
    """The JSON part on labels, from development pictures only.

    Args:
        features: float (D, F) of the development pictures. how: what they are, for the report.

    Raises:
        TooFewPatientsError: a class has fewer than two patients there.
        ImportError: cleanlab is not installed.
    """
    at = pictures.development
    labels, groups = pictures.decoded_labels[at], pictures.groups[at]
    probability = out_of_fold(linear(seed), features, labels, groups, seed)
    listed = []
    for position, confident in zip(*rank_suspects(labels, probability), strict=True):
        row = int(pictures.kept[at[position]])
        listed.append(
            {
                "file": pictures.where(row),
                "position": int(at[position]),
                "label": LABELS[labels[position]],
                "confidence": float(probability[position] if labels[position] else 1 - probability[position]),
                "confident": bool(confident),
            }
        )
    suspects = [entry["label"] for entry in listed if entry["confident"]]
    return {
        "how": how,
        "auc": auc_entry(probability, labels, groups, seed),
        "n": len(labels),
        "disagree": len(listed),
        "suspects": len(suspects),
        "by_label": {name: suspects.count(name) for name in LABELS},
        "list": listed,
    }


def rank_suspects(labels: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the labels that the probability contradicts, the strongest contradiction first.

    Args:
        labels: int (M,). probability: float (M,), out of fold, of class 1.

    Returns:
        int64 (K,) positions, and bool (K,): which of them confident learning calls label errors too (cleanlab's
        ``filter_by="both"``: pruning by class and by noise rate). It is the stricter: it asks for more confidence
        than the average picture of the other class has.
    """
    from cleanlab.filter import find_label_issues

    both = np.stack([1 - probability, probability], axis=1)
    given = both[np.arange(len(labels)), labels]
    order = np.argsort(given, kind="stable")
    positions = order[given[order] < 0.5]
    confident = find_label_issues(labels, both, filter_by="both", n_jobs=1)
    return positions, confident[positions]


def backbone_features(pictures: Pictures, name: str, cache_dir: Path | None = None) -> np.ndarray:
    """Input of the head of the frozen network ``name`` for each development picture, float32 (D, F); cached.

    A folder is cached under the SHA-256 of its files, so that new weights give new features. Raises ModelError for a
    backbone that cannot be loaded.
    """
    key = hashlib.sha256("\n".join([_identity(name), *(pictures.hashes[i] for i in pictures.development)]).encode())
    file = (cache_dir or cache_folder()) / f"features-{key.hexdigest()[:24]}.npy"
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
    from hf_model.modeling.base import NAMES

    if name in NAMES:
        return f"features of {name} as ImageNet left it"
    return f"features of the network as {rendering_name(name)} has it"


def _identity(name: str) -> str:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    # the settings of network and processor matter as well as the weights
    files = sorted({*folder.glob("*.safetensors"), *(folder / file for file in SETTINGS)})
    return " ".join(f"{path.name} {sha256(path)}" for path in files if path.is_file())


def _compute(pictures: Pictures, name: str) -> np.ndarray:
    import torch

    from hf_model.modeling.base import load_base_model
    from hf_model.modeling.features import PictureRows, compute_features, picture_batches

    base = load_base_model(name, image_size=pictures.pixels.shape[1])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    at = pictures.development
    batches = picture_batches(PictureRows(pictures.pixels[at], pictures.decoded_labels[at]), base.preprocessing)
    return compute_features(base.model.to(device), batches, device, f"{pictures.name} by {name}")["features"].numpy()
