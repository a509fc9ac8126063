"""The endpoints for programs on a running server, the MCP tool, what serving imports and where it connects."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import app
from hf_model.inference.classifier import Classifier
from hf_model.page.serving import HEADERS, has_mcp
from hf_model.page.uploads import LEDGER
from hf_model.radiograph import Radiograph, read_radiograph

ROOT = Path(__file__).parents[2]
# Serves as `python app.py` does, and then says which heavy modules are there.
PROBE = """
import json, sys, app
app.gr.Blocks.launch = lambda self, **options: None
code = app.main()
heavy = ("torch", "transformers", "datasets", "evaluate", "accelerate", "matplotlib", "sklearn", "scipy")
print(json.dumps({"code": code, "heavy": [name for name in heavy if name in sys.modules]}))
"""


@pytest.fixture(scope="session")
def client(server: str) -> Client:
    return Client(server, verbose=False)


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "broken.jpg is a damaged or incomplete JPEG file"),
        ("notes", "notes.txt is no picture in a known format"),
    ],
)
def test_unreadable_file_is_one_sentence(client: Client, files: Path, name: str, message: str) -> None:
    with pytest.raises(AppError, match=message) as caught:
        client.predict(file=handle_file(getattr(files, name)), api_name="/predict")
    assert "Traceback" not in str(caught.value)


def test_bad_threshold_and_missing_file(client: Client, files: Path) -> None:
    with pytest.raises(AppError, match="threshold is 3; give a probability from 0 to 1"):
        client.predict(file=handle_file(files.sick), threshold=3, api_name="/predict")
    with pytest.raises(AppError, match="No file came"):
        client.predict(file=None, api_name="/predict")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"threshold": "abc"}, "threshold is 'abc'; give a probability from 0 to 1"),
        ({"threshold": [1]}, r"threshold is \[1\]; give a probability"),
        ({"threshold": True}, "threshold is True; give a probability"),
        ({"heat_map": "x"}, "heat_map is 'x'; give true or false"),
        ({"override": 1}, "override is 1; give true or false"),
        ({"file": "chest.png"}, "file is 'chest.png', which is no upload; send it as gradio_client's handle_file"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(client: Client, files: Path, values: dict, reason: str) -> None:
    with pytest.raises(AppError, match=reason):
        client.predict(**({"file": handle_file(files.sick)} | values), api_name="/predict")


def test_raw_calls_are_told_what_is_wrong_and_may_leave_values_out(server: str, files: Path) -> None:
    def call(data: list) -> str:
        event = httpx.post(f"{server}/gradio_api/call/predict", json={"data": data}).json()["event_id"]
        return httpx.get(f"{server}/gradio_api/call/predict/{event}").text

    meta = {"_type": "gradio.FileData"}
    assert "No file came" in call([])
    assert "The file was not uploaded to this server" in call([{"path": __file__, "meta": meta}])
    with files.sick.open("rb") as file:
        (path,) = httpx.post(f"{server}/gradio_api/upload", files={"files": file}).json()
    assert "PNEUMONIA LIKELY" in call([{"path": path, "meta": meta}])


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
    other.population = None
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


def test_uploads_do_not_stay_on_the_disk(
    client: Client, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.predict(file=handle_file(files.sick), api_name="/predict")
    client.predict(files=[handle_file(files.clear), handle_file(files.broken)], api_name="/predict_batch")
    with pytest.raises(AppError, match="threshold is 2"):
        client.predict(file=handle_file(files.blank), threshold=2, api_name="/predict")
    monkeypatch.setattr(LEDGER, "grace", 0.0)
    LEDGER.sweep()
    assert [path.name for path in upload_folder.rglob("*") if path.is_file()] == []


def test_the_same_picture_sent_sixteen_times_at_once_is_answered_every_time(
    client: Client, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LEDGER, "grace", 0.0)  # nothing but the count keeps the file

    def ask(_: int) -> object:
        answer = client.predict(file=handle_file(files.sick), api_name="/predict")["answer"]
        LEDGER.sweep()
        return answer

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))
    assert answers == ["PNEUMONIA LIKELY"] * 16
    assert not any(path.name == "sick.png" for path in upload_folder.rglob("*"))


@pytest.mark.parametrize("name", ['röntgen "7" 100%.png', "胸片.png", "a%20b.png", "=1+1.png"])
def test_file_names_come_back_as_they_are(client: Client, files: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(files.clear, path)
    assert client.predict(file=handle_file(path), api_name="/predict")["name"] == name
    assert client.predict(files=[handle_file(path)], api_name="/predict_batch")[0]["name"] == name


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
