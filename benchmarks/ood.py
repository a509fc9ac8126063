"""Out-of-distribution samples: photographs, generated pictures, and radiographs altered on purpose.

None of them is an upright frontal chest film. The photographs come from packages that are installed anyway and are
found by path, so that nothing of scikit-image is imported; everything else is drawn from a seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from hf_model.config import MIN_SIDE

PACKAGES = {"skimage": "data", "sklearn": "datasets/images", "gradio": "media_assets/images"}
"""Installed package -> its folder of photographs."""
NO_PHOTOGRAPHS = {"chessboard_GRAY", "chessboard_RGB", "horse", "logo", "page", "phantom", "text"}
"""Drawings and pages among scikit-image's data."""
CROPS = 5
DRAWN = 8
"""Pictures per generated kind."""
SIDE = 320
WORDS = ("patient", "cough", "and", "fever", "chest", "radiograph", "requested", "findings", "normal", "heart", "no")


def photographs() -> Iterator[tuple[str, str, Image.Image]]:
    """``(kind, name, picture)``: each in colour, in grey, with its histogram equalised, and parts of it in grey."""
    for name, picture in photograph_files():
        grey, draw = picture.convert("L"), np.random.default_rng(len(name))
        yield "in colour", name, picture
        yield "in grey", name, grey
        yield "in grey, equalised", name, ImageOps.equalize(grey)
        for _ in range(CROPS):
            side = int(min(grey.size) * draw.uniform(0.4, 0.9))
            if side < MIN_SIDE:
                continue
            left, top = (int(draw.integers(0, length - side + 1)) for length in grey.size)
            yield "parts in grey", name, grey.crop((left, top, left + side, top + side))


def photograph_files() -> Iterator[tuple[str, Image.Image]]:
    """``(name, RGB picture)`` of the photographs in ``PACKAGES`` that are installed, by name."""
    for package, inside in PACKAGES.items():
        found = find_spec(package)
        folder = Path(found.origin).parent / inside if found and found.origin else None
        for path in sorted(folder.glob("*")) if folder and folder.is_dir() else []:
            if path.suffix.lower() in (".png", ".jpg", ".jpeg") and path.stem not in NO_PHOTOGRAPHS:
                with Image.open(path) as opened:
                    if min(opened.size) >= MIN_SIDE:
                        yield f"{package}/{path.name}", opened.convert("RGB")


def generated() -> Iterator[tuple[str, str, Image.Image]]:
    """``(kind, name, picture)`` of ``DRAWN`` pictures of each kind."""
    for kind, make in KINDS.items():
        for number in range(DRAWN):
            yield kind, f"{kind} {number}", make(np.random.default_rng(number))


def altered(chest: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """``(kind, picture)``: one grey radiograph altered in every way."""
    for kind, alter in ALTERATIONS.items():
        yield kind, alter(chest)


def _picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _noise(draw: np.random.Generator) -> Image.Image:
    """White noise, smoothed by up to 6 pixels and stretched."""
    rough = Image.fromarray(draw.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))
    return ImageOps.autocontrast(rough.filter(ImageFilter.GaussianBlur(draw.uniform(0, 6))))


def _gradient(draw: np.random.Generator) -> Image.Image:
    """A ramp in any direction, or around a point, with grain."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    x, y, angle = draw.uniform(0, 1), draw.uniform(0, 1), draw.uniform(0, 2 * np.pi)
    round_ = np.hypot(rows - y, columns - x)
    values = round_ if draw.random() < 0.5 else rows * np.sin(angle) + columns * np.cos(angle)
    values = 255 * (values - values.min()) / np.ptp(values)
    return _picture(values + draw.normal(0, 3, values.shape))


def _spectrum(draw: np.random.Generator) -> Image.Image:
    """Noise whose amplitude falls as 1/f, as that of natural scenes does (Field, JOSA A 1987)."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = np.inf
    phase = draw.normal(size=frequency.shape) + 1j * draw.normal(size=frequency.shape)
    values = np.fft.irfft2(phase / frequency, s=(SIDE, SIDE))
    return _picture(127 + 50 * (values - values.mean()) / values.std())


def _leaves(draw: np.random.Generator) -> Image.Image:
    """Overlapping discs with radii by a power law: the dead leaves model of scenes (Lee et al., IJCV 2001)."""
    picture = Image.new("L", (SIDE, SIDE), 128)
    pen = ImageDraw.Draw(picture)
    for _ in range(1500):
        radius = min(0.5 * SIDE, 4 / np.sqrt(draw.uniform(1e-3, 1)))
        x, y = draw.uniform(0, SIDE, 2)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=int(draw.integers(10, 246)))
    return _picture(np.asarray(picture.filter(ImageFilter.GaussianBlur(1))) + draw.normal(0, 4, (SIDE, SIDE)))


def _scene(draw: np.random.Generator) -> Image.Image:
    """Bright sky, dark ground, a sun or none, in colour."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    horizon = draw.uniform(0.3, 0.7) + 0.03 * np.sin(columns * draw.uniform(3, 12))
    sky = np.stack([90 + 120 * rows, 140 + 80 * rows, 230 - 40 * rows], axis=2)
    ground = np.stack([90 - 50 * rows, 120 - 60 * rows, 50 - 20 * rows], axis=2)
    values = np.where((rows < horizon)[..., None], sky, ground)
    return _picture(values + draw.normal(0, 8, values.shape))


def _text(draw: np.random.Generator, size: tuple[int, int] = (600, 780)) -> Image.Image:
    """A page of text."""
    page = Image.new("L", size, 255)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(int(draw.integers(11, 17)))
    for y in range(20, size[1] - 20, 20):
        pen.text((20, y), " ".join(draw.choice(WORDS, 14)), fill=int(draw.integers(0, 60)), font=font)
    return page


def _screenshot(draw: np.random.Generator, inside: Image.Image | None = None) -> Image.Image:
    """A program's window with bars, a list and, in the middle, a picture or shapes."""
    window = Image.new("RGB", (1000, 640), (43, 48, 56))
    pen, font = ImageDraw.Draw(window), ImageFont.load_default(14)
    pen.rectangle((0, 0, 1000, 36), fill=(222, 226, 232))
    pen.rectangle((0, 36, 210, 640), fill=(200, 206, 214))
    for line in range(26):
        pen.text((12, 50 + 22 * line), " ".join(draw.choice(WORDS, 3)), fill=(20, 20, 30), font=font)
    if inside is not None:
        window.paste(ImageOps.contain(inside, (780, 590)), (216, 42))
        return window
    for _ in range(6):
        x, y = draw.integers(220, 800), draw.integers(50, 480)
        colour = tuple(int(value) for value in draw.integers(0, 256, 3))
        pen.rectangle((x, y, x + draw.integers(40, 180), y + draw.integers(30, 140)), fill=colour)
    return window


def _film(layer: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Drawn bones and soft tissue -> something with a film's grain and saturation."""
    grey = np.asarray(layer.filter(ImageFilter.GaussianBlur(3)), dtype=np.float64)
    return _picture(245 * (1 - np.exp(-grey / 110)) + 8 + draw.normal(0, 4, grey.shape))


def _hand(draw: np.random.Generator) -> Image.Image:
    """A drawn hand: palm, five fingers with bones, wrist."""
    layer = Image.new("L", (360, 460), 0)
    pen = ImageDraw.Draw(layer)
    pen.ellipse((95, 220, 265, 400), fill=55)
    pen.rectangle((130, 380, 230, 460), fill=55)
    for number in range(5):
        angle = np.pi * (0.28 + 0.12 * number) + draw.normal(0, 0.03)
        reach = (150, 200, 215, 200, 150)[number] * draw.uniform(0.95, 1.05)
        root = np.array([180 - 75 * np.cos(angle), 310 - 75 * np.sin(angle)])
        tip = root - reach * np.array([np.cos(angle), np.sin(angle)]) * 0.85
        pen.line((*root, *tip), fill=60, width=34)
        joints = np.linspace(np.array([180, 400]), tip, 5)
        for start, end in itertools.pairwise(joints):
            gap = 0.06 * (end - start)
            pen.line((*(start + gap), *(end - gap)), fill=150, width=15)
    return _film(layer, draw)


def _lateral(draw: np.random.Generator) -> Image.Image:
    """A drawn lateral chest: spine at the back, breastbone in front, ribs that fall from one to the other, one lung."""
    layer = Image.new("L", (360, 440), 0)
    pen = ImageDraw.Draw(layer)
    pen.ellipse((30, -40, 330, 520), fill=75)
    pen.ellipse((85, 40, 285, 340), fill=28)
    pen.ellipse((75, 190, 190, 330), fill=80)
    pen.pieslice((60, 290, 310, 520), 180, 360, fill=110)
    for level in range(15):
        x = 278 + 14 * np.sin(level / 15 * np.pi) + draw.normal(0, 1)
        pen.rounded_rectangle((x - 17, 30 * level, x + 17, 30 * level + 24), 5, fill=135)
    pen.line((90, 60, 62, 280), fill=130, width=12)
    for level in range(9):
        pen.line((275, 40 + 30 * level, 80, 95 + 27 * level), fill=85, width=7)
    return _film(layer if draw.random() < 0.5 else ImageOps.mirror(layer), draw)


KINDS: dict[str, Callable[[np.random.Generator], Image.Image]] = {
    "noise": _noise,
    "gradients": _gradient,
    "1/f noise": _spectrum,
    "dead leaves": _leaves,
    "landscapes": _scene,
    "pages of text": _text,
    "screenshots": _screenshot,
    "drawn hands": _hand,
    "drawn lateral chests": _lateral,
    "blank": lambda draw: Image.new("L", (SIDE, SIDE), int(draw.integers(0, 256))),
    "tiny": lambda draw: _noise(draw).resize((48, 48)),
}


def _on_a_page(chest: Image.Image) -> Image.Image:
    """The radiograph on a page of which more than half is text."""
    page = _text(np.random.default_rng(0), (900, 1150))
    small = ImageOps.contain(chest, (520, 520))
    page.paste(small, ((page.width - small.width) // 2, 60))
    return page


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "inverted": ImageOps.invert,
    "turned to the left": lambda chest: chest.transpose(Image.Transpose.ROTATE_90),
    "turned to the right": lambda chest: chest.transpose(Image.Transpose.ROTATE_270),
    "upside down": lambda chest: chest.transpose(Image.Transpose.ROTATE_180),
    "turned by 45 degrees": lambda chest: chest.rotate(45, resample=Image.Resampling.BILINEAR),
    "on a page of text": _on_a_page,
    "in a screenshot": lambda chest: _screenshot(np.random.default_rng(0), chest),
    "next to no contrast": lambda chest: chest.point(lambda value: 110 + value // 6),
    "left half alone": lambda chest: chest.crop((0, 0, chest.width // 2, chest.height)),
}
