"""A checkpoint folder as serving reads it, local or from the Hub: label order, preprocessing, decision, hash.

The weights are hashed, not loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_model.config import CHECKPOINT_DIR, HUB_ID, LABELS
from hf_model.files import sha256
from hf_model.metrics.decision import Decision
from hf_model.radiograph import OODDetector, Preprocessing

WEIGHTS = "model.safetensors"
FETCHED = (
    "config.json",
    "preprocessor_config.json",
    "decision.json",
    "metrics.json",
    WEIGHTS,
    "gate.safetensors",
    "openvino_model.xml",
    "openvino_model.bin",
    "README.md",
    "scores/*.csv",
    "training_curves.png",
    "confusion_matrix.png",
)
"""Files that may be downloaded: no pickle and no code."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be served; the message names it, says what is wrong and what to do."""


def locate(source: str | Path | None, *, revision: str | None = None, token: str | None = None) -> tuple[Path, str]:
    """``(folder, model_id)`` of a checkpoint.

    source: None for the shipped checkpoint, a folder, or a Hub id (``owner/name``), for which alone the network is
    used. revision and token are for the Hub. model_id is the Hub id, or the folder's name without its path.
    Raises CheckpointError.
    """
    if source is None:
        if not (CHECKPOINT_DIR / "config.json").is_file():
            raise CheckpointError(
                "This copy has no checkpoint in hf_model/checkpoint. Train one with `python train.py`, "
                "or name a folder or Hub id."
            )
        return CHECKPOINT_DIR, CHECKPOINT_DIR.name
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder, folder.resolve().name
    if isinstance(source, Path) or not HUB_ID.fullmatch(source):
        raise CheckpointError(f"There is no folder {source}. Give a checkpoint folder or a Hub id such as owner/name.")
    return _download(source, revision, token), source


def _download(repository: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        folder = snapshot_download(repository, revision=revision, token=token, allow_patterns=list(FETCHED))
    except GatedRepoError as error:
        raise CheckpointError(f"{repository} is gated: accept its terms on the Hub, then pass a token.") from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r}; name a branch, tag or commit.") from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{repository} is neither a folder here nor a repository that this token can read on the Hub; "
            "check the spelling, or log in with `hf auth login`."
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{repository} is not a folder here and could not be fetched from the Hub ({reason}); "
            "check the connection, or download it once and name its folder."
        ) from error
    return Path(folder)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint without an engine.

    label_order: rows of the classifier that are ``(normal, pneumonia)``. weights_sha256: of ``model.safetensors``.
    ood_detector: None without ``gate.safetensors``. metrics: contents of ``metrics.json``, or None.
    """

    folder: Path
    model_id: str
    weights_sha256: str
    label_order: tuple[int, int]
    preprocessing: Preprocessing
    decision: Decision
    ood_detector: OODDetector | None
    metrics: dict[str, Any] | None

    @classmethod
    def open(cls, source: str | Path | None, *, revision: str | None = None, token: str | None = None) -> Checkpoint:
        """Read a folder or Hub id (None: the shipped one).

        Raises CheckpointError if it is missing, has no safetensors, does not have the two classes NORMAL and
        PNEUMONIA, has a preprocessing that cannot be expressed, or a decision.json or gate.safetensors of other
        weights.
        """
        folder, model_id = locate(source, revision=revision, token=token)
        config = _json(folder / "config.json", needed=True)
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise CheckpointError(
                f"{model_id} has no {WEIGHTS}. Pickled weights are never loaded: save it with "
                "`save_pretrained(folder)` of a current transformers."
            )
        try:
            preprocessing = Preprocessing.from_pretrained(folder)
            decision, ood_detector = Decision.load(folder), OODDetector.load(folder)
        except (FileNotFoundError, ValueError) as error:
            raise CheckpointError(f"{model_id} cannot be served: {error}") from error
        digest = sha256(weights)
        _check_origin("decision.json", decision.provenance, digest, model_id)
        if ood_detector is not None:
            _check_origin("gate.safetensors", ood_detector.metadata, digest, model_id)
        return cls(
            folder=folder,
            model_id=model_id,
            weights_sha256=digest,
            label_order=label_order(config, model_id),
            preprocessing=preprocessing,
            decision=decision,
            ood_detector=ood_detector,
            metrics=_json(folder / "metrics.json", needed=False),
        )


def label_order(config: dict[str, Any], model_id: str) -> tuple[int, int]:
    """Classifier rows ``(normal, pneumonia)`` from ``id2label`` of a ``config.json``, whose keys JSON made strings.

    Case and surrounding space do not matter. Raises CheckpointError unless the labels are these two.
    """
    id2label = config.get("id2label")
    rows = {}
    if isinstance(id2label, dict):
        rows = {str(label).strip().upper(): int(key) for key, label in id2label.items() if str(key).isdigit()}
    if len(rows) != 2 or len(id2label) != 2 or set(rows) != set(LABELS) or set(rows.values()) != {0, 1}:
        names = sorted(map(str, id2label.values())) if isinstance(id2label, dict) else []
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        raise CheckpointError(
            f"{model_id} has the labels {shown or 'LABEL_0, LABEL_1 (id2label is missing)'}; only a classifier with "
            f"the two labels {' and '.join(LABELS)} can be served. Fine-tune it with `python train.py --base_model`, "
            "or set id2label in its config.json."
        )
    return rows[LABELS[0]], rows[LABELS[1]]


def checkpoint_around(folder: Path) -> Path | None:
    """The checkpoint folder that ``folder`` is or lies in; None if there is none.

    What lies there may be published with the weights, so that reports with pictures do not belong there.
    """
    folder = folder.resolve()
    return next((place for place in (folder, *folder.parents) if (place / "model.safetensors").is_file()), None)


def _check_origin(file: str, facts: dict[str, Any], digest: str, model_id: str) -> None:
    """Raise CheckpointError for a file fitted on other weights: its thresholds would be wrong without any sign."""
    fitted_on = facts.get("weights_sha256")
    if fitted_on not in (None, digest):
        raise CheckpointError(
            f"{file} of {model_id} was fitted on other weights ({str(fitted_on)[:12]}… and not {digest[:12]}…); "
            "run `python -m hf_model recalibrate`, or restore the file that belongs to the weights."
        )


def _json(path: Path, *, needed: bool) -> dict[str, Any] | None:
    if not path.is_file():
        if needed:
            raise CheckpointError(
                f"{path.parent} has no {path.name}, so it is not a checkpoint; name a folder that has one."
            )
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}); copy it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object; copy it again.")
    return content
