"""Rows that are broken or odd, by name. Nothing here stops at a bad row."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from tqdm.auto import tqdm

from hf_model.audit.pictures import DICOM, TEST, Pictures
from hf_model.config import MIN_SIDE
from hf_model.data.loading import read_bytes
from hf_model.data.prepare import pool_splits
from hf_model.radiograph import UnreadableRadiograph, check_radiograph, read_radiograph

PLAIN_MODES = ("L", "RGB")
UNUSABLE = ("unreadable", "truncated", "tiny", "blank")
"""Kinds that training can learn nothing from; they are skipped when pictures are decoded."""
KINDS = {
    "unreadable": "Cannot be decoded",
    "truncated": "Cut short",
    "tiny": f"Shorter side below {MIN_SIDE} px",
    "blank": "Blank: next to no contrast",
    "colour": "In colour",
    "odd-mode": f"Pixel mode other than {' and '.join(PLAIN_MODES)}",
    "unusual": "Flagged by the checks of every upload",
}


@dataclass(frozen=True)
class Problem:
    """One thing about one row. kind: a key of ``KINDS``; where: split/name; reason: for a person."""

    row: int
    where: str
    kind: str
    reason: str
    code: str


def inspect(pictures: Pictures) -> list[Problem]:
    """Decode every row at its own size and list what is wrong with it, in row order."""
    pool, test = pool_splits(pictures.source)
    problems: list[Problem] = []
    row = 0
    with tqdm(total=len(pictures), desc="integrity") as progress:
        for part in (pool, test):
            for image in [] if part is None else part["image"]:
                problems += _inspect_row(pictures, row, image)
                row += 1
                progress.update()
    return problems


def _inspect_row(pictures: Pictures, row: int, image: dict[str, object]) -> list[Problem]:
    where, header = pictures.where(row), pictures.headers[row]

    def problem(kind: str, reason: str, code: str) -> Problem:
        return Problem(row, where, kind, reason, code)

    try:
        data = read_bytes(image)
        radiograph = read_radiograph(data, name=pictures.names[row])
    except OSError as error:
        return [problem("unreadable", f"{pictures.names[row]} cannot be opened: {error.strerror}.", "missing")]
    except UnreadableRadiograph as error:
        return [problem(_refusal_kind(error.code, data, header.format), str(error), error.code)]
    found = [
        problem(_finding_kind(f.code), f.message, f.code) for f in check_radiograph(radiograph) if f.severity != "note"
    ]
    # of DICOM the reader refuses every kind of pixels that it does not know, and colour is told above
    if header.mode is not None and header.format != DICOM and header.mode not in PLAIN_MODES:
        found.append(problem("odd-mode", f"The file's pixel mode is {header.mode}.", f"mode-{header.mode}"))
    return found


def _refusal_kind(code: str, data: bytes, kind: str | None) -> str:
    """Truncated where the header opens and the end marker of the format is not in the last bytes."""
    if code == "too-small":
        return "tiny"
    end = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(kind or "")
    return "truncated" if code == "damaged" and end is not None and end not in data[-64:] else "unreadable"


def _finding_kind(code: str) -> str:
    return code if code in ("blank", "colour") else "unusual"


def summarise(problems: list[Problem], pictures: Pictures, shown: int = 200) -> dict[str, Any]:
    """The JSON part: counts by kind and code, how many rows training skips, up to ``shown`` rows a kind."""
    listed: list[dict[str, Any]] = []
    for kind in KINDS:
        listed += [asdict(p) for p in problems if p.kind == kind][:shown]
    return {
        "rows": len(pictures),
        "skipped_by_training": sum(1 for row in pictures.skipped if pictures.split[row] != TEST),
        "skipped_in_test": sum(1 for row in pictures.skipped if pictures.split[row] == TEST),
        # rows, not problems: one picture may be flagged twice
        "kinds": dict(Counter(kind for kind, _ in {(p.kind, p.row) for p in problems})),
        "codes": dict(Counter(p.code for p in problems)),
        "problems": listed,
    }
