"""How well the lungs are outlined on held-out patients: overlap with people, agreement of renderings, the view."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hf_model.evaluation.intervals import percentile
from hf_model.inference.lungs import LungSegmenter
from hf_model.segmentation.examples import OutlinedPictures
from hf_model.segmentation.outline import MARGIN, TURNS, Lungs, crop

REPLICATES = 1000


def measure(segmenter: LungSegmenter, pictures: OutlinedPictures, rows: np.ndarray) -> dict[str, Any]:
    """Figures of the given pictures, for ``lungs.json``.

    Per rendering, and by class of the first one: pictures, patients, median and mean IoU with the interval of a patient
    bootstrap, the 5th percentile, the share with two lungs found. Between renderings: median IoU of two outlines of the
    same picture. ``view``: share of right answers on the same pictures upright, turned, inverted and mirrored.
    """
    outlines, found, record = pictures.outlines, {}, {}
    for name, (pixels, index) in pictures.renderings.items():
        shown = rows[index[rows] >= 0]
        if not len(shown):
            continue
        lungs = segmenter.outline(pixels[i] for i in index[shown])
        found[name] = dict(zip(shown.tolist(), lungs, strict=True))
        record[name] = overlap_figures(lungs, outlines[shown], _patients(pictures, shown))
    first = next(iter(found))
    shown = np.array(list(found[first]))
    by_class = {}
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        kept = shown[pictures.labels[shown] == label]
        if len(kept):
            lungs = [found[first][i] for i in kept.tolist()]
            by_class[name] = overlap_figures(lungs, outlines[kept], _patients(pictures, kept))
    pixels, index = pictures.renderings[first]
    return {
        "renderings": record,
        "classes": by_class,
        "between_renderings": _agreement(found),
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
    """Share of pictures uint8 (N, H, W), upright and as they are, whose view is told rightly in each way it can lie."""
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


def _agreement(found: dict[str, dict[int, Lungs]]) -> dict[str, float]:
    first, *others = found
    agreement = {}
    for name in others:
        both = found[first].keys() & found[name].keys()
        values = [iou(found[first][i].mask, found[name][i].mask) for i in both]
        agreement[f"{first} and {name}"] = float(np.median(values))
    return agreement


def _with_interval(values: np.ndarray, patients: np.ndarray, statistic: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """The statistic and its 95 % interval; whole patients are drawn with replacement."""
    _, codes = np.unique(patients, return_inverse=True)
    members = [values[codes == code] for code in range(codes.max() + 1)]
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, len(members), (REPLICATES, len(members)))
    replicates = np.array([float(statistic(np.concatenate([members[i] for i in row]))) for row in drawn])
    return {"value": float(statistic(values)), "interval": list(percentile(replicates))}
