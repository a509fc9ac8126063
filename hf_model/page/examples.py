"""Example pictures from a folder that the person who serves the page names; none are shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from hf_model.page import fragment
from hf_model.page.viewer import data_uri
from hf_model.radiograph import UnreadableRadiograph, read_radiograph

MOST = 8
SIDE = 128
SCRIPT = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-example]");
  if (button) trigger("click", { index: Number(button.dataset.example) });
});
"""


def find(folder: str | Path | None) -> list[Path]:
    """The first eight readable radiographs of a folder, by name; none without a folder.

    Raises ValueError for a folder that is not there.
    """
    if not folder:
        return []
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"EXAMPLES_DIR names {folder}, which is no folder; correct it or leave it out.")
    found = []
    for path in sorted(folder.rglob("*")):
        if len(found) == MOST:
            break
        if path.is_file() and not path.name.startswith(".") and _readable(path):
            found.append(path)
    return found


def _readable(path: Path) -> bool:
    try:
        read_radiograph(path, target_side=SIDE)
    except UnreadableRadiograph:
        return False
    return True


def buttons(paths: Sequence[Path]) -> Markup:
    """A row of thumbnails as buttons, "" without paths."""
    if not paths:
        return Markup()
    thumbnails = (read_radiograph(path, target_side=SIDE).thumbnail(SIDE).pixels for path in paths)
    pairs = [(path.stem, data_uri(pixels, "WEBP")) for path, pixels in zip(paths, thumbnails, strict=True)]
    return fragment("page", "examples", examples=pairs)
