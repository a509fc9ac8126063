"""What a Space is made of: app, package, requirements and a README whose header tells the Hub how to run it.

Header fields: https://huggingface.co/docs/hub/spaces-config-reference
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData

from hf_model.config import DEFAULT_DATASET, NOT_A_DEVICE
from hf_model.hub.listing import Upload

ROOT = Path(__file__).parents[2]
"""Where app.py and the requirements stand beside the package."""
TITLE = "Chest X-ray pneumonia classifier"
COLORS = ("blue", "gray")
PYTHON_VERSION = "3.11"
CARRIED = ("app.py",)
SERVING, TRAINING = "requirements-serve.txt", "requirements.txt"
CONVERTING = ("torch", "transformers")
"""What a Space needs besides ``SERVING`` when its model brings no graph: it is then converted at every start."""
CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"
"""pip's default torch carries CUDA: several GB that a free Space has no use for."""
GRAPH = ("openvino_model.xml", "openvino_model.bin")
PACKAGE = "hf_model"
CHECKPOINT = f"{PACKAGE}/checkpoint/"


class SpaceError(RuntimeError):
    """The Space cannot be put together or deployed; ``str()`` says what is missing and what to do."""


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
    """README.md of the Space: the header and a few lines for who opens the repository."""
    if model_id:
        model = f"the model [{model_id}](https://huggingface.co/{model_id}) (variable `MODEL_ID`)"
    else:
        model = f"the checkpoint in `{CHECKPOINT}`, whose card is the README.md there"
    return f"""---
{space_header(model_id).to_yaml()}
---

# {TITLE}

{NOT_A_DEVICE}

This Space shows {model}. The card says whose chest X-rays the model was fitted on; it says nothing about anybody else.
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

    With ``model_id`` the package goes without its checkpoint, and ``has_graph`` says whether that model has an OpenVINO
    graph; without, the shipped checkpoint's files tell. ``root`` is the project's folder, default ``ROOT``.

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
    """A file of the package that is not a trace of running it, and not hidden."""
    return not any(part == "__pycache__" or part.startswith(".") for part in path.parts)
