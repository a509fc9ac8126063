"""Example pictures from a folder that the person who serves the page names; none are shipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

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


class Example(NamedTuple):
    """A picture to offer; ``thumbnail`` is a data URI."""

    path: Path
    thumbnail: str


def find(folder: str | Path | None) -> list[Example]:
    """The first eight readable radiographs of a folder, by name; none without a folder.

    Raises ValueError for a folder that does not exist.
    """
    if not folder:
        return []
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"EXAMPLES_DIR names {folder}, which is not a folder; correct it or leave it out.")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return list(islice(_readable(files), MOST))


def _readable(paths: Iterable[Path]) -> Iterator[Example]:
    for path in paths:
        with suppress(UnreadableRadiograph):
            pixels = read_radiograph(path, target_side=SIDE).thumbnail(SIDE).pixels
            yield Example(path, data_uri(pixels, "WEBP"))


def buttons(examples: Sequence[Example]) -> Markup:
    """A row of thumbnails as buttons, "" without examples."""
    return fragment("page", "examples", examples=examples) if examples else Markup()
