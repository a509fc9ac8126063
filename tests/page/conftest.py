"""One tiny checkpoint, one server on 127.0.0.1 and one browser for all of the page's tests."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import phantom
import pytest
import tiny_checkpoint
from browsing import WAIT
from gradio_client import Client
from hub_standin import hub
from PIL import Image

from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.openvino_engine import OpenVinoEngine

__all__ = ["hub"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SMALL = (550, 480)


@dataclass(frozen=True)
class Files:
    """Files to upload: a clear and a sick phantom, and what goes wrong."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return next(self.folder.glob(f"{name}.*"))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """clear.png, sick.png, inverted.png (flagged), blank.png (refused), broken.jpg and notes.txt (unreadable)."""
    folder = tmp_path_factory.mktemp("uploads")
    clear = phantom.chest(size=SMALL)
    (folder / "clear.png").write_bytes(phantom.encoded(clear))
    (folder / "sick.png").write_bytes(phantom.encoded(phantom.chest(consolidation=0.8, size=SMALL)))
    (folder / "inverted.png").write_bytes(phantom.encoded(255 - clear))
    (folder / "blank.png").write_bytes(phantom.encoded(np.full((300, 300), 90, np.uint8)))
    (folder / "broken.jpg").write_bytes(phantom.encoded(clear, "JPEG")[:2000])
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return Files(folder)


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Path:
    """A complete tiny checkpoint; its decision gives the phantoms the probabilities of tiny_checkpoint.TARGETS."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    tiny_checkpoint.complete_folder(folder, files.clear.read_bytes(), files.sick.read_bytes())
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "confusion_matrix.png")
    return folder


@pytest.fixture(scope="session")
def classifier(checkpoint_folder: Path) -> Classifier:
    checkpoint = Checkpoint.open(checkpoint_folder)
    return Classifier(checkpoint, OpenVinoEngine(checkpoint, cache=""))


@pytest.fixture(scope="session")
def outside() -> Iterator[list[str]]:
    """Addresses beyond this machine that anything in this process tried to connect to; recorded for the session."""
    tried: list[str] = []
    patch = pytest.MonkeyPatch()
    connect = socket.socket.connect

    def recording(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            tried.append(str(address))
        return connect(self, address)

    patch.setattr(socket.socket, "connect", recording)
    yield tried
    patch.undo()


@pytest.fixture(scope="session")
def upload_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Gradio puts uploads during these tests."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("gradio")
    patch.setenv("GRADIO_TEMP_DIR", str(folder))
    yield folder
    patch.undo()


@pytest.fixture(scope="session")
def server(
    classifier: Classifier,
    checkpoint_folder: Path,
    files: Files,
    upload_folder: Path,
    outside: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The page's address; served as app.py serves it, with two examples."""
    from app import build_app
    from hf_model.page.serving import launch_options

    examples = tmp_path_factory.mktemp("examples")
    for file in (files.clear, files.sick):
        shutil.copy(file, examples)
    app = build_app(classifier, checkpoint_folder, examples)
    _, url, _ = app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    yield url.rstrip("/")
    app.close()


@pytest.fixture(scope="session")
def client(server: str) -> Client:
    """A program that calls the page's API."""
    return Client(server, verbose=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Headless Chromium; skipped with the reason where playwright or Chromium is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: object, server: str) -> Iterator[Callable[..., object]]:
    """Opens the page in a fresh context; at the end no request may have left 127.0.0.1 and no script failed."""
    contexts, left, broken = [], [], []

    def start(width: int = 1280, height: int = 900, **options: object) -> object:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        local = (server, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(local) else left.append(request.url))
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(server)
        page.wait_for_selector("#cxr-upload input[type=file]", state="attached")
        return page

    yield start
    for context in contexts:
        assert context.cookies() == []
        context.close()
    assert left == []
    assert broken == []
