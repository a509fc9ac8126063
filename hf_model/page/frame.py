"""The page's fixed words: head, welcome, formats, privacy."""

from __future__ import annotations

from hf_model.config import MAX_BATCH_FILES, MAX_UPLOAD_BYTES, NOT_A_DEVICE
from hf_model.page.text import escape
from hf_model.radiograph.population import Population

TITLE = "Chest X-ray pneumonia"


def header(population: Population) -> str:
    """Title and the standing line."""
    whose = "a child's" if population.singular == "child" else "a"
    return f'<header class="cxr-head"><h1>Pneumonia on {whose} chest X‑ray?</h1><p>{escape(NOT_A_DEVICE)}</p></header>'


def welcome(figures: str, population: Population) -> str:
    """What the answer's place shows before the first picture; ``figures`` is one sentence or ""."""
    about = f"{figures} {population.trained_on} {population.out_of_scope}".strip()
    return (
        '<section class="cxr-welcome"><h2>Add one frontal chest X-ray to get an answer</h2>'
        "<ol><li>An answer in words: pneumonia likely, not likely, or refer to a radiologist.</li>"
        "<li>The calibrated probability, and how often the model is right at that threshold.</li>"
        "<li>A heat map of what moved the model, over your picture.</li></ol>"
        f"<p>{escape(about)}</p></section>"
    )


def formats() -> str:
    """What can be uploaded, and what happens to it."""
    return (
        f'<p class="cxr-privacy">JPEG, PNG, TIFF, WebP, BMP or DICOM, up to {MAX_UPLOAD_BYTES >> 20} MB. '
        "Deleted within about a minute of being read.</p>"
    )


def batch_welcome() -> str:
    """What the second tab shows before the first batch."""
    return (
        '<section class="cxr-welcome"><h2>Add files, a folder or a zip archive to get a table</h2>'
        "<ul><li>One row per picture with thumbnail, answer and probability; sort by any column.</li>"
        "<li>A histogram of the probabilities.</li><li>Everything as CSV and JSON.</li></ul>"
        f"<p>Up to {MAX_BATCH_FILES:,} pictures. A file that cannot be read becomes a row with its reason; the others "
        "go on.</p></section>"
    )


def footer(model_id: str, model_hash: str) -> str:
    """Model and privacy in a few words."""
    return (
        f'<p class="cxr-privacy">Model: {escape(model_id)} ({model_hash[:8]}). Privacy: uploads are deleted within '
        "about a minute of being read, after an hour if they never are; their names and pixels are not logged, your "
        "last answers are held in memory for an hour at most. No analytics, no cookies; the page loads nothing from "
        "anywhere else.</p>"
    )
