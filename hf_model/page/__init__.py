"""What the Gradio page shows: the answer in words, its figures, the pictures, the batch table, the model's files.

Everything here turns finished objects (``Prediction``, ``Decision``, the checkpoint's files) into HTML. The HTML is in
the macros of ``templates/*.html.jinja``, figures are written by ``hf_model.wording``. Layout and event wiring are in
``app.py``. Needs numpy, Pillow and gradio; never torch or matplotlib.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hf_model.config import MAX_BATCH_FILES, MAX_UPLOAD_BYTES, NOT_A_DEVICE
from hf_model.templates import environment

TEMPLATES = environment(Path(__file__).parent / "templates")
TEMPLATES.globals |= {
    "MAX_BATCH_FILES": MAX_BATCH_FILES,
    "MAX_UPLOAD_BYTES": MAX_UPLOAD_BYTES,
    "NOT_A_DEVICE": NOT_A_DEVICE,
}


def _unbroken(write: Callable[..., str]) -> Callable[..., str]:
    """The same figure with a space before its percent sign at which no line breaks."""

    @wraps(write)
    def written(*arguments: Any, **options: Any) -> str:
        return write(*arguments, **options).replace(" %", "\u00a0%")

    return written


TEMPLATES.filters |= {name: _unbroken(TEMPLATES.filters[name]) for name in ("percent", "setting", "rate", "interval")}
percent: Callable[[float], str] = TEMPLATES.filters["percent"]
"""``hf_model.wording.percent`` for labels that are not in a template."""


def fragment(template: str, macro: str, **values: Any) -> Markup:
    """Call a macro of ``templates/<template>.html.jinja``; every value that is not Markup is escaped.

    Line breaks of the template are layout of the template: next to a tag they vanish, elsewhere they become a space.
    """
    html = getattr(TEMPLATES.get_template(f"{template}.html.jinja").module, macro)(**values)
    return Markup(re.sub(r"\s*\n\s*", " ", re.sub(r"(?<=>)\s*\n\s*|\s*\n\s*(?=<)", "", html)).strip())
