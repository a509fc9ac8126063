"""The one preprocessing of training, evaluation and serving: grey uint8 picture -> what the network takes.

Canonical form: stretch to (height, width) with one Pillow resampling, times ``rescale_factor``, minus mean, divided by
std per channel. A processor that is equivalent to this (EfficientNet's ``rescale_offset`` and ``include_top``) is
folded into it; any other is refused. NumPy and Pillow only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

CONFIG_NAME = "preprocessor_config.json"
# Class defaults of transformers' EfficientNetImageProcessor: keys that an older configuration leaves out mean these.
EFFICIENTNET_DEFAULTS = {
    "size": {"height": 346, "width": 346},
    "resample": 3,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "include_top": True,
}
ADVICE = "use a checkpoint that stretches to one height and width"


@dataclass(frozen=True)
class Preprocessing:
    """Stretch, rescale and normalise; the defaults are those of ``efficientnet-lite0``.

    resample: Pillow's number (0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming). mean, std: one number per
    RGB channel, in units of the rescaled pixel.
    """

    height: int = 224
    width: int = 224
    resample: int = 3
    rescale_factor: float = 1 / 255
    mean: tuple[float, float, float] = (0.498, 0.498, 0.498)
    std: tuple[float, float, float] = (0.502, 0.502, 0.502)

    DEFAULT: ClassVar[Preprocessing]

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"the size is {self.height} x {self.width}; give a height and a width of at least 1 pixel")
        if self.resample not in range(6):
            raise ValueError(f"resample is {self.resample!r}; use 0 to 5, e.g. 3 for bicubic")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ValueError(f"mean has {len(self.mean)} and std {len(self.std)} numbers; give 3 of each")
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(self.std)) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must be finite, and std above 0")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Preprocessing:
        """Read ``preprocessor_config.json`` of a local checkpoint folder (the file itself may be given too).

        Raises FileNotFoundError or ValueError, each naming the file.
        """
        path = Path(folder)
        path = path if path.is_file() else path / CONFIG_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; save it beside the model with Preprocessing.save(folder)")
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Preprocessing:
        """Fold a ``preprocessor_config.json`` of transformers into the canonical form.

        ``(x f - 1 - m) / s`` is ``(x f - (m + 1)) / s`` (rescale_offset); the second division by ``s`` of include_top
        gives ``(x f - m) / s**2``. Raises ValueError that names the key it cannot express.
        """
        kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
        if kind.startswith("EfficientNet"):
            config = {
                **EFFICIENTNET_DEFAULTS,
                **{key: value for key, value in config.items() if value not in (None, {})},
            }
        height, width = _size(config)
        mean, std = _folded(config)
        return cls(
            height=height,
            width=width,
            resample=int(_needed(config, "resample")),
            rescale_factor=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
            mean=mean,
            std=std,
        )

    def to_dict(self) -> dict[str, Any]:
        """A ``preprocessor_config.json`` from which transformers' AutoImageProcessor makes the same tensor."""
        return {
            "image_processor_type": "EfficientNetImageProcessor",
            "do_resize": True,
            "size": {"height": self.height, "width": self.width},
            "resample": self.resample,
            "do_center_crop": False,
            "do_rescale": True,
            "rescale_factor": self.rescale_factor,
            "rescale_offset": False,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "include_top": False,
            # otherwise transformers makes one channel of a grey file, and the network takes three
            "do_convert_rgb": True,
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``preprocessor_config.json`` into the folder; returns its path."""
        path = Path(folder) / CONFIG_NAME
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path

    def resize(self, pixels: np.ndarray) -> np.ndarray:
        """Stretch one grey picture uint8 (H, W) to uint8 (height, width)."""
        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError(f"the picture is {pixels.dtype} {pixels.shape}; give uint8 (H, W)")
        if pixels.shape == (self.height, self.width):
            return np.ascontiguousarray(pixels)
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(picture.resize((self.width, self.height), resample=Image.Resampling(self.resample)))

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Grey uint8 (N, height, width) -> float32 (N, 3, height, width), the same grey in each channel."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3:
            raise ValueError(f"the pictures are {pixels.dtype} {pixels.shape}; give uint8 (N, height, width)")
        out = np.empty((pixels.shape[0], 3, *pixels.shape[1:]), dtype=np.float32)
        for channel, table in enumerate(self._table):
            np.take(table, pixels, out=out[:, channel], mode="clip")
        return out

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """One grey picture uint8 (H, W) -> float32 (1, 3, height, width)."""
        return self.normalize(self.resize(pixels)[None])

    @cached_property
    def _table(self) -> np.ndarray:
        """float32 (3, 256): the network's input for each grey value.

        The same roundings in the same order as transformers (rescale in float64 to float32, then float32), so that the
        two agree to the bit.
        """
        grey = (np.arange(256, dtype=np.float64) * self.rescale_factor).astype(np.float32)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return (grey[None, :] - mean[:, None]) / std[:, None]


Preprocessing.DEFAULT = Preprocessing()


def _needed(config: dict[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise ValueError(f"{key} is missing; add it")
    return config[key]


def _height_width(size: Any) -> tuple[int, int] | None:
    """(height, width) of transformers' ways to write a size; None for one that depends on the picture."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, dict) and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    return None


def _size(config: dict[str, Any]) -> tuple[int, int]:
    """The size that every picture is stretched to."""
    size = _height_width(config.get("size"))
    if not config.get("do_resize", True):
        raise ValueError(f"do_resize is false, but pictures of any size come in; {ADVICE}")
    if size is None:
        raise ValueError(f"size is {config.get('size')!r}, which depends on the picture's shape; {ADVICE}")
    if config.get("do_center_crop", False) and (crop := _height_width(config.get("crop_size"))) != size:
        raise ValueError(f"do_center_crop cuts {crop} out of {size}; {ADVICE}")
    if config.get("do_pad", False) and _height_width(config.get("pad_size")) != size:
        raise ValueError(f"do_pad is true; {ADVICE}")
    if config.get("crop_pct") not in (None, 1, 1.0):
        raise ValueError(f"crop_pct is {config['crop_pct']}, which cuts the border; {ADVICE}")
    return size


def _channels(value: Any, key: str) -> np.ndarray:
    values = np.asarray(value, dtype=np.float64)
    if values.shape not in ((), (1,), (3,)):
        raise ValueError(f"{key} is {value!r}; give 3 numbers")
    return np.broadcast_to(values, (3,))


def _folded(config: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of the canonical form."""
    mean, std = np.zeros(3), np.ones(3)
    if config.get("do_normalize", True):
        mean = _channels(_needed(config, "image_mean"), "image_mean")
        std = _channels(_needed(config, "image_std"), "image_std")
    if config.get("rescale_offset", False) and config.get("do_rescale", True):
        mean = mean + 1
    if config.get("include_top", False):
        std = std * _channels(_needed(config, "image_std"), "image_std")
    return tuple(float(value) for value in mean), tuple(float(value) for value in std)
