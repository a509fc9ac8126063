"""Deploy the page as a Gradio Space: app, package, requirements and a README with the header that the Hub needs.

Header fields: https://huggingface.co/docs/hub/spaces-config-reference
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import HfApi, SpaceCard, SpaceCardData
from huggingface_hub.errors import RepositoryNotFoundError

from hf_model.config import DEFAULT_DATASET, NOT_A_DEVICE
from hf_model.hub.access import check_write_access
from hf_model.hub.push import Upload, commit, describe_error, upload_table

ROOT = Path(__file__).parents[2]
"""The project's folder: app.py and the requirements are beside the package."""
TITLE = "Chest X-ray pneumonia classifier"
COLORS = ("blue", "gray")
PYTHON_VERSION = "3.11"
CARRIED = ("app.py",)
SERVING, TRAINING = "requirements-serve.txt", "requirements.txt"
CONVERTING = ("torch", "transformers")
"""What a Space needs besides ``SERVING`` if its model has no OpenVINO graph and is converted at every start."""
CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""pip's default torch contains CUDA: several GB that a free Space cannot use."""
GRAPH = ("openvino_model.xml", "openvino_model.bin")
PACKAGE = "hf_model"
CHECKPOINT = f"{PACKAGE}/checkpoint/"
VARIABLE = "MODEL_ID"
"""Environment variable that makes app.py serve a model of the Hub instead of the shipped checkpoint."""


class SpaceError(RuntimeError):
    """The Space cannot be assembled or deployed; ``str()`` says what is missing and what to do."""


def space_header(model_id: str | None = None) -> SpaceCardData:
    """The YAML header of a Space's README (also of this project's own): validated by ``check_header``.

    ``model_id`` is the Hub model that the Space serves; None: the checkpoint that it carries.
    """
    return SpaceCardData(
        title=TITLE,
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version=PYTHON_VERSION,
        app_file="app.py",
        license="apache-2.0",
        models=[model_id] if model_id else None,
        datasets=[DEFAULT_DATASET],
        colorFrom=COLORS[0],
        colorTo=COLORS[1],
        pinned=False,
        suggested_hardware="cpu-basic",
        short_description="Probability of pneumonia in a chest X-ray",
    )


def space_readme(space_id: str, model_id: str | None = None) -> str:
    """README.md of the Space: the header, and a few lines for visitors of the repository."""
    if model_id:
        model = f"the model [{model_id}](https://huggingface.co/{model_id}) (variable `MODEL_ID`)"
    else:
        model = f"the checkpoint in `{CHECKPOINT}`, with its model card in the README.md there"
    return f"""---
{space_header(model_id).to_yaml()}
---

# {TITLE}

{NOT_A_DEVICE}

This Space shows {model}. The card describes the patients that the model was fitted on; it does not speak for others.
Uploads are deleted within about a minute of being read.

Call it from Python:

```python
from gradio_client import Client, handle_file

client = Client("{space_id}")
print(client.view_api())
```
"""


def space_requirements(root: Path, *, has_graph: bool) -> str:
    """The Space's requirements.txt: the serving packages, and torch and transformers for a model without its graph.

    One file without ``-r``, because a Space's build sees no other.
    """
    lines = (root / SERVING).read_text(encoding="utf-8").splitlines()
    if not has_graph:
        training = (root / TRAINING).read_text(encoding="utf-8").splitlines()
        needed = [line for line in training if re.split(r"[^A-Za-z0-9_.-]", line)[0] in CONVERTING]
        lines += ["# the model has no OpenVINO graph: it is converted when the Space starts", CPU_WHEELS, *needed]
    return "\n".join(lines) + "\n"


def check_header(text: str) -> None:
    """Check what the Hub requires of a Gradio Space's header, then by the Hub's own rules.

    Raises:
        SpaceError: a required field is missing or wrong, or the Hub refuses the header (its words are in the message).
    """
    try:
        card = SpaceCard(text)
        wrong = {"sdk": "gradio", "app_file": "app.py", "python_version": PYTHON_VERSION}
        wrong = {key: value for key, value in wrong.items() if card.data.get(key) != value}
        if wrong or not card.data.get("sdk_version"):
            raise ValueError(f"needed: sdk_version and {wrong or 'nothing else'}")
        card.validate()
    except ValueError as error:
        raise SpaceError(f"The Space's README.md header is not valid: {error}. Nothing was uploaded.") from error


def space_files(
    space_id: str, *, model_id: str | None = None, has_graph: bool = True, root: Path | None = None
) -> list[Upload]:
    """Every file of the Space, sorted by path: app, requirements, package, README.

    With ``model_id`` the package is uploaded without its checkpoint, and ``has_graph`` says whether that model has an
    OpenVINO graph; otherwise the shipped checkpoint's files decide. ``root`` is the project's folder, default ``ROOT``.

    Raises:
        SpaceError: app.py, a requirements file or the checkpoint is missing.
    """
    root = root or ROOT
    if missing := [name for name in (*CARRIED, SERVING, TRAINING, PACKAGE) if not (root / name).exists()]:
        raise SpaceError(
            f"{root} lacks {', '.join(missing)}: deploy from a clone of the project, not from an installed package."
        )
    uploads = [Upload("README.md", space_readme(space_id, model_id).encode())]
    uploads += [Upload(name, root / name) for name in CARRIED]
    if not model_id:
        has_graph = all((root / CHECKPOINT / name).is_file() for name in GRAPH)
    uploads.append(Upload("requirements.txt", space_requirements(root, has_graph=has_graph).encode()))
    inside = [path.relative_to(root) for path in (root / PACKAGE).rglob("*") if path.is_file()]
    package = [Upload(path.as_posix(), root / path) for path in inside if _belongs(path)]
    if model_id:
        package = [upload for upload in package if not upload.path.startswith(CHECKPOINT)]
    elif not (root / CHECKPOINT / "model.safetensors").is_file():
        raise SpaceError(
            f"{root / CHECKPOINT} holds no model.safetensors to serve: train and promote a checkpoint, or name a model "
            "on the Hub with --model_id."
        )
    return sorted(uploads + package, key=lambda upload: upload.path)


def _belongs(path: Path) -> bool:
    """Whether a file is part of the package: not a byproduct of running it, and not hidden."""
    return not any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def deploy_space(
    space_id: str,
    *,
    model_id: str | None = None,
    token: str | None = None,
    private: bool = False,
    root: Path | None = None,
    say: Callable[[str], None] = print,
) -> str:
    """Create the Gradio Space if needed and make its files exactly this project's.

    Args:
        space_id: ``name`` (then the token's own user's) or ``namespace/name``.
        model_id: Hub model that the Space serves, set as its variable ``MODEL_ID``; None: the shipped checkpoint
            is uploaded, and a ``MODEL_ID`` of an earlier deployment is deleted.
        token: access token; default: ``HF_TOKEN``, then what ``hf auth login`` stored.
        private: for a Space that this call creates.
        root: folder of app.py, the requirements and the package; default: this project's.
        say: is given the list of files and sizes before anything is created, then any warning.

    Returns:
        The Space's address.

    Raises:
        SpaceError: whatever went wrong, with the command that deploys again.
    """
    again = deploy_command(space_id, model_id=model_id, private=private)
    try:
        full_id = check_write_access(space_id, token=token, repo_type="space")
        api = HfApi(token=token)
        has_graph = _check_model(api, model_id, say) if model_id else True
        uploads = space_files(full_id, model_id=model_id, has_graph=has_graph, root=root)
        say(describe(full_id, uploads, model_id))
        check_header(_readme(uploads))
        url = api.create_repo(full_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        _set_variable(api, full_id, model_id)
        _commit(api, full_id, uploads)
        return str(url)
    except SpaceError:
        raise
    # Whatever the client raises (HTTP, a lost connection, hf_xet, the disk), the user needs the same two facts.
    except Exception as error:
        raise SpaceError(
            f"Deploying {space_id} failed: {describe_error(error)} Deploy again with:\n    {again}"
        ) from error


def describe(space_id: str, uploads: Sequence[Upload], model_id: str | None) -> str:
    """What a deployment does, for the terminal: where to, which model, every file with its size."""
    model = f"{VARIABLE}={model_id}" if model_id else "the shipped checkpoint"
    return f"Deploying to the Space {space_id}, serving {model}:\n{upload_table(uploads)}"


def deploy_command(space_id: str, *, model_id: str | None = None, private: bool = False) -> str:
    """The shell command that deploys as it was to be deployed."""
    words = ["python", "-m", "hf_model", "deploy", "--space_id", space_id]
    words += ["--model_id", model_id] if model_id else []
    words += ["--private"] if private else []
    return shlex.join(words)


def _readme(uploads: Sequence[Upload]) -> str:
    return next(upload.source for upload in uploads if upload.path == "README.md").decode()


def _check_model(api: HfApi, model_id: str, say: Callable[[str], None]) -> bool:
    """Whether the model has its OpenVINO graph; SpaceError if it does not exist: the Space would build, then fail."""
    try:
        info = api.model_info(model_id, timeout=10)
    except RepositoryNotFoundError as error:
        raise SpaceError(
            f"The model {model_id} is not on {api.endpoint}, or this token may not see it: push it first with "
            f"`python -m hf_model push FOLDER --hub_model_id {model_id}`. Nothing was uploaded."
        ) from error
    if info.private or info.gated:
        say(f"Note: {model_id} is not public. Give the Space a secret HF_TOKEN that may read it (Settings, Secrets).")
    if set(GRAPH) <= {file.rfilename for file in info.siblings or []}:
        return True
    say(
        f"Note: {model_id} has no {GRAPH[0]}, so the Space installs torch and converts the model at every start. "
        "`python -m hf_model export` makes the graph; push it for a Space that builds and starts faster."
    )
    return False


def _set_variable(api: HfApi, space_id: str, model_id: str | None) -> None:
    """Before the files, so that the first build serves the right model."""
    if model_id:
        api.add_space_variable(space_id, VARIABLE, model_id, description="Hub model that the page serves")
    elif VARIABLE in api.get_space_variables(space_id):
        api.delete_space_variable(space_id, VARIABLE)


def _commit(api: HfApi, space_id: str, uploads: Sequence[Upload]) -> None:
    """One commit; modules and weights of an earlier deployment that this project no longer has are deleted."""
    title = SpaceCard(_readme(uploads)).data.get("title")
    commit(
        api, space_id, uploads, f"Deploy {title}", stale=lambda path: path.startswith(f"{PACKAGE}/"), repo_type="space"
    )
