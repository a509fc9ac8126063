"""How well the lungs are outlined on held-out patients: overlap with people, agreement of renderings, the view."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hf_model.config import LABELS
from hf_model.inference.lungs import LungSegmenter
from hf_model.metrics.intervals import percentile
from hf_model.segmentation.examples import OutlinedPictures
from hf_model.segmentation.outline import MARGIN, TURNS, Lungs, crop

REPLICATES = 1000


def measure(segmenter: LungSegmenter, pictures: OutlinedPictures, rows: np.ndarray) -> dict[str, Any]:
    """Figures of the given pictures, for ``lungs.json``.

    Per rendering, and by class of the first one: pictures, patients, median and mean IoU with the interval of a patient
    bootstrap, the 5th percentile, the share with two lungs found. Between renderings: median IoU of two outlines of the
    same picture. ``view``: share of right answers on the same pictures upright, turned, inverted and mirrored.
    """
    outlines, masks, record, by_class = pictures.outlines, {}, {}, {}
    for name, (pixels, index) in pictures.renderings.items():
        shown = rows[index[rows] >= 0]
        if not len(shown):
            continue
        lungs = list(segmenter.outline(pixels[i] for i in index[shown]))
        record[name] = overlap_figures(lungs, outlines[shown], _patients(pictures, shown))
        masks[name] = {row: one.mask for row, one in zip(shown.tolist(), lungs, strict=True)}
        if by_class:
            continue
        for label, word in enumerate(LABELS):
            kept = np.flatnonzero(pictures.labels[shown] == label)
            if len(kept):
                those, patients = outlines[shown[kept]], _patients(pictures, shown[kept])
                by_class[word] = overlap_figures([lungs[i] for i in kept], those, patients)
    first = next(iter(masks))
    shown = np.array(list(masks[first]))
    pixels, index = pictures.renderings[first]
    return {
        "renderings": record,
        "classes": by_class,
        "between_renderings": _agreement(masks),
        "view": view_figures(segmenter, pixels[index[shown]]),
        "milliseconds": milliseconds(segmenter, pixels[index[shown[:100]]]),
    }


def overlap_figures(lungs: list[Lungs], outlines: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    """IoU and more of outlines against people's, bool (N, h, w), of N patients."""
    values = np.array([iou(one.at(*truth.shape), truth) for one, truth in zip(lungs, outlines, strict=True)])
    held = [float(crop(truth, one.box(MARGIN)).sum() / truth.sum()) for one, truth in zip(lungs, outlines, strict=True)]
    return {
        "pictures": len(values),
        "patients": len(set(patients.tolist())),
        "median_iou": _with_interval(values, patients, np.median),
        "mean_iou": _with_interval(values, patients, np.mean),
        "iou_5th_percentile": float(np.quantile(values, 0.05)),
        "lowest_iou": float(values.min()),
        "two_lungs_found": float(np.mean([one.found == 2 for one in lungs])),
        "outline_inside_box": float(np.mean(held)),
    }


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks bool (h, w); 1 where both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def view_figures(segmenter: LungSegmenter, pictures: np.ndarray) -> dict[str, float]:
    """Share of pictures uint8 (N, H, W), upright and as they are, with the view recognised, in each way to lie."""
    views = {name: np.rot90(pictures, turns, (1, 2)) for turns, name in enumerate(TURNS)}
    views |= {"inverted": 255 - pictures, "mirrored": pictures[:, :, ::-1]}
    found = {name: [one.view for one in segmenter.outline(stack)] for name, stack in views.items()}
    right = {name: float(np.mean([view.turn == name for view in found[name]])) for name in TURNS}
    for name in ("inverted", "mirrored"):
        right[name] = float(np.mean([getattr(view, name) > 0.5 for view in found[name]]))
        right[f"not_{name}"] = float(np.mean([getattr(view, name) <= 0.5 for view in found["upright"]]))
    return right


def milliseconds(segmenter: LungSegmenter, pictures: np.ndarray) -> float:
    """Median time of one picture uint8 (N, H, W), resizing and clean-up included."""
    segmenter.lungs(pictures[0])
    times = []
    for pixels in pictures:
        start = time.perf_counter()
        segmenter.lungs(pixels)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def _patients(pictures: OutlinedPictures, rows: np.ndarray) -> np.ndarray:
    return np.array([pictures.patients[i] for i in rows.tolist()])


def _agreement(masks: dict[str, dict[int, np.ndarray]]) -> dict[str, float]:
    first, *others = masks
    agreement = {}
    for name in others:
        both = masks[first].keys() & masks[name].keys()
        agreement[f"{first} and {name}"] = float(np.median([iou(masks[first][i], masks[name][i]) for i in both]))
    return agreement


def _with_interval(values: np.ndarray, patients: np.ndarray, statistic: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """The statistic and its 95 % interval; whole patients are drawn with replacement."""
    _, codes = np.unique(patients, return_inverse=True)
    members = [values[codes == code] for code in range(codes.max() + 1)]
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(members), (REPLICATES, len(members)))
    replicates = np.array([float(statistic(np.concatenate([members[i] for i in row]))) for row in drawn])
    return {"value": float(statistic(values)), "interval": list(percentile(replicates))}
