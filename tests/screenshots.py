"""Make the README's screenshots: ``PYTHONPATH=. python tests/screenshots.py [CHECKPOINT] [--output docs]``.

Serves the checkpoint (default: the shipped one), uploads the drawn phantom in headless Chromium and writes
``page-desktop.png``, ``page-desktop-dark.png``, ``page-phone.png`` and ``page-batch.png``. A drawing is not a
radiograph: where the checkpoint's out-of-distribution check flags it, the check is switched off for the screenshots,
and the script says so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import phantom
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from app import build_app
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.choice import open_engine
from hf_model.page.serving import launch_options

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def main(argv: list[str]) -> int:
    """Write the four pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", type=Path, help="folder (default: the shipped checkpoint)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        files = _phantoms(Path(folder))
        address, app = _serve(arguments.checkpoint, files[0])
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for name, scheme, size in (
                ("page-desktop", "light", (1280, 900)),
                ("page-desktop-dark", "dark", (1280, 900)),
                ("page-phone", "light", (390, 844)),
            ):
                page = _open(browser, address, scheme, size)
                page.set_input_files("#cxr-upload input[type=file]", files[0])
                page.wait_for_selector("#cxr-answer [data-answer]")
                page.wait_for_timeout(1500)
                # A phone's screen shows the answer; the desktop's picture is the whole page.
                _save(page, arguments.output / f"{name}.png", full=size[0] > 600)
            page = _open(browser, address, "light", (1280, 900))
            page.get_by_role("tab", name="Many pictures").click()
            page.set_input_files("#cxr-files input[type=file]", files)
            page.wait_for_selector(".cxr-table")
            page.wait_for_timeout(800)
            _save(page, arguments.output / "page-batch.png", full=True)
            browser.close()
        app.close()
    return 0


def _phantoms(folder: Path) -> list[Path]:
    """Five drawn chests from dense to clear, an inverted one and a file that is not a picture."""
    paths = []
    for number, share in enumerate((0.9, 0.65, 0.4, 0.2, 0.0), start=1):
        paths.append(folder / f"phantom-{number}.png")
        paths[-1].write_bytes(phantom.encoded(phantom.chest(consolidation=share, seed=number)))
    (folder / "inverted.png").write_bytes(phantom.encoded(255 - phantom.chest()))
    (folder / "letter.pdf").write_bytes(b"%PDF-1.7")
    return [*paths, folder / "inverted.png", folder / "letter.pdf"]


def _serve(checkpoint: Path | None, probe: Path) -> tuple[str, object]:
    opened = Checkpoint.open(checkpoint)
    classifier = Classifier(opened, open_engine(opened, cache=""))
    if any(finding.code == "unlike-training" for finding in classifier.predict(probe).findings):
        print(
            "The out-of-distribution check flags the drawn phantom; it is switched off for these screenshots.",
            file=sys.stderr,
        )
        classifier.ood_detector = None
    app = build_app(classifier, opened.folder)
    _, address, _ = app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_options())
    return address, app


def _open(browser: object, address: str, scheme: str, size: tuple[int, int]) -> Page:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cxr-upload input[type=file]", state="attached")
    return page


def _save(page: Page, path: Path, *, full: bool) -> None:
    page.screenshot(path=path, full_page=full)
    # No palette: it would draw steps into the heat map.
    with Image.open(path) as picture:
        plain = picture.convert("RGB")
    plain.save(path, optimize=True)
    print(f"{path} ({path.stat().st_size // 1024} KiB)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
