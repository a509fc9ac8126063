"""The audit's folder: one HTML page that needs nothing beside it, audit.json and the pictures."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from hf_model import evaluation
from hf_model.audit.integrity import KINDS
from hf_model.audit.leakage import KINDS as OVERLAPS
from hf_model.audit.leakage import verdict
from hf_model.files import write_json
from hf_model.templates import data_uri, environment
from hf_model.wording import decimal, percent

LIKENESS = {
    "one_full_key": "One full key",
    "one_bare_number": "One bare number, two full keys, two splits",
    "strangers": "Strangers of the same split and class",
}
TEMPLATES = environment(Path(__file__).parent, Path(evaluation.__file__).parent)


def write(record: dict[str, Any], images: Mapping[str, Figure | Image.Image], folder: Path) -> Path:
    """Write audit.json, the pictures as PNG below ``figures``, and index.html; return the path of the page."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for old in (folder / "figures").glob("*.png"):  # perhaps of another data set, and not shown on this page
        old.unlink()
    encoded = {name: encode(image) for name, image in images.items()}
    for name, content in encoded.items():
        (folder / "figures" / f"{name}.png").write_bytes(content)
    write_json(folder / "audit.json", record)
    target = folder / "index.html"
    target.write_text(page(record, encoded), encoding="utf-8")
    return target


def encode(image: Figure | Image.Image) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    if isinstance(image, Figure):
        image.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    else:
        image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def page(audit: dict[str, Any], images: Mapping[str, bytes]) -> str:
    """The page; ``images`` are PNG files by name, some of which may be missing."""
    part = audit["duplicates"]
    renderings = audit.get("renderings_exact", {})
    return TEMPLATES.get_template("report.html.jinja").render(
        audit=defaultdict(lambda: None, audit),
        images={name: data_uri(content) for name, content in images.items()},
        spread=spread,
        verdict=verdict(audit["leakage"]),
        KINDS=KINDS,
        OVERLAPS=OVERLAPS,
        LIKENESS=LIKENESS,
        duplicate_rows=[
            ("Equal decoded pixels", part["exact"]),
            ("Nearly equal", part["near"]),
            *((f"Equal decoded pixels, {name}", other) for name, other in renderings.items()),
        ],
        problems=[f"{p['where']}: {p['reason']}" for p in audit["integrity"]["problems"]],
        equal=[" = ".join(group["files"]) for group in part["exact"]["list"]],
        near=[f"{' ~ '.join(pair['files'])} ({decimal(pair['correlation'])})" for pair in part["near"]["list"]],
        examples=[line for p in audit["leakage"]["pairs"] for lines in p["examples"].values() for line in lines],
        doubtful=[
            f"{e['file']}: {e['label']}, {percent(e['confidence'])}{' *' * e['confident']}"
            for e in audit.get("labels", {}).get("list", ())
        ],
    )


def spread(entry: dict[str, float] | None, digits: int = 0, unit: float = 1) -> str:
    """A median with its extremes, ``1,858 (912 to 2,916)``; the median alone where all are equal."""
    if entry is None:
        return "–"
    low, middle, high = (f"{entry[key] / unit:,.{digits}f}" for key in ("least", "median", "largest"))
    return middle if low == high else f"{middle} ({low} to {high})"
