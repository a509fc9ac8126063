"""``python app.py`` as a user starts it: with MODEL_ID on the Hub stand-in, and with the shipped checkpoint."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from hub_standin import StandIn

from hf_model import Classifier
from hf_model.commands import predict

ROOT = Path(__file__).parents[2]
# No name is resolved and nothing but this machine is connected to: what a machine without a network does.
ALONE = """
import runpy, socket, sys
connect, resolve = socket.socket.connect, socket.getaddrinfo
def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(101, f"Network is unreachable: {address}")
    return connect(self, address)
def known(host, *rest, **more):
    if host not in ("127.0.0.1", "localhost", "::1", None):
        raise socket.gaierror(-3, f"Temporary failure in name resolution: {host}")
    return resolve(host, *rest, **more)
socket.socket.connect, socket.getaddrinfo = guarded, known
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


@contextmanager
def served(environment: dict[str, str], *command: str) -> Iterator[str]:
    """The address of a started app.py, stopped afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**environment, "GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stdout.read()
            try:
                httpx.get(url, timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_model_id_on_the_hub_gives_the_numbers_of_the_command_line(
    hub: StandIn, checkpoint_folder: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [path for path in sorted(checkpoint_folder.rglob("*")) if path.is_file()]
    stored = {path.relative_to(checkpoint_folder).as_posix(): hub.store(path.read_bytes(), lfs=False) for path in paths}
    hub.add_commit(hub.add_repo("tester/chest"), "main", stored)
    environment = {**hub.env, "MODEL_ID": "tester/chest", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with served(environment, "app.py") as url:
        client = Client(url, verbose=False)
        answers = [client.predict(file=handle_file(file), api_name="/predict") for file in (files.sick, files.inverted)]
        assert "Model: tester/chest (" in httpx.get(f"{url}/config").text
    assert [answer["answer"] for answer in answers] == ["PNEUMONIA LIKELY", None]
    command = [str(files.sick), str(files.inverted), "--checkpoint", "tester/chest", "--format", "json"]
    assert predict.main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    for answer, row in zip(answers, printed, strict=True):
        same = answer["engine"] == row["engine"]  # each start measures which arithmetic is faster here
        for key in answer.keys() - {"timing_ms", "name", "engine"} - (set() if same else {"logits", "probability"}):
            assert answer[key] == row[key], key
    assert answers[0]["probability"] == pytest.approx(0.87, abs=1e-4 if answers[0]["engine"].endswith("f32") else 0.03)
    assert any("tester/chest/resolve" in request and "model.safetensors" in request for request in hub.requests)


def test_app_works_without_a_network(files: Path, tmp_path: Path) -> None:
    out = {"MODEL_ID", "EXAMPLES_DIR", "HF_HUB_OFFLINE"}
    environment = {key: value for key, value in os.environ.items() if key not in out}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    with served(environment, "-c", ALONE) as url:
        answer = Client(url, verbose=False).predict(file=handle_file(files.sick), override=True, api_name="/predict")
    expected = Classifier.from_pretrained().predict(files.sick)
    same = answer["engine"] == expected.engine
    assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5 if same else 0.02)
    assert answer["model_hash"] == expected.model_hash
