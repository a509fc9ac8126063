"""What reading an upload returns or raises: a radiograph with findings, or the reason why it is unreadable."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

SEVERITIES = ("refuse", "flag", "note")


class UnreadableRadiograph(ValueError):  # noqa: N818 - it refuses an upload; the code has no error
    """An upload that cannot be read as one radiograph.

    ``str(error)`` is one sentence for a person: which file, what is wrong, what to do. ``error.code`` is a stable slug
    for programs (the codes are listed in ``hf_model.radiograph.reading.CODES``).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle both arguments, so that the code survives the way between processes."""
        return type(self), (self.code, str(self))


@dataclass(frozen=True)
class Finding:
    """One thing that the input checks noticed.

    severity: ``"refuse"``: no answer can be given; ``"flag"``: probably not what the model was trained on, a person may
    override it; ``"note"``: worth showing, changes nothing.
    """

    code: str
    message: str
    severity: str

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity is {self.severity!r}; use one of {', '.join(SEVERITIES)}")

    def to_dict(self) -> dict[str, str]:
        """The finding as JSON."""
        return {"code": self.code, "message": self.message, "severity": self.severity}


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One grey picture, upright, bright where the chest absorbs most (bone is white).

    pixels: uint8 (H, W), contiguous. original_size: (width, height) of the upright original, which is larger than
    ``pixels`` where a JPEG was decoded at a fraction of its size. bit_depth: bits per sample that the file's values
    were taken to have. findings: what reading noticed (colour, DICOM header); ``check_radiograph`` adds what the pixels
    tell. metadata: non-identifying facts only. file_size: bytes of the file, 0 for a picture that came from none.
    """

    pixels: np.ndarray
    name: str
    format: str
    original_size: tuple[int, int]
    bit_depth: int = 8
    findings: tuple[Finding, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    file_size: int = 0

    def thumbnail(self, side: int) -> Radiograph:
        """A copy for showing: the longer side of its pixels at most ``side``, proportions kept, never enlarged."""
        height, width = self.pixels.shape
        scale = side / max(height, width)
        if scale >= 1:
            return self
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = Image.fromarray(self.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        return replace(self, pixels=np.asarray(small))
