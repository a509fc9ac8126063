"""What a person does on the page, for the browser tests."""

from __future__ import annotations

from pathlib import Path

WAIT = 60_000
"""Milliseconds: far more than needed, so that a busy machine does not fail a test."""
CARD = "#cxr-answer [data-answer]"


def upload(page: object, file: Path) -> None:
    page.set_input_files("#cxr-upload input[type=file]", file)
    page.wait_for_selector(f"text={file.name}", state="attached")


def wait_for_answer(page: object, words: str) -> None:
    page.wait_for_selector(f'#cxr-answer [data-answer="{words}"]')


def drag(page: object, name: str, value: float) -> None:
    """Move a slider as the keyboard or a finger does: the value, then its events."""
    slider = page.locator(f"#{name} input[type=range]")
    slider.evaluate(
        "(element, value) => { element.value = value; element.dispatchEvent(new Event('input', {bubbles: true})); "
        "element.dispatchEvent(new Event('change', {bubbles: true})); "
        "element.dispatchEvent(new PointerEvent('pointerup', {bubbles: true})); }",
        value,
    )
