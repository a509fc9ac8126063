"""What programs send: the same file at once, odd names, wrong values, and what stays on the disk."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hf_model.page.uploads import PENDING


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "broken.jpg is a damaged or incomplete JPEG file"),
        ("notes", "notes.txt is not a picture in a known format"),
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
        ({"file": "chest.png"}, "file is 'chest.png', which is not an upload; send it as gradio_client's handle_file"),
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


def test_uploads_do_not_stay_on_the_disk(
    client: Client, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.predict(file=handle_file(files.sick), api_name="/predict")
    client.predict(files=[handle_file(files.clear), handle_file(files.broken)], api_name="/predict_batch")
    with pytest.raises(AppError, match="threshold is 2"):
        client.predict(file=handle_file(files.blank), threshold=2, api_name="/predict")
    monkeypatch.setattr(PENDING, "grace", 0.0)
    PENDING.sweep()
    assert [path.name for path in upload_folder.rglob("*") if path.is_file()] == []


def test_the_same_picture_sent_sixteen_times_at_once_is_answered_every_time(
    client: Client, files: Path, upload_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PENDING, "grace", 0.0)  # nothing but the count keeps the file

    def ask(_: int) -> object:
        answer = client.predict(file=handle_file(files.sick), api_name="/predict")["answer"]
        PENDING.sweep()
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
