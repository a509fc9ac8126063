"""What a Space is made of: app, package, requirements and a README whose header tells the Hub how to run it.

Header fields: https://huggingface.co/docs/hub/spaces-config-reference
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData

from hf_model.config import DEFAULT_DATASET, NOT_A_DEVICE
from hf_model.hub.listing import Upload

ROOT = Path(__file__).parents[2]
"""Where app.py and requirements.txt stand beside the package."""
TITLE = "Chest X-ray pneumonia classifier"
COLORS = ("blue", "gray")
PYTHON_VERSION = "3.11"
CARRIED = ("app.py", "requirements.txt")
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
Uploads are not kept.

Call it from Python:

```python
from gradio_client import Client, handle_file

client = Client("{space_id}")
print(client.view_api())
```
"""


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


def space_files(space_id: str, *, model_id: str | None = None, root: Path | None = None) -> list[Upload]:
    """Every file of the Space, sorted by path: app, requirements, package, README.

    With ``model_id`` the package goes without its checkpoint. ``root`` is the project's folder, default ``ROOT``.

    Raises:
        SpaceError: app.py, requirements.txt or the checkpoint is missing.
    """
    root = root or ROOT
    if missing := [name for name in (*CARRIED, PACKAGE) if not (root / name).exists()]:
        raise SpaceError(
            f"{root} lacks {', '.join(missing)}: deploy from a clone of the project, not from an installed package."
        )
    uploads = [Upload("README.md", space_readme(space_id, model_id).encode())]
    uploads += [Upload(name, root / name) for name in CARRIED]
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
