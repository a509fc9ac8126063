"""A drawn chest: what tests and the README's screenshots show instead of anyone's radiograph.

Trunk, lungs, ribs, clavicles, spine, heart, diaphragm and shoulders are ellipses and curves in grey, blurred and given
film grain. It resembles a frontal film of a child closely enough for layout and input checks, and depicts nobody.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 1100, 960
SIDES = (-1, 1)


def _soft(size: tuple[int, int], blur: float, level: int, *ellipses: tuple[float, float, float, float]) -> Image.Image:
    """One layer of ellipses ``(x0, y0, x1, y1)`` in fractions of the picture, blurred by ``blur`` pixels."""
    layer = Image.new("L", size, 0)
    draw = ImageDraw.Draw(layer)
    for x0, y0, x1, y1 in ellipses:
        draw.ellipse((x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]), fill=level)
    return layer.filter(ImageFilter.GaussianBlur(blur))


def _curve(size: tuple[int, int], blur: float, level: int, width: float, x: np.ndarray, y: np.ndarray) -> Image.Image:
    layer = Image.new("L", size, 0)
    points = list(zip((x * size[0]).tolist(), (y * size[1]).tolist(), strict=True))
    ImageDraw.Draw(layer).line(points, fill=level, width=round(width * size[1]), joint="curve")
    return layer.filter(ImageFilter.GaussianBlur(blur))


def _ribs(size: tuple[int, int]) -> Image.Image:
    """Nine pairs: the back part bright and nearly level, the front part faint and falling towards the middle."""
    layer = Image.new("L", size, 0)
    t = np.linspace(0, 1, 40)
    for i in range(9):
        top, reach = 0.12 + 0.066 * i, (0.2, 0.27, 0.31, 0.335, 0.35, 0.36, 0.365, 0.365, 0.36)[i]
        for side in SIDES:
            x = 0.5 + side * (0.03 + reach * np.sin(t * np.pi / 2))
            y = top - 0.025 * np.sin(np.pi * t) + 0.115 * t**2.4
            layer = ImageChops.add(layer, _curve(size, 3, 30, 0.022, x, y))
            layer = ImageChops.add(layer, _curve(size, 2, 16, 0.005, x, y + 0.011))
            back = 0.5 + side * (0.03 + reach - (reach - 0.1) * t**1.3)
            layer = ImageChops.add(layer, _curve(size, 4, 7, 0.022, back, top + 0.115 + 0.11 * np.sin(t * np.pi / 2)))
    return layer


def _bones(size: tuple[int, int]) -> Image.Image:
    w, h = size
    layer = Image.new("L", size, 0)
    draw = ImageDraw.Draw(layer)
    draw.rectangle((0.468 * w, 0, 0.532 * w, h), fill=24)
    for i in range(16):
        y = 0.012 + 0.06 * i
        draw.rounded_rectangle((0.464 * w, y * h, 0.536 * w, (y + 0.045) * h), radius=8, fill=40)
    layer = layer.filter(ImageFilter.GaussianBlur(5))
    t = np.linspace(0, 1, 30)
    for side in SIDES:
        clavicle = 0.115 - 0.05 * t + 0.018 * np.sin(2 * np.pi * t)
        layer = ImageChops.add(layer, _curve(size, 3, 52, 0.024, 0.5 + side * (0.04 + 0.32 * t), clavicle))
        scapula = (0.5 + side * (0.36 + 0.05 * np.sin(np.pi * t)), 0.12 + 0.3 * t)
        layer = ImageChops.add(layer, _curve(size, 7, 30, 0.035, *scapula))
        head = 0.5 + side * 0.435
        layer = ImageChops.add(layer, _soft(size, 5, 58, (head - 0.05, 0.045, head + 0.05, 0.165)))
        arm = (head + side * (0.01 + 0.05 * t), 0.13 + 0.45 * t)
        layer = ImageChops.add(layer, _curve(size, 5, 48, 0.06, *arm))
    return layer


def chest(*, consolidation: float = 0.0, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """A phantom radiograph, uint8 (height, width).

    Args:
        consolidation: 0 for clear lungs to 1 for a dense opacity in the lower right lung (left in the picture).
        seed: of the film grain.
        size: width and height in pixels.
    """
    trunk = _soft(size, 16, 98, (0.1, 0.0, 0.9, 1.5), (0.38, -0.3, 0.62, 0.2))
    shoulders = _soft(size, 26, 46, (-0.06, 0.02, 0.36, 0.62), (0.64, 0.02, 1.06, 0.62))
    lungs = _soft(size, 13, 88, (0.17, 0.1, 0.47, 0.86), (0.53, 0.1, 0.83, 0.88))
    middle = _soft(size, 22, 62, (0.42, 0.05, 0.58, 1.1))
    heart = _soft(size, 11, 58, (0.43, 0.4, 0.7, 0.78), (0.46, 0.2, 0.57, 0.6))
    hila = _soft(size, 16, 30, (0.39, 0.34, 0.46, 0.52), (0.55, 0.32, 0.61, 0.48))
    belly = _soft(size, 9, 82, (0.1, 0.67, 0.51, 1.5), (0.48, 0.71, 0.9, 1.5))
    opacity = _soft(size, 30, round(85 * consolidation), (0.21, 0.46, 0.41, 0.7), (0.27, 0.38, 0.38, 0.58))
    picture = ImageChops.subtract(ImageChops.add(trunk, shoulders), lungs)
    for layer in (middle, heart, hila, belly, _ribs(size), _bones(size), opacity):
        picture = ImageChops.add(picture, layer)
    grey = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2)), dtype=np.float32)
    noise = np.random.default_rng(seed)
    grain = noise.normal(0, 4.0, grey.shape)
    vessels = noise.normal(0, 1, (size[1] // 12, size[0] // 12)).astype(np.float32)
    texture = np.asarray(Image.fromarray(vessels).resize(size, Image.Resampling.BICUBIC))
    return np.clip(245 * (1 - np.exp(-grey / 118)) + 8 + grain + 4 * texture * (grey > 24), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """``pixels`` as the bytes of a file of the Pillow format ``kind``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
