"""Where a checkpoint is: a folder as it stands, or a Hub repository of which only what serving needs is fetched."""

from __future__ import annotations

import re
from pathlib import Path

from hf_model.config import CHECKPOINT_DIR

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
"""All that is ever downloaded: no pickle, no code."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


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
                "This copy carries no checkpoint in hf_model/checkpoint. Train one with `python train.py`, "
                "or name a folder or Hub id."
            )
        return CHECKPOINT_DIR, CHECKPOINT_DIR.name
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder, folder.resolve().name
    if isinstance(source, Path) or not _HUB_ID.fullmatch(source):
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
            f"{repository} is no folder here and could not be fetched from the Hub ({reason}); "
            "check the connection, or download it once and name its folder."
        ) from error
    return Path(folder)
