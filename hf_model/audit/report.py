"""The audit as one HTML page that needs nothing beside it, in the style of the evaluation report."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

from hf_model.audit import report_sections as sections
from hf_model.evaluation import report_markup as markup

_STYLE = Path(markup.__file__).with_name("report.css")
_OWN_STYLE = (
    ".verdict.fault { border-color: var(--bad); background: #fdf1ea; } .verdict.warning { border-color: #c98a00; } "
    ".verdict.note { border-color: var(--good); font-size: 1rem; color: inherit; } figure { margin: 0 0 20px; } "
    "figure.sheet img { max-width: 100%; width: auto; } section > figure:not(.sheet) { max-width: 760px; } "
    "ul.files { font-size: .9rem; columns: 2 24rem; overflow-wrap: anywhere; }"
)
BADGES = {"fault": "Fault", "warning": "Warning", "note": "Note"}


def page(audit: dict[str, Any], images: dict[str, bytes]) -> str:
    """The page; ``images`` are PNG or JPEG files by name, some of which may be missing."""
    shown = {name: _data_uri(data) for name, data in images.items()}
    parts = [part for part in (make(audit, shown) for make in sections.ALL) if part is not None]
    links = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in parts)
    body = "".join(
        f'<section aria-labelledby="{part.anchor}"><h2 id="{part.anchor}">{escape(part.title)}</h2>'
        f"{part.body}</section>"
        for part in parts
    )
    title = f"Audit of {audit['name']}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}{_OWN_STYLE}</style></head><body>"
        f'<main><header class="top"><h1>{escape(title)}</h1>'
        f"{markup.text(sections.opening(audit))}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>{_findings(audit)}{body}</main></body></html>\n'
    )


def _findings(audit: dict[str, Any]) -> str:
    cards = "".join(
        f'<div class="verdict {entry["severity"]}"><p><strong>{BADGES[entry["severity"]]}, {escape(entry["topic"])}.'
        f"</strong>{escape(entry['text'])}</p></div>"
        for entry in audit["findings"]
    )
    return f'<section aria-labelledby="findings"><h2 id="findings">What was found</h2>{cards}</section>'


def _data_uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
