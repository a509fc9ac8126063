"""``python app.py`` from start to the first answered request, beside a plain transformers and Gradio app."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks import frame, markdown, radiographs, timing
from benchmarks.frame import Options

NAME = "serving_start"
TITLE = "Start of the page to its first answer"
OURS, PEER = "`python app.py`", "plain transformers and Gradio app"
PATIENCE = 120.0
"""Seconds after which an app that does not answer counts as broken."""


def run(options: Options) -> dict[str, Any]:
    """Seconds from the start of the process to the first answer, and the peak memory of the process until then."""
    import gradio_client  # noqa: F401 - imported before the clock starts, for both

    from hf_model.config import CHECKPOINT_DIR

    picture = options.scratch / "chest.jpeg"
    picture.write_bytes(radiographs.training_files(options, 1)[0])
    plain = Path(__file__).parent / "peers" / "plain_app.py"
    commands = {OURS: [frame.ROOT / "app.py"], PEER: [plain, CHECKPOINT_DIR]}
    found: dict[str, list[tuple[float, float | None]]] = {name: [] for name in commands}
    # the first start of each fills the caches of files and of the compiled model, and does not count
    for turn in range(2 if options.quick else 4):
        for name, command in commands.items():
            once = first_answer(command, picture)
            if turn:
                found[name].append(once)
    return {
        "durations": {name: timing.summary([seconds for seconds, _ in runs]) for name, runs in found.items()},
        "peak_rss_mib": {name: max((memory or 0.0 for _, memory in runs)) for name, runs in found.items()},
    }


def first_answer(command: list[Path], picture: Path) -> tuple[float, float | None]:
    """(seconds, peak MiB) of one start. Raises RuntimeError if the app ends or does not answer."""
    from gradio_client import Client, handle_file

    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=frame.ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with timing.PeakMemory(child.pid) as peak:
            while not _is_up(address):
                if child.poll() is not None or time.perf_counter() - start > PATIENCE:
                    raise RuntimeError(f"{command[0]} did not answer on {address} (exit code {child.poll()})")
                time.sleep(0.02)
            client = Client(address, verbose=False, analytics_enabled=False)
            answer = client.predict(handle_file(picture), api_name="/predict")
            seconds = time.perf_counter() - start
        client.close()
    finally:
        child.terminate()
        child.wait()
    if not answer:
        raise RuntimeError(f"{command[0]} gave no answer")
    return seconds, peak.mib


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}config", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def table(section: dict[str, Any]) -> str:
    """A row for each app."""
    base = section["durations"][PEER]["median"]
    rows = [
        [
            name,
            f"{found['median']:.1f} s ({found['low']:.1f} to {found['high']:.1f})",
            markdown.ratio(found["median"] / base),
            markdown.mib(section["peak_rss_mib"][name]),
        ]
        for name, found in section["durations"].items()
    ]
    runs = section["durations"][OURS]["runs"]
    return (
        markdown.grid(["", "median (10 to 90 %)", "of the plain app", "peak memory"], rows)
        + f"\n\n{runs} starts of each in turn, after one that fills the caches and does not count."
    )
