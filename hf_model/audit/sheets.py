"""Sheets of pictures: samples, means, suspects, pairs, an augmentation preview. Pillow draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hf_model.audit.model_probes import hide
from hf_model.audit.pictures import TEST, Pictures
from hf_model.config import LABELS
from hf_model.data.near_duplicates import Pair

TILE, GAP, LINE = 168, 6, 16


def sheet(tiles: Sequence[tuple[np.ndarray, Sequence[str]]], columns: int) -> Image.Image:
    """Grey pictures uint8 (H, W) in rows, each with its lines of text below, on white."""
    lines = max((len(text) for _, text in tiles), default=0)
    height = TILE + LINE * lines + GAP
    rows = -(-len(tiles) // columns)
    canvas = Image.new("L", (columns * (TILE + GAP) + GAP, rows * height + GAP), 255)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    for i, (pixels, text) in enumerate(tiles):
        x, y = GAP + i % columns * (TILE + GAP), GAP + i // columns * height
        canvas.paste(Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))
        for number, line in enumerate(text):
            draw.text((x, y + TILE + 1 + LINE * number), _fit(draw, line, font), fill=20, font=font)
    return canvas


def _fit(draw: ImageDraw.ImageDraw, line: str, font: ImageFont.ImageFont) -> str:
    """The line, its middle left out if it is wider than a tile: file names differ at both ends."""
    if draw.textlength(line, font=font) <= TILE:
        return line
    keep = len(line)
    while keep > 4:
        keep -= 1
        short = f"{line[: keep // 2]}…{line[len(line) - (keep - keep // 2) :]}"
        if draw.textlength(short, font=font) <= TILE:
            return short
    return line[:4]


def samples(pictures: Pictures, label: int, seed: int, columns: int = 6, rows: int = 2) -> Image.Image:
    """Random pictures of one class from the development splits."""
    at = pictures.development[pictures.labels[pictures.kept[pictures.development]] == label]
    chosen = np.random.default_rng(seed).permutation(at)[: columns * rows]
    tiles = [(pictures.pixels[i], [pictures.where(int(pictures.kept[i]))]) for i in chosen]
    return sheet(tiles, columns)


def means(found: dict[tuple[str, str], np.ndarray]) -> Image.Image:
    """Means by split: normal, pneumonia, and their difference (grey: none; white: pneumonia is brighter)."""
    tiles = []
    for split in dict.fromkeys(split for split, _ in found):
        pair = [found.get((split, name)) for name in LABELS]
        for name, mean in zip(LABELS, pair, strict=True):
            if mean is not None:
                tiles.append((mean.round().astype(np.uint8), [f"{split}, {name}"]))
        if all(mean is not None for mean in pair):
            difference = np.clip(128 + 3 * (pair[1] - pair[0]), 0, 255).astype(np.uint8)
            tiles.append((difference, [f"{split}: difference x 3"]))
    return sheet(tiles, 3)


def augmentation_preview(pixels: np.ndarray, seed: int, count: int = 11) -> Image.Image:
    """One picture as it is and as training draws it, with the default augmentation."""
    import torch

    from hf_model.data.augmentation import AugmentationArguments, Augmenter

    batch = torch.from_numpy(np.repeat(pixels[None], count, axis=0))
    drawn = Augmenter(AugmentationArguments())(batch, torch.Generator().manual_seed(seed)).numpy()
    tiles = [(pixels, ["as it is"])]
    tiles += [((picture * 255).round().astype(np.uint8), [f"draw {i + 1}"]) for i, picture in enumerate(drawn)]
    return sheet(tiles, 6)


def pairs_sheet(pictures: Pictures, pairs: Sequence[Pair], shown: int = 12) -> Image.Image:
    """Near duplicates side by side."""
    tiles = []
    for pair in pairs[:shown]:
        for position, note in (
            (pair.first, f"correlation {pair.correlation:.3f}"),
            (pair.second, "mirrored" if pair.mirrored else ""),
        ):
            row = int(pictures.kept[position])
            tiles.append((pictures.pixels[position], [pictures.where(row), LABELS[pictures.labels[row]], note]))
    return sheet(tiles, 4)


def suspects_sheet(pictures: Pictures, listed: Sequence[dict], shown: int = 18) -> Image.Image:
    """The likeliest label errors, with the label given and the probability that it was given."""
    tiles = []
    for entry in listed[:shown]:
        star = " *" if entry["confident"] else ""
        text = [entry["file"], f"{entry['label']}: {100 * entry['confidence']:.1f} %{star}"]
        tiles.append((pictures.pixels[entry["position"]], text))
    return sheet(tiles, 6)


def masks_sheet(pictures: Pictures, seed: int) -> Image.Image:
    """What the probes see of one picture of each class."""
    labels = pictures.labels[pictures.kept]
    tiles = []
    for label, name in enumerate(LABELS):
        at = np.flatnonzero((labels == label) & (pictures.split[pictures.kept] != TEST))
        if len(at):
            pixels = pictures.pixels[np.random.default_rng(seed).choice(at)]
            small = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BOX).resize((TILE, TILE), 0)
            tiles += [
                (pixels, [name]),
                (hide(pixels, inside=True), ["lungs masked"]),
                (hide(pixels, inside=False), ["only the rectangle"]),
                (np.asarray(small), ["16 px"]),
            ]
    return sheet(tiles, 4)
