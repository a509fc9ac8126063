"""What a serving process imports and whom it talks to; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from generated import pictures
from PIL import Image
from tiny_checkpoint import SIDE

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "datasets", "evaluate", "accelerate", "matplotlib", "scipy", "sklearn", "pandas")

WATCH = """
import json, socket, sys
calls = []
def watched(self, address, *rest):
    calls.append(str(address))
    raise OSError("no connection from a test")
socket.socket.connect = socket.socket.connect_ex = watched
def looked_up(host, *rest, **more):
    calls.append(str(host))
    raise socket.gaierror("no look-up from a test")
socket.getaddrinfo = looked_up
def report(**more):
    # what sends in the background has had its chance when its threads have ended
    import threading
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(5)
    print(json.dumps({"calls": calls, "modules": sorted({name.split(".")[0] for name in sys.modules
                      if sys.modules[name] is not None}), **more}))
"""


def run(code: str, home: Path, *arguments: str) -> dict:
    """Run code after WATCH in a fresh interpreter with an empty home folder; give what it reports."""
    dropped = ("CI", "XDG_CACHE_HOME", "PYTHONPATH", "CHEST_XRAY_CACHE")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WATCH + code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    path = tmp_path / "chest.png"
    Image.fromarray(pictures(1, side=2 * SIDE)[0]).save(path)
    return path


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    """The check itself: a plain request must show up, or the tests below prove nothing."""
    code = """
import urllib.request
try:
    urllib.request.urlopen("http://192.0.2.1/", timeout=1)
except OSError:
    pass
report()
"""
    assert run(code, tmp_path)["calls"] == ["192.0.2.1"]


def test_importing_the_package_loads_nothing(tmp_path: Path) -> None:
    found = run("import hf_model\nreport()", tmp_path)
    assert not {"numpy", "PIL", "openvino", *HEAVY} & set(found["modules"])


def test_first_prediction_is_light_and_silent(exported_folder: Path, chest: Path, tmp_path: Path) -> None:
    """No heavy import, no connection, and nothing of openvino-telemetry in the home folder."""
    code = """
from hf_model import Classifier
classifier = Classifier.from_pretrained(sys.argv[1])
report(engine=classifier.engine_name, probability=classifier.predict(sys.argv[2]).probability)
"""
    home = tmp_path / "home"
    home.mkdir()
    found = run(code, home, str(exported_folder), str(chest))
    assert found["engine"].startswith("openvino-")
    assert 0 < found["probability"] < 1
    assert not set(HEAVY) & set(found["modules"])
    assert not {"openvino_telemetry", "urllib3", "requests", "httpx", "huggingface_hub"} & set(found["modules"])
    assert found["calls"] == []
    assert not (home / "intel").exists()
    assert list((home / ".cache" / "chest-xray-pneumonia" / "openvino").glob("*.blob"))


def test_conversion_in_memory_is_silent(plain_folder: Path, chest: Path, tmp_path: Path) -> None:
    code = """
from hf_model import Classifier
classifier = Classifier.from_pretrained(sys.argv[1], engine="openvino", cache="")
report(probability=classifier.predict(sys.argv[2]).probability)
"""
    found = run(code, tmp_path, str(plain_folder), str(chest))
    assert 0 < found["probability"] < 1
    assert found["calls"] == []
    assert "openvino_telemetry" not in found["modules"]
    assert not (tmp_path / "intel").exists()
