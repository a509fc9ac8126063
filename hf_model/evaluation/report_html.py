"""The report as one page that needs nothing beside it: style and pictures inside, no script, no outside request."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from hf_model.config import NOT_A_DEVICE
from hf_model.evaluation import report_cases, report_promise, report_serving
from hf_model.evaluation import report_sections as sections
from hf_model.evaluation.report_markup import Section, text

_STYLE = Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Case:
    """One wrong picture: JPEG bytes of the radiograph and of the heat map over it (None: there is none)."""

    row: int
    picture: bytes
    overlay: bytes | None

    def addresses(self) -> tuple[str, ...]:
        """Both as ``data:`` addresses."""
        return tuple(data_uri(part, "image/jpeg") for part in (self.picture, self.overlay) if part is not None)


def page(content: dict[str, Any], figures: dict[str, bytes], cases: list[Case]) -> str:
    """The HTML page.

    ``content`` is from ``report.build``; ``figures`` SVG files by stem from ``figure_set``; ``cases`` the thumbnails
    of some or all of ``content["errors"]`` ("row" joins them).
    """
    images = {name: data_uri(svg, "image/svg+xml") for name, svg in figures.items()}
    thumbnails = {case.row: case.addresses() for case in cases}
    parts: list[Section | None] = [
        report_promise.promise(content),
        sections.points(content, images),
        sections.curves(images),
        sections.prevalence(content),
        sections.calibration(content, images),
        sections.subgroups(content),
        sections.stability(content),
        report_serving.serving(content),
        report_cases.comparison(content),
        report_cases.errors(content, thumbnails),
        report_cases.protocol(content),
    ]
    shown = [part for part in parts if part is not None]
    links = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in shown)
    body = "".join(
        f'<section aria-labelledby="{part.anchor}"><h2 id="{part.anchor}">{escape(part.title)}</h2>'
        f"{part.body}</section>"
        for part in shown
    )
    title = f"Evaluation of {content['model_id']} on {content['dataset_name']}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head><body><main>"
        f'<header class="top"><h1>{escape(title)}</h1>{text(report_promise.opening_line(content))}'
        f'<p class="muted">{escape(NOT_A_DEVICE)}</p><nav aria-label="Sections"><ul>{links}</ul></nav></header>'
        f"{sections.tiles(content)}{body}</main></body></html>\n"
    )


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a ``data:`` address of the media type ``kind``."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
