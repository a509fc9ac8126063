"""Push a checkpoint folder to the Hub in one commit, or say why not and how to push it again.

One commit, not ``upload_folder``: with hf_xet installed that one commits in batches, and weights must never stand on
the Hub beside the threshold of other weights.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open

from hf_model.hub.access import HubAccessError, check_write_access
from hf_model.hub.model_card import PLACEHOLDER

REQUIRED = (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "decision.json",
    "metrics.json",
    "README.md",
)
FIGURES = (
    *("roc", "precision_recall", "thresholds", "reliability", "decision_curve", "scores"),
    *(f"confusion_matrix_{point}" for point in ("0_5", "argmax", "default", "rule_out", "rule_in")),
)
"""What training draws into ``figures/``; any other picture there may be a patient's."""
AUDIT = "audit.json"
PICTURE_PARTS = frozenset({"list", "problems", "examples", "leaks", "ranges", "statistics", "intensity", "seconds"})
"""Parts of an audit's record that list pictures or fill pages: the published summary leaves them out."""
IMAGE_FILE = re.compile(r"\.(?:png|jpe?g?|tiff?|webp|bmp|dcm|dicom?)\b", re.IGNORECASE)
OPTIONAL = (
    "gate.safetensors",
    "openvino_model.xml",
    "openvino_model.bin",
    "LICENSE",
    "training_curves.png",
    "confusion_matrix.png",
    AUDIT,
    "evaluation.html",
    *(f"figures/{stem}.{suffix}" for stem in FIGURES for suffix in ("png", "svg")),
    "scores/*.csv",
)
"""All else stays on disk: optimizer states, ``training_args.bin`` (a pickle), pages with pictures of the data."""
STALE = (*OPTIONAL, "figures/*.png", "figures/*.svg")
"""What a push deletes from the repository if the folder no longer has it or must not publish it."""


class PushError(RuntimeError):
    """The push failed. The folder is as it was; ``str()`` gives the reason and the command that pushes it again."""


def checkpoint_files(folder: Path | str) -> list[Upload]:
    """What a push of the folder uploads: ``REQUIRED`` and ``OPTIONAL`` and nothing else, sorted by path.

    Raises:
        PushError: a required file is missing, cut short or not what its name says, or audit.json names pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PushError(f"{folder} is not a folder: give the --output_dir of the training run.")
    if missing := [name for name in REQUIRED if not (folder / name).is_file()]:
        raise PushError(
            f"{folder} is not a complete checkpoint, it lacks {', '.join(missing)}: nothing was pushed. Finish the "
            "training run that writes it (the same command with --resume goes on where it stopped)."
        )
    found = {path for pattern in (*REQUIRED, *OPTIONAL) for path in folder.glob(pattern) if path.is_file()}
    for path in found:
        _check_file(path)
    return sorted((Upload(path.relative_to(folder).as_posix(), path) for path in found), key=lambda upload: upload.path)


def push_checkpoint(
    folder: Path | str,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Create the model repository if needed and upload the checkpoint in one commit.

    Args:
        folder: a checkpoint folder as training writes it; it is only read.
        repo_id: ``name`` (then the token's own user's) or ``namespace/name``.
        token: access token; default: ``HF_TOKEN``, then what ``hf auth login`` stored.
        private: for a repository that this push creates.
        revision: branch to push to, made if needed; default ``main``.
        commit_message: first line of the commit.

    Returns:
        The commit's address. Unchanged files make no new commit; then it is the last one's.

    Raises:
        PushError: whatever went wrong; the folder is complete and unchanged.
    """
    folder = Path(folder)
    uploads = checkpoint_files(folder)
    again = push_command(folder, repo_id, private=private, revision=revision)
    try:
        return _upload(uploads, repo_id, token, private, revision, commit_message or f"Push {folder.resolve().name}")
    # Whatever the client raises (HTTP, a lost connection, hf_xet, the disk), the user needs the same two facts.
    except Exception as error:
        raise PushError(
            f"The push to {repo_id} failed: {describe_error(error)} Everything is complete in {folder}; push it again "
            f"with:\n    {again}"
        ) from error


def push_command(folder: Path | str, repo_id: str, *, private: bool = False, revision: str | None = None) -> str:
    """The shell command that pushes the folder as it was to be pushed."""
    words = ["python", "-m", "hf_model", "push", str(folder), "--hub_model_id", repo_id]
    words += ["--private"] if private else []
    words += ["--revision", revision] if revision else []
    return shlex.join(words)


def _upload(
    uploads: Sequence[Upload], repo_id: str, token: str | None, private: bool, revision: str | None, message: str
) -> str:
    full_id = check_write_access(repo_id, token=token)
    uploads = [_named(upload, full_id) for upload in uploads]
    api = HfApi(token=token)
    api.create_repo(full_id, private=private, exist_ok=True)
    if revision:
        api.create_branch(full_id, branch=revision, exist_ok=True)

    def stale(path: str) -> bool:
        """Engine files of an earlier push would answer for weights that are gone."""
        return any(fnmatch(path, name) for name in STALE)

    return commit(api, full_id, uploads, message, stale=stale, revision=revision)


def _named(upload: Upload, full_id: str) -> Upload:
    """The card, checked, with the repository's name in its code examples; any other file as it is."""
    if upload.path != "README.md":
        return upload
    text = Path(upload.source).read_text(encoding="utf-8").replace(PLACEHOLDER, full_id)
    check_card(text)
    return Upload(upload.path, text.encode())


def check_card(text: str) -> None:
    """Check the card here, then by the Hub's own rules (``POST /api/validate-yaml``).

    Raises:
        ValueError: no readable front matter, or without what ``pipeline(model=id)`` needs, or the Hub refuses it.
    """
    card = ModelCard(text)
    if card.data.get("pipeline_tag") != "image-classification":
        raise ValueError(
            "README.md's front matter has no 'pipeline_tag: image-classification', without which "
            "transformers.pipeline(model=…) does not know the task; write the card again with hf_model.hub.model_card"
        )
    card.validate()


def _check_file(path: Path) -> None:
    """Refuse JSON that does not parse, weights that are cut short, and an audit that names pictures."""
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            if path.name == AUDIT:
                _check_audit(content)
        elif path.suffix == ".safetensors":
            _check_weights(path)
    except ValueError as error:
        raise PushError(f"{path} cannot be pushed: {error}. Nothing was pushed.") from error


def _check_audit(record: object) -> None:
    """Only the summary ships: the whole record names files, which may be named after patients."""
    if names_pictures(record):
        raise ValueError(
            "it names pictures of the data set. Move it away, or put the summary in its place, which names none: "
            "python -m hf_model audit … --summary FILE"
        )


def names_pictures(record: object) -> bool:
    """Whether a part of ``PICTURE_PARTS`` or the name of an image file is anywhere in an audit's record."""
    if isinstance(record, dict):
        return any(key in PICTURE_PARTS or names_pictures(part) for key, part in record.items())
    if isinstance(record, list):
        return any(map(names_pictures, record))
    return isinstance(record, str) and IMAGE_FILE.search(record) is not None


def _check_weights(path: Path) -> None:
    """Opening reads the header only, which must account for every byte of the file."""
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(f"it is not a safetensors file, or cut short ({error})") from error


@dataclass(frozen=True)
class Upload:
    """One file of an upload: its path in the repository, and a file or the content itself."""

    path: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def operation(self) -> CommitOperationAdd:
        """As the client takes it; the file is read, never changed."""
        source = self.source if isinstance(self.source, bytes) else str(self.source)
        return CommitOperationAdd(path_in_repo=self.path, path_or_fileobj=source)


def commit(
    api: HfApi,
    repo_id: str,
    uploads: Sequence[Upload],
    message: str,
    *,
    stale: Callable[[str], bool],
    repo_type: str = "model",
    revision: str | None = None,
) -> str:
    """Upload the files in one commit, and delete those of the repository that are ``stale`` and not uploaded.

    Returns the commit's address.
    """
    here = {upload.path for upload in uploads}
    there = api.list_repo_files(repo_id, repo_type=repo_type, revision=revision)
    gone = [path for path in there if path not in here and stale(path)]
    operations = [*(upload.operation() for upload in uploads), *(CommitOperationDelete(path) for path in gone)]
    info = api.create_commit(repo_id, operations, commit_message=message, repo_type=repo_type, revision=revision)
    return info.commit_url


def describe_error(error: Exception) -> str:
    """One sentence from whatever a Hub client raised, with the server's own words where it sent some."""
    if isinstance(error, HubAccessError):
        return str(error)
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        said = " ".join((error.server_message or str(error).splitlines()[0]).split())
        text = f"the Hub answered {status} ({said.rstrip('.')})"
    else:
        text = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
    return f"{text}."


def readable_size(size: int) -> str:
    """Bytes for a person, with decimal units as the Hub shows them: 999 B, 1.0 kB, 13.6 MB."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95 or unit == "GB":
            break
    return f"{value:.1f} {unit}"


def upload_table(uploads: Sequence[Upload]) -> str:
    """One line a file, size first, and a line with the sum."""
    rows = [(readable_size(upload.size), upload.path) for upload in uploads]
    total = readable_size(sum(upload.size for upload in uploads))
    width = max(len(size) for size, _ in [*rows, (total, "")])
    lines = [f"  {size:>{width}}  {path}" for size, path in rows]
    return "\n".join([*lines, f"  {total:>{width}}  in {len(rows)} files"])
