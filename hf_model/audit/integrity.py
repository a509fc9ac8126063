"""Rows that are broken or unusual, listed by name. A bad row never stops the audit."""

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

GREY_MODES = ("L", "RGB")
UNUSABLE = ("unreadable", "truncated", "tiny", "blank")
"""Kinds that are useless for training; they are skipped when pictures are decoded."""
KINDS = {
    "unreadable": "Cannot be decoded",
    "truncated": "Cut short",
    "tiny": f"Shorter side below {MIN_SIDE} px",
    "blank": "Blank: next to no contrast",
    "colour": "In colour",
    "odd-mode": f"Pixel mode other than {' and '.join(GREY_MODES)}",
    "unusual": "Flagged by the checks of every upload",
}


@dataclass(frozen=True)
class Problem:
    """One problem of one row. kind: a key of ``KINDS``; where: split/name; reason: a sentence; code: for counting."""

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
    where, file = pictures.where(row), pictures.files[row]

    def problem(kind: str, reason: str, code: str) -> Problem:
        return Problem(row, where, kind, reason, code)

    try:
        data = read_bytes(image)
        radiograph = read_radiograph(data, name=pictures.names[row])
    except OSError as error:
        return [problem("unreadable", f"{pictures.names[row]} cannot be opened: {error.strerror}.", "missing")]
    except UnreadableRadiograph as error:
        return [problem(_refusal_kind(error.code, data, file.format), str(error), error.code)]
    flags = [flag for flag in check_radiograph(radiograph) if flag.severity != "note"]
    found = [
        problem(flag.code if flag.code in ("blank", "colour") else "unusual", flag.message, flag.code) for flag in flags
    ]
    # the DICOM reader refuses pixel formats that it does not know, and colour is reported above
    if file.mode is not None and file.format != DICOM and file.mode not in GREY_MODES:
        found.append(problem("odd-mode", f"The file's pixel mode is {file.mode}.", f"mode-{file.mode}"))
    return found


def _refusal_kind(code: str, data: bytes, kind: str | None) -> str:
    """Truncated where the header opens and the format's end marker is missing from the last bytes."""
    if code == "too-small":
        return "tiny"
    end = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(kind or "")
    return "truncated" if code == "damaged" and end is not None and end not in data[-64:] else "unreadable"


def summarise(problems: list[Problem], pictures: Pictures, shown: int = 200) -> dict[str, Any]:
    """The JSON part: counts by kind and code, how many rows training skips, up to ``shown`` rows a kind."""
    listed: list[dict[str, Any]] = []
    for kind in KINDS:
        listed += [asdict(p) for p in problems if p.kind == kind][:shown]
    return {
        "rows": len(pictures),
        "skipped_by_training": int((pictures.split[pictures.skipped] != TEST).sum()),
        "skipped_in_test": int((pictures.split[pictures.skipped] == TEST).sum()),
        # counts rows, not problems: one picture may be flagged twice
        "kinds": dict(Counter(kind for kind, _ in dict.fromkeys((p.kind, p.row) for p in problems))),
        "codes": dict(Counter(p.code for p in problems)),
        "problems": listed,
    }
