"""The endpoints for programs on a running server, the MCP tool, what serving imports and where it connects."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

import app
from hf_model.inference.classifier import Classifier
from hf_model.page.serving import HEADERS, has_mcp
from hf_model.radiograph import Radiograph, read_radiograph
from hf_model.radiograph.population import UNDESCRIBED

ROOT = Path(__file__).parents[2]
# Serves as `python app.py` does, and then says which heavy modules are there.
PROBE = """
import json, sys, app
app.gr.Blocks.launch = lambda self, **options: None
code = app.main()
heavy = ("torch", "transformers", "datasets", "evaluate", "accelerate", "matplotlib", "sklearn", "scipy")
print(json.dumps({"code": code, "heavy": [name for name in heavy if name in sys.modules]}))
"""


def test_predict_gives_the_prediction_of_the_package(client: Client, classifier: Classifier, files: Path) -> None:
    answer = client.predict(file=handle_file(files.sick), api_name="/predict")
    expected = classifier.predict(files.sick, heat_map=False).to_dict()
    for key in expected.keys() - {"timing_ms"}:
        assert answer[key] == expected[key], key
    assert answer["answer"] == "PNEUMONIA LIKELY"
    assert "heat_map" not in answer


def test_predict_takes_threshold_and_heat_map(client: Client, files: Path) -> None:
    answer = client.predict(file=handle_file(files.sick), threshold=0.9, heat_map=True, api_name="/predict")
    assert (answer["threshold"], answer["decision"]) == (0.9, "NORMAL")
    assert base64.b64decode(answer["heat_map"]).startswith(b"\x89PNG")


def test_flagged_picture_has_no_answer_until_it_is_overridden(client: Client, files: Path) -> None:
    flagged = client.predict(file=handle_file(files.inverted), heat_map=True, api_name="/predict")
    assert (flagged["needs_confirmation"], flagged["refused"], flagged["overridden"]) == (True, False, False)
    assert [flagged[key] for key in ("probability", "decision", "answer", "heat_map")] == [None] * 4
    assert flagged["findings"][0]["code"] == "inverted"
    shown = client.predict(file=handle_file(files.inverted), override=True, api_name="/predict")
    assert (shown["needs_confirmation"], shown["overridden"]) == (False, True)
    assert shown["answer"] is not None
    both = client.predict(files=[handle_file(files.inverted)], override=True, api_name="/predict_batch")
    assert both[0]["answer"] == shown["answer"]
    refused = client.predict(file=handle_file(files.blank), override=True, api_name="/predict")
    assert (refused["refused"], refused["answer"]) == (True, None)


def test_age_and_view_are_judged_by_the_checkpoints_population(classifier: Classifier, files: Path) -> None:
    pixels = read_radiograph(files.sick).pixels
    adult = Radiograph(
        pixels, "adult", "DICOM", pixels.shape[::-1], metadata={"age_years": 40.0, "view_position": "PA"}
    )
    found = classifier.predict(adult)
    assert {(finding.code, finding.severity) for finding in found.findings} >= {("age", "flag"), ("view-pa", "note")}
    assert found.needs_confirmation
    other = copy.copy(classifier)
    other.population = UNDESCRIBED
    assert not {"age", "view-pa"} & {finding.code for finding in other.predict(adult).findings}


def test_refused_picture_says_so_in_json(client: Client, files: Path) -> None:
    answer = client.predict(file=handle_file(files.blank), api_name="/predict")
    assert answer["refused"] is True
    assert answer["findings"][0]["severity"] == "refuse"


def test_predict_batch_reads_files_and_archives(client: Client, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "ward.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.write(files.clear, "ward/clear.png")
        file.writestr("../evil.png", b"x")
    sent = [handle_file(path), handle_file(files.broken), handle_file(files.sick)]
    answers = client.predict(files=sent, api_name="/predict_batch")
    assert [answer["name"] for answer in answers] == ["clear.png", "../evil.png", "broken.jpg", "sick.png"]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, "path-traversal", "damaged", None]
    assert answers[3]["probability"] == pytest.approx(0.87, abs=1e-4)


def test_only_the_two_endpoints_are_public_and_typed(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/predict", "/predict_batch"}
    names = [parameter["parameter_name"] for parameter in endpoints["/predict"]["parameters"]]
    assert names == ["file", "threshold", "heat_map", "override"]
    assert [parameter["python_type"]["type"] for parameter in endpoints["/predict"]["parameters"]] == [
        "filepath",
        "float",
        "bool",
        "bool",
    ]


def test_api_page_has_the_descriptions(server: str) -> None:
    info = httpx.get(f"{server}/gradio_api/info").json()["named_endpoints"]["/predict"]
    assert "probability of pneumonia in one frontal chest X-ray of a child" in info["description"]


def test_every_response_forbids_outside_content(server: str) -> None:
    for path in ("/", "/config", "/theme.css", "/gradio_api/info"):
        response = httpx.get(server + path)
        assert response.status_code == 200, path
        for name, value in HEADERS.items():
            assert response.headers[name] == value, (path, name)
    policy = HEADERS["content-security-policy"]
    assert "http" not in policy
    assert "*" not in policy


def test_server_connects_to_nowhere_outside(server: str, client: Client, files: Path, outside: list[str]) -> None:
    httpx.get(server)
    client.predict(file=handle_file(files.clear), api_name="/predict")
    assert outside == []


def test_mcp_tool_answers(server: str, files: Path) -> None:
    if not has_mcp():
        pytest.skip("the packages of gradio[mcp] are not installed")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def call() -> tuple[dict[str, str], str]:
        async with (
            streamablehttp_client(f"{server}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool.description for tool in (await session.list_tools()).tools}
            file = "data:image/png;base64," + base64.b64encode(files.sick.read_bytes()).decode()
            result = await session.call_tool("predict", {"file": file})
            assert not result.isError
            return tools, result.content[0].text

    tools, text = asyncio.run(call())
    assert set(tools) == {"predict", "predict_batch"}
    assert "Decision support for education and research, not a diagnosis" in tools["predict"]
    assert "PNEUMONIA LIKELY" in text


def test_serving_the_export_imports_nothing_heavy(checkpoint_folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "EXAMPLES_DIR"}
    environment |= {"MODEL_ID": str(checkpoint_folder), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"code": 0, "heavy": []}, done.stderr


def test_missing_checkpoint_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_ID", str(tmp_path / "none"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    assert app.main() == 2
    message = capsys.readouterr().err
    assert message.startswith("app.py: There is no folder")
    assert message.count("\n") == 1
