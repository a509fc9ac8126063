"""Put the page into a Hugging Face Space: repository, variable, one commit."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import CommitOperationDelete, HfApi, SpaceCard
from huggingface_hub.errors import RepositoryNotFoundError

from hf_model.hub.access import check_write_access
from hf_model.hub.listing import Upload, table
from hf_model.hub.push import reason
from hf_model.hub.space import GRAPH, PACKAGE, SpaceError, check_header, space_files

VARIABLE = "MODEL_ID"
"""Environment variable by which app.py takes a model from the Hub in place of the shipped checkpoint."""


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
        model_id: Hub model that the Space serves, put into its variable ``MODEL_ID``; None: the shipped checkpoint
            goes along, and a ``MODEL_ID`` of an earlier deployment is taken away.
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
        raise SpaceError(f"Deploying {space_id} failed: {reason(error)} Deploy again with:\n    {again}") from error


def describe(space_id: str, uploads: Sequence[Upload], model_id: str | None) -> str:
    """What a deployment does, for the terminal: where to, which model, every file with its size."""
    model = f"{VARIABLE}={model_id}" if model_id else "the shipped checkpoint"
    return f"Deploying to the Space {space_id}, serving {model}:\n{table(uploads)}"


def deploy_command(space_id: str, *, model_id: str | None = None, private: bool = False) -> str:
    """The shell command that deploys as it was to be deployed."""
    words = ["python", "-m", "hf_model", "deploy", "--space_id", space_id]
    words += ["--model_id", model_id] if model_id else []
    words += ["--private"] if private else []
    return shlex.join(words)


def _readme(uploads: Sequence[Upload]) -> str:
    return next(upload.source for upload in uploads if upload.path == "README.md").decode()


def _check_model(api: HfApi, model_id: str, say: Callable[[str], None]) -> bool:
    """Whether the model has its serving graph. A Space with a model that is not there would build and then fail."""
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
    """One commit; modules and weights of an earlier deployment that are gone here go there too."""
    here = {upload.path for upload in uploads}
    there = api.list_repo_files(space_id, repo_type="space")
    stale = [path for path in there if path.startswith(f"{PACKAGE}/") and path not in here]
    operations = [*(upload.operation() for upload in uploads), *(CommitOperationDelete(path) for path in stale)]
    title = str(SpaceCard(_readme(uploads)).data.get("title"))
    api.create_commit(space_id, operations, repo_type="space", commit_message=f"Deploy {title}")
