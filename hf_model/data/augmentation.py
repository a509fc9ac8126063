"""Augmentation of a batch of grey pictures, drawn at once and applied in 8 bits by Pillow.

Pillow's fixed-point loops cost less than the same steps on float tensors (on one core 5 ms a picture against 8, most
of them an affine grid's), and the random numbers of a batch come from one ``torch.Generator``: a batch is a function
of its seed alone, so a resumed run sees the pictures that an uninterrupted one would have seen. Both classes are
treated alike; sharpness in particular is varied at random, because in this data it gives the class away.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from hf_model.data.arguments import check_options

_SHARES = ("flip", "blur", "erasing", "jpeg", "downscale", "shift", "zoom", "contrast", "brightness", "spectrum")


@dataclass
class AugmentationArguments:
    """How training pictures are varied. A value of 0 switches that variation off."""

    rotation: float = 12.0
    "Largest rotation, degrees, either way."
    shift: float = 0.12
    "Largest shift as a fraction of the side, each axis."
    zoom: float = 0.15
    "Largest zoom in or out."
    shear: float = 4.0
    "Largest horizontal shear, degrees."
    flip: float = 0.5
    "Share of pictures mirrored left to right; 0 keeps the heart on its side."
    gamma: float = 0.6
    "Gamma is drawn from exp(-gamma) to exp(gamma)."
    contrast: float = 0.4
    "Contrast factor 1 - contrast to 1 + contrast, around the picture's mean."
    brightness: float = 0.2
    "Largest brightness change, of the full range."
    blur: float = 0.3
    "Share of pictures blurred or sharpened, half and half."
    noise: float = 0.04
    "Largest standard deviation of Gaussian noise, on a quarter of the pictures."
    erasing: float = 0.25
    "Share of pictures with one rectangle erased."
    jpeg: float = 0.3
    "Share of pictures compressed again, as JPEG of quality 40 to 95."
    downscale: float = 0.3
    "Share of pictures reduced to 40 to 90 per cent and enlarged again."
    spectrum: float = 0.7
    "Share of pictures that get the sharpness and noise of another picture of the batch, at all fine scales."
    mixup: float = 0.0
    "Alpha of mixup's Beta distribution (Zhang et al., ICLR 2018)."

    def __post_init__(self) -> None:
        check_options(self, _SHARES, lambda value: 0 <= value <= 1, "must lie between 0 and 1")
        unbounded = ("rotation", "shear", "gamma", "noise", "mixup")
        check_options(self, unbounded, lambda value: value >= 0, "must not be negative")


class Augmenter:
    """Callable: uint8 tensor (B, H, W) and a generator -> float32 tensor (B, H, W) in 0 to 1.

    With outlines, uint8 (B, H, W), 0 outside to 255 inside, these are moved as their pictures are and come back too, as
    float32 in 0 to 1; the pictures are the same with and without.
    """

    def __init__(self, arguments: AugmentationArguments) -> None:
        self.arguments = arguments

    def __call__(
        self, pictures: torch.Tensor, generator: torch.Generator, outlines: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        args, draw = self.arguments, _Draw(len(pictures), generator)
        if args.spectrum:
            pictures = _exchange_spectra(draw, pictures, args.spectrum)
        steps: list[tuple[np.ndarray, Callable[[int, Image.Image], Image.Image]]] = [
            (draw.chance(1.0), _geometry(draw, args)),
            (draw.chance(args.downscale), _downscale(draw)),
            (draw.chance(args.blur), _sharpness(draw)),
            (draw.chance(1.0), _intensity(draw, args)),
            (draw.chance(args.jpeg), _jpeg(draw)),
            (draw.chance(0.25 if args.noise else 0.0), _noise(draw, args.noise)),
            (draw.chance(args.erasing), _erase(draw)),
        ]
        out = np.empty(pictures.shape, dtype=np.float32)
        for i, pixels in enumerate(pictures.numpy()):
            picture = Image.fromarray(pixels)
            for chosen, change in steps:
                if chosen[i]:
                    picture = change(i, picture)
            np.multiply(np.asarray(picture), np.float32(1 / 255), out=out[i])
        if outlines is None:
            return torch.from_numpy(out)
        move, moved = steps[0][1], np.empty(outlines.shape, dtype=np.float32)
        for i, outline in enumerate(outlines.numpy()):
            np.multiply(np.asarray(move(i, Image.fromarray(outline))), np.float32(1 / 255), out=moved[i])
        return torch.from_numpy(out), torch.from_numpy(moved)


class _Draw:
    """Random numbers for one batch: one value per picture, whether the picture will need it or not."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size, self.generator = size, generator

    def uniform(self, low: float, high: float) -> np.ndarray:
        return torch.rand(self.size, generator=self.generator, dtype=torch.float64).numpy() * (high - low) + low

    def chance(self, share: float) -> np.ndarray:
        return self.uniform(0, 1) < share

    def seeds(self) -> list[int]:
        return torch.randint(2**31, (self.size,), generator=self.generator).tolist()


SPECTRUM_FROM, SPECTRUM_FULL = 6, 12
"""Cycles a picture below which a spectrum stays as it is, and from which on it is the other picture's: opacities are
coarser, ribs and vessels about there, noise and the sharpness of the processing finer."""
LARGEST_GAIN = 4.0


def _exchange_spectra(draw: _Draw, pictures: torch.Tensor, share: float) -> torch.Tensor:
    """Give each chosen picture, uint8 (H, W), the radial power spectrum of another one at fine scales; phases stay.

    How sharp a film is and how it was processed goes with the class in data that were collected class by class, and
    blurring at random adds spread but leaves the two distributions apart. A donor drawn without regard to the label
    makes them equal (compare Yang and Soatto, "FDA", CVPR 2020, which exchanges coarse amplitudes between data sets).
    """
    chosen, donors = draw.chance(share), draw.uniform(0, len(pictures)).astype(int)
    out, seen = pictures.clone(), pictures.numpy()
    height, width = seen.shape[1:]
    rows, columns = np.fft.fftfreq(height) * height, np.fft.rfftfreq(width) * width
    radius = np.minimum(np.round(np.hypot(rows[:, None], columns[None])), min(height, width) // 2).astype(int)
    count = np.maximum(np.bincount(radius.ravel()), 1)
    ramp = ((np.arange(len(count)) - SPECTRUM_FROM) / (SPECTRUM_FULL - SPECTRUM_FROM)).clip(0, 1)
    transforms: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def transform(i: int) -> tuple[np.ndarray, np.ndarray]:
        if i not in transforms:
            values = np.fft.rfft2(seen[i].astype(np.float32))
            power = np.log(np.bincount(radius.ravel(), np.abs(values).ravel() ** 2) / count + 1e-6)
            # contrast is not exchanged: the band just below is the measure for what is finer
            transforms[i] = values, power - power[SPECTRUM_FROM // 2 : SPECTRUM_FROM + 1].mean()
        return transforms[i]

    for i in np.flatnonzero(chosen & (donors != np.arange(len(seen)))):
        (values, own), (_, other) = transform(int(i)), transform(int(donors[i]))
        gain = np.convolve(np.pad((other - own) / 2, 2, mode="edge"), np.full(5, 0.2), "valid")
        gain = np.exp(gain.clip(-np.log(LARGEST_GAIN), np.log(LARGEST_GAIN)) * ramp)
        changed = np.fft.irfft2(values * gain[radius], s=(height, width))
        out[i] = torch.from_numpy(changed.round().clip(0, 255).astype(np.uint8))
    return out


def _geometry(draw: _Draw, args: AugmentationArguments) -> Callable[[int, Image.Image], Image.Image]:
    """Rotation, shear, zoom, shift and flip in one bilinear resampling."""
    angle = np.deg2rad(draw.uniform(-args.rotation, args.rotation))
    shear = np.tan(np.deg2rad(draw.uniform(-args.shear, args.shear)))
    # one zoom for both axes and a little of its own for each: chests differ in shape, and uploads are stretched
    zoom = np.exp(draw.uniform(-args.zoom, args.zoom))
    stretch = np.exp(draw.uniform(-args.zoom / 3, args.zoom / 3))
    mirror = np.where(draw.chance(args.flip), -1.0, 1.0)
    across, down = draw.uniform(-args.shift, args.shift), draw.uniform(-args.shift, args.shift)
    a, b = mirror * zoom * stretch * np.cos(angle), zoom * (shear * np.cos(angle) - np.sin(angle))
    d, e = mirror * zoom * np.sin(angle), zoom / stretch * (np.cos(angle) + shear * np.sin(angle))

    def change(i: int, picture: Image.Image) -> Image.Image:
        x, y = picture.width / 2, picture.height / 2  # Pillow maps output to input coordinates, about the corner
        c = x - a[i] * x - b[i] * y + across[i] * picture.width
        f = y - d[i] * x - e[i] * y + down[i] * picture.height
        matrix = (a[i], b[i], c, d[i], e[i], f)
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)

    return change


def _downscale(draw: _Draw) -> Callable[[int, Image.Image], Image.Image]:
    """Reduce and enlarge each picture, as renderings of different origin have been."""
    factors = draw.uniform(0.4, 0.9)
    kinds = (Image.Resampling.BILINEAR, Image.Resampling.LANCZOS, Image.Resampling.NEAREST)
    chosen = draw.uniform(0, len(kinds)).astype(int)

    def change(i: int, picture: Image.Image) -> Image.Image:
        size = tuple(max(8, round(side * factors[i])) for side in picture.size)
        return picture.resize(size, kinds[chosen[i]]).resize(picture.size, Image.Resampling.BICUBIC)

    return change


def _sharpness(draw: _Draw) -> Callable[[int, Image.Image], Image.Image]:
    """Half are blurred, half sharpened by an unsharp mask."""
    sigma, amount, sharpen = draw.uniform(0.4, 1.6).tolist(), draw.uniform(30, 150), draw.chance(0.5)

    def change(i: int, picture: Image.Image) -> Image.Image:
        if sharpen[i]:
            return picture.filter(ImageFilter.UnsharpMask(sigma[i], round(amount[i]), 0))
        return picture.filter(ImageFilter.GaussianBlur(sigma[i]))

    return change


def _intensity(draw: _Draw, args: AugmentationArguments) -> Callable[[int, Image.Image], Image.Image]:
    """Gamma, then contrast about the picture's mean, then brightness: a table of 256 greys for each picture."""
    gamma = np.exp(draw.uniform(-args.gamma, args.gamma))
    contrast = draw.uniform(1 - args.contrast, 1 + args.contrast)
    brightness = draw.uniform(-args.brightness, args.brightness)
    grey = np.arange(256) / 255

    def change(i: int, picture: Image.Image) -> Image.Image:
        table = grey ** gamma[i]
        mean = float(np.dot(picture.histogram(), table)) / (picture.width * picture.height)
        table = (table - mean) * contrast[i] + mean + brightness[i]
        return picture.point((table.clip(0, 1) * 255).round().astype(int).tolist())

    return change


def _jpeg(draw: _Draw) -> Callable[[int, Image.Image], Image.Image]:
    qualities = draw.uniform(40, 96).astype(int).tolist()

    def change(i: int, picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=qualities[i])
        return Image.open(buffer)

    return change


def _noise(draw: _Draw, largest: float) -> Callable[[int, Image.Image], Image.Image]:
    levels, seeds = draw.uniform(0, largest), draw.seeds()

    def change(i: int, picture: Image.Image) -> Image.Image:
        pixels = np.asarray(picture)
        noise = np.random.default_rng(seeds[i]).standard_normal(pixels.shape, dtype=np.float32)
        return Image.fromarray((pixels + noise * np.float32(255 * levels[i])).round().clip(0, 255).astype(np.uint8))

    return change


def _erase(draw: _Draw) -> Callable[[int, Image.Image], Image.Image]:
    """One rectangle of 2 to 15 per cent of the area becomes one random grey (Zhong et al., AAAI 2020)."""
    area, ratio = draw.uniform(0.02, 0.15), np.exp(draw.uniform(math.log(0.4), math.log(2.5)))
    tall, wide = np.sqrt(area * ratio).clip(0, 1), np.sqrt(area / ratio).clip(0, 1)
    top, left, grey = draw.uniform(0, 1), draw.uniform(0, 1), draw.uniform(0, 256).astype(int)

    def change(i: int, picture: Image.Image) -> Image.Image:
        height, width = round(tall[i] * picture.height), round(wide[i] * picture.width)
        y, x = round(top[i] * (picture.height - height)), round(left[i] * (picture.width - width))
        erased = picture.copy()
        erased.paste(int(grey[i]), (x, y, x + width, y + height))
        return erased

    return change


def mixup(
    x: torch.Tensor,
    labels: torch.Tensor,
    alpha: float,
    generator: torch.Generator,
    outlines: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """Mix each picture with another of the batch, one weight per batch.

    Args:
        x: float (B, ...).
        labels: float (B, 2), one-hot or soft.
        alpha: of Beta(alpha, alpha); 0 returns the input.
        outlines: float (B, H, W), 0 to 1, or None.

    Returns:
        Mixed pictures and labels (B, 2); with outlines, as a third, what lies inside either picture's.
    """
    if alpha <= 0 or len(x) < 2:
        return (x, labels) if outlines is None else (x, labels, outlines)
    # Beta(a, a) from two Gamma draws would need a generator that torch's distributions do not take: use Johnk's method
    weight = _beta(alpha, generator)
    order = torch.randperm(len(x), generator=generator)
    mixed = x * weight + x[order] * (1 - weight), labels * weight + labels[order] * (1 - weight)
    return mixed if outlines is None else (*mixed, torch.maximum(outlines, outlines[order]))


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw from Beta(alpha, alpha), at least 0.5 (a pair is unordered)."""
    for _ in range(1000):
        u, v = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        a, b = u ** (1 / alpha), v ** (1 / alpha)
        if 0 < a + b <= 1:
            return max(a / (a + b), b / (a + b))
    return 1.0  # alpha far above 1 rejects nearly every pair; then no mixing is the safe answer
