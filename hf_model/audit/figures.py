"""Figures of the page: charts (matplotlib), and sheets of pictures with lines of text below (Pillow)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from hf_model.audit.model_probes import hide
from hf_model.audit.pictures import Pictures
from hf_model.config import LABELS
from hf_model.data.near_duplicates import Pair
from hf_model.evaluation.figures import CLASS_STYLE, GREY, ORANGE, new_axes
from hf_model.wording import decimal, percent

STYLE = dict(zip(LABELS, CLASS_STYLE, strict=True))
SPLIT_LINES = ("-", "--", ":", "-.")


def counts_chart(counts: list[dict[str, Any]]) -> Figure:
    """Bars per split and class, the number on each."""
    figure, axes = new_axes(6.4, 3.6)
    splits = list(dict.fromkeys(entry["split"] for entry in counts))
    for offset, (name, (colour, shown)) in zip((-0.2, 0.2), STYLE.items(), strict=True):
        heights = [next(e["n"] for e in counts if e["split"] == split and e["class"] == name) for split in splits]
        bars = axes.bar(np.arange(len(splits)) + offset, heights, 0.38, color=colour, label=shown)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=9)
    axes.set_xticks(range(len(splits)), splits)
    axes.set(ylabel="pictures")
    axes.legend(frameon=False)
    return figure


def sizes_charts(pictures: Pictures) -> dict[str, Figure]:
    """Histograms per class of the longer side, the aspect and the file's length, by name."""
    out = {}
    quantities = (
        ("longer_side", "longer side, px", lambda f: max(f.width, f.height)),
        ("aspect", "width / height", lambda f: f.width / f.height),
        ("file_size", "file size, KiB", lambda f: f.size / 1024),
    )
    for key, title, value in quantities:
        figure, axes = new_axes(4.6, 3.2)
        by_class = [
            [value(f) for f, given in zip(pictures.files, pictures.labels, strict=True) if given == label and f.width]
            for label in range(len(LABELS))
        ]
        everything = np.concatenate([np.asarray(v, dtype=float) for v in by_class])
        low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
        edges = np.linspace(low - 0.5, high + 0.5, 12) if low == high else np.linspace(low, high, 51)
        for values, (colour, shown) in zip(by_class, CLASS_STYLE, strict=True):
            if values:
                weights = np.full(len(values), 1 / len(values))
                axes.hist(values, edges, weights=weights, color=colour, alpha=0.55, label=shown)
        axes.set(xlabel=title, ylabel="share of the class")
        axes.legend(frameon=False, fontsize=9)
        out[key] = figure
    return out


def intensity_chart(entries: list[dict[str, Any]]) -> Figure:
    """Share of each grey value, a line per split and class; bins at both ends may exceed the axis."""
    figure, axes = new_axes(6.8, 3.8)
    splits = list(dict.fromkeys(entry["split"] for entry in entries))
    for entry in entries:
        colour, shown = STYLE[entry["class"]]
        line = SPLIT_LINES[splits.index(entry["split"]) % len(SPLIT_LINES)]
        axes.plot(entry["share"], line, color=colour, linewidth=1.4, label=f"{entry['split']}, {shown}")
    inner = [share for entry in entries for share in entry["share"][3:253]]
    top = 1.15 * max(inner, default=1.0)
    axes.set(xlabel="grey value", ylabel="share of the pixels", xlim=(0, 255), ylim=(0, top))
    axes.legend(frameon=False, fontsize=8.5)
    return figure


def probes_chart(rows: list[tuple[str, dict[str, Any], bool]]) -> Figure:
    """AUC with interval per (title, entry, is the model's): chance at 0.5."""
    figure, axes = new_axes(7.2, 0.42 * len(rows) + 1.1)
    for height, (_, entry, model) in enumerate(reversed(rows)):
        colour, marker = (ORANGE, "s") if model else (CLASS_STYLE[0][0], "o")
        if entry["interval"] is not None:
            axes.plot(entry["interval"], [height, height], color=colour, linewidth=2)
        axes.plot(entry["value"], height, marker, color=colour)
        place = {"textcoords": "offset points", "ha": "center"}
        axes.annotate(decimal(entry["value"]), (entry["value"], height), (0, 6), fontsize=8.5, **place)
    axes.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [title for title, _, _ in reversed(rows)])
    least = min([0.45, *(min([entry["value"], *(entry["interval"] or ())]) for _, entry, _ in rows)])
    axes.set(xlabel="AUC, 95 % interval over patients", xlim=(max(0, least - 0.02), 1.01), ylim=(-0.6, len(rows) - 0.3))
    return figure


def sharpness_chart(views: list[dict[str, Any]]) -> Figure:
    """The model's mean probability per class from blurred (left) to sharpened (right)."""
    figure, axes = new_axes(6.8, 3.8)
    steps = sorted((v for v in views if v["key"] in ("blur", "whole", "sharpen")), key=lambda v: v["strength"])
    places = range(len(steps))
    for key, (colour, shown) in zip(("mean_normal", "mean_pneumonia"), CLASS_STYLE, strict=True):
        axes.plot(places, [step[key] for step in steps], "o-", color=colour, label=f"mean probability, {shown}")
    axes.plot(places, [step["auc"]["value"] for step in steps], "s--", color=GREY, label="AUC")
    axes.set_xticks(
        places, [step["title"].replace("Blurred by", "blur\n").replace("Sharpened by", "sharp\n") for step in steps]
    )
    axes.set(ylim=(-0.02, 1.02), ylabel="probability of pneumonia, AUC")
    axes.legend(frameon=False, fontsize=9)
    return figure


def shift_chart(statistics: list[dict[str, Any]]) -> Figure:
    """Difference of test from development in standard deviations, per statistic and class."""
    names = list(dict.fromkeys(entry["statistic"] for entry in statistics))
    figure, axes = new_axes(6.8, 0.27 * len(names) + 1.0)
    for offset, (kind, (colour, shown)) in zip((0.18, -0.18), STYLE.items(), strict=True):
        found = {e["statistic"]: e["difference"] for e in statistics if e["class"] == kind}
        heights = len(names) - 1 - np.arange(len(names)) + offset
        axes.barh(heights, [found.get(name, 0.0) for name in names], 0.34, color=colour, label=shown)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(range(len(names)), names[::-1])
    axes.set(xlabel="test minus development, standard deviations")
    axes.legend(frameon=False, fontsize=9)
    return figure


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
    """The line, shortened in the middle if it is wider than a tile: file names differ at both ends."""
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
    at = pictures.development[pictures.decoded_labels[pictures.development] == label]
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
            (pair.first, f"correlation {decimal(pair.correlation)}"),
            (pair.second, "mirrored" if pair.mirrored else ""),
        ):
            row = int(pictures.kept[position])
            tiles.append((pictures.pixels[position], [pictures.where(row), LABELS[pictures.labels[row]], note]))
    return sheet(tiles, 4)


def suspects_sheet(pictures: Pictures, listed: Sequence[dict], shown: int = 18) -> Image.Image:
    """The likeliest label errors, with the label given and the probability that it was given."""
    tiles = []
    for entry in listed[:shown]:
        text = [entry["file"], f"{entry['label']}: {percent(entry['confidence'])}{' *' * entry['confident']}"]
        tiles.append((pictures.pixels[entry["position"]], text))
    return sheet(tiles, 6)


def masks_sheet(pictures: Pictures, seed: int) -> Image.Image:
    """What the probes see of one picture of each class."""
    tiles = []
    for label, name in enumerate(LABELS):
        at = pictures.development[pictures.decoded_labels[pictures.development] == label]
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
