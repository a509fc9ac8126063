"""Jinja templates of the report, the audit, the card and the page: one environment, figures written by one module."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hf_model import wording

FILTERS = (
    wording.percent,
    wording.setting,
    wording.decimal,
    wording.count,
    wording.counted,
    wording.value_of,
    wording.rate,
    wording.ratio,
    wording.interval,
    wording.shared_between_splits,
)


def environment(*folders: Path) -> Environment:
    """Templates of ``folders``, the first that has a name wins; the functions of ``wording`` are filters.

    HTML templates (``*.html.jinja``) escape what is no ``markupsafe.Markup``; others (Markdown) do not. An undefined
    name raises ``jinja2.UndefinedError`` instead of leaving a gap.
    """
    made = Environment(
        loader=FileSystemLoader([str(folder) for folder in folders]),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {function.__name__: function for function in FILTERS}
    made.globals["POINTS"] = wording.POINTS
    return made


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    """``data:`` address of a file's bytes, for pages that are one file."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
