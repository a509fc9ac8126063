"""Deploying a Space with the real client into the stand-in."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from huggingface_hub import SpaceCard

from hf_model.commands import deploy
from hf_model.hub import space
from hf_model.hub.space import SpaceError, check_header, deploy_space, space_header, space_readme

CODE = ["app.py", "hf_model/__init__.py", "hf_model/page/style.css"]
GRAPH = ["hf_model/checkpoint/openvino_model.bin", "hf_model/checkpoint/openvino_model.xml"]
WEIGHTS = ["hf_model/checkpoint/config.json", "hf_model/checkpoint/model.safetensors", *GRAPH]
MADE = ["README.md", "requirements.txt"]
REQUIREMENTS = {
    "requirements-serve.txt": "# serving\ngradio[mcp]>=6,<7\nopenvino>=2026\n",
    "requirements.txt": "-r requirements-serve.txt\ntorch==2.13.0\ntransformers>=5,<6\ndatasets>=5,<6\n",
}
SERVED = "# serving\ngradio[mcp]>=6,<7\nopenvino>=2026\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project folder with what a Space needs, and with what must stay at home."""
    root = tmp_path / "project"
    at_home = [
        ".git/config",
        "hf_model/__pycache__/__init__.cpython-311.pyc",
        "hf_model/.cache/x",
        "train.py",
        "a.ipynb",
    ]
    for name in [*CODE, *WEIGHTS, *at_home]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"content of {name}".encode())
    for name, text in REQUIREMENTS.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_the_shipped_checkpoint_goes_along_without_a_model_id(hub, project):
    said = []
    url = deploy_space("chest-page", root=project, say=said.append)
    assert url == f"{hub.url}/spaces/tester/chest-page"
    assert hub.repos["space", "tester/chest-page"]["meta"]["sdk"] == "gradio"
    assert hub.repos["space", "tester/chest-page"]["variables"] == {}
    files = hub.files("tester/chest-page", "space")
    assert sorted(files) == sorted([*CODE, *WEIGHTS, *MADE])
    assert files["app.py"] == b"content of app.py"
    assert files["requirements.txt"].decode() == SERVED, "a Space that serves a graph installs no torch"
    assert "-r " not in files["requirements.txt"].decode(), "a Space's build sees one requirements file"
    assert said[0].startswith("Deploying to the Space tester/chest-page, serving the shipped checkpoint:\n")
    assert all(f"  {name}\n" in said[0] for name in files)


def test_with_a_model_id_the_variable_is_set_and_the_checkpoint_stays(hub, project):
    hub.add_repo("tester/chest")
    deploy_space("chest-page", model_id="tester/chest", root=project, say=str)
    repo = hub.repos["space", "tester/chest-page"]
    assert repo["variables"]["MODEL_ID"]["value"] == "tester/chest"
    files = hub.files("tester/chest-page", "space")
    assert sorted(files) == sorted([*CODE, *MADE])
    assert SpaceCard(files["README.md"].decode()).data.models == ["tester/chest"]
    post = hub.requests.index("POST /api/spaces/tester/chest-page/variables")
    assert post < hub.requests.index("POST /api/spaces/tester/chest-page/commit/main")


def test_large_files_go_by_lfs_and_the_listing_comes_first(hub, project):
    said = []

    def say(text):
        said.append((text, len([request for request in hub.requests if not request.startswith("GET")])))

    deploy_space("chest-page", root=project, say=say)
    assert [writes for text, writes in said if text.startswith("Deploying to the Space")] == [0]
    repo = hub.repos["space", "tester/chest-page"]
    entries = repo["commits"][repo["branches"]["main"]]["files"]
    assert {path for path, entry in entries.items() if entry["lfs"]} >= {"hf_model/checkpoint/model.safetensors"}
    assert not entries["app.py"]["lfs"]


def test_only_a_model_without_its_graph_makes_the_space_install_torch(hub, project):
    said = []
    repo = hub.add_repo("tester/chest")
    deploy_space("chest-page", model_id="tester/chest", root=project, say=said.append)
    lines = hub.files("tester/chest-page", "space")["requirements.txt"].decode().splitlines()
    assert lines[:3] == SERVED.splitlines()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in lines, "pip's default torch carries CUDA"
    assert lines[-2:] == ["torch==2.13.0", "transformers>=5,<6"]
    assert any("has no openvino_model.xml, so the Space installs torch" in text for text in said)

    graph = {name: hub.store(b"graph", lfs=False) for name in ("openvino_model.xml", "openvino_model.bin")}
    hub.add_commit(repo, "main", graph)
    deploy_space("chest-page", model_id="tester/chest", root=project, say=str)
    assert hub.files("tester/chest-page", "space")["requirements.txt"].decode() == SERVED


def test_a_checkpoint_here_without_its_graph_needs_torch_too(project):
    (project / GRAPH[0]).unlink()
    uploads = {upload.path: upload for upload in space.space_files("me/page", root=project)}
    assert uploads["requirements.txt"].source.decode().splitlines()[-2:] == ["torch==2.13.0", "transformers>=5,<6"]


def test_this_projects_own_space_serves_without_torch():
    text = space.space_requirements(space.ROOT, has_graph=True)
    names = {re.split(r"[^A-Za-z0-9_-]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}
    assert names >= {"gradio", "openvino", "pydicom", "pillow", "huggingface_hub", "safetensors"}
    assert not names & {"torch", "transformers", "datasets", "evaluate", "accelerate", "scikit-learn", "matplotlib"}
    converting = space.space_requirements(space.ROOT, has_graph=False).splitlines()
    assert [line.split(">=")[0].split("==")[0] for line in converting[-2:]] == ["torch", "transformers"]


def test_deploying_again_without_a_model_id_takes_the_variable_and_stale_modules_away(hub, project):
    hub.add_repo("tester/chest")
    (project / "hf_model/old.py").write_text("gone tomorrow")
    deploy_space("chest-page", model_id="tester/chest", root=project, say=str)
    (project / "hf_model/old.py").unlink()
    deploy_space("chest-page", root=project, say=str)
    assert hub.repos["space", "tester/chest-page"]["variables"] == {}
    assert sorted(hub.files("tester/chest-page", "space")) == sorted([*CODE, *WEIGHTS, *MADE])


def test_the_header_is_what_the_hub_needs_and_parses_back():
    data = SpaceCard(space_readme("me/page", "me/model")).data
    assert data.to_dict() == space_header("me/model").to_dict()
    assert (data.sdk, data.sdk_version, data.python_version) == ("gradio", version("gradio"), "3.11")
    assert (data.app_file, data.models, data.datasets) == ("app.py", ["me/model"], ["hf-vision/chest-xray-pneumonia"])
    assert len(data.short_description) <= 60
    assert "models" not in SpaceCard(space_readme("me/page")).data.to_dict()


def test_a_header_that_the_hub_refuses_stops_the_deployment(hub, project):
    hub.faults = [("validate-yaml", 400)]
    with pytest.raises(SpaceError, match=r"header is not valid: .*made to fail with 400.*Nothing was uploaded"):
        deploy_space("chest-page", root=project, say=str)
    assert hub.repos == {}


def test_a_header_without_an_sdk_version_is_refused_without_asking(hub):
    with pytest.raises(SpaceError, match="needed: sdk_version"):
        check_header("---\nsdk: gradio\napp_file: app.py\npython_version: '3.11'\n---\n")
    assert hub.requests == []


def test_a_model_that_is_not_there_is_named_before_anything_is_created(hub, project):
    with pytest.raises(SpaceError, match=r"tester/nothing is not on .*push FOLDER --hub_model_id tester/nothing"):
        deploy_space("chest-page", model_id="tester/nothing", root=project, say=str)
    assert hub.repos == {}


def test_no_right_to_write_is_told_before_anything_is_created(hub, project):
    hub.account["auth"]["accessToken"]["role"] = "read"
    with pytest.raises(SpaceError, match="Deploying page failed: The token 'test' may only read") as caught:
        deploy_space("page", root=project, private=True, say=str)
    assert str(caught.value).endswith("\n    python -m hf_model deploy --space_id page --private")
    assert hub.repos == {}


def test_a_failed_commit_is_told_with_the_command(hub, project):
    hub.add_repo("tester/chest")
    hub.faults = [("/commit/", 500)]
    with pytest.raises(SpaceError, match=r"the Hub answered 500 \(made to fail with 500\)") as caught:
        deploy_space("page", model_id="tester/chest", root=project, say=str)
    assert str(caught.value).endswith("python -m hf_model deploy --space_id page --model_id tester/chest")


@pytest.mark.parametrize("name", ["app.py", "requirements.txt", "requirements-serve.txt"])
def test_a_project_folder_without_the_app_is_refused(hub, project, name):
    (project / name).unlink()
    with pytest.raises(SpaceError, match=f"lacks {name}: deploy from a clone"):
        deploy_space("page", root=project, say=str)


def test_without_a_checkpoint_a_model_id_is_asked_for(hub, project):
    (project / "hf_model/checkpoint/model.safetensors").unlink()
    with pytest.raises(SpaceError, match=r"holds no model.safetensors to serve: .*--model_id"):
        deploy_space("page", root=project, say=str)


def test_a_dry_run_lists_and_sends_nothing(hub, project, monkeypatch, capsys):
    monkeypatch.setattr(space, "ROOT", project)
    assert deploy.main(["--space_id", "page", "--model_id", "me/model", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Deploying to the Space page, serving MODEL_ID=me/model:\n")
    assert out.endswith("in 5 files\nDry run: nothing was sent.\n")
    assert [line.split()[-1] for line in out.splitlines()[1:-2]] == sorted([*CODE, *MADE])
    assert hub.requests == []


def test_the_command_fails_with_one_message_and_code_2(hub, capsys):
    assert deploy.main(["--space_id", "a b"]) == 2
    assert capsys.readouterr().err.startswith("Deploying a b failed: 'a b' is not a repository name")
