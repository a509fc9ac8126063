"""How much the input checks and the gate hold back: radiographs, which they should not, and everything else.

Held back is what gets no answer unasked: unreadable, refused or flagged.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from benchmarks import ood
from hf_model.inference.classifier import Classifier
from hf_model.inference.prediction import Failure, Prediction
from hf_model.metrics.intervals import wilson
from hf_model.radiograph import UnreadableRadiograph, read_radiograph

BARS = {"radiographs": ("at most", 0.02), "photographs": ("at least", 0.95), "generated": ("at least", 0.95)}
"""Share held back that each group is to keep."""
ALTERED = 48
"""How many of the radiographs are altered: each of them in every way."""
LONGEST_SIDE = 1024
"""Pixels of an altered radiograph: the alterations are drawn for about this size."""


def gate_record(classifier: Classifier, radiographs: Iterable[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """Measure on photographs, generated pictures and radiographs ``(name, bytes)``, which may be none.

    Returns "weights_sha256", "engine", "groups" (name -> tally) and "kinds" (tallies with "group" and "kind"); a tally
    is that of ``tally``, with "bar" in a group that has one. The first ``ALTERED`` readable radiographs are also
    measured altered (inverted, turned, ...).
    """
    kinds: list[dict[str, Any]] = []
    for group, pictures in (("photographs", ood.photographs()), ("generated", ood.generated())):
        kinds += _kinds(classifier, group, ((kind, _png(picture)) for kind, _, picture in pictures))
    kept: list[Image.Image] = []
    results = list(classifier.predict_batch(_watched(radiographs, kept), heat_map=False))
    if results:
        kinds.append({"group": "radiographs", "kind": "as they are", **tally(results)})
        changed = ((kind, _png(picture)) for chest in kept for kind, picture in ood.altered(chest))
        kinds += _kinds(classifier, "altered radiographs", changed)
    groups = {}
    for name in dict.fromkeys(kind["group"] for kind in kinds):
        groups[name] = _sum([kind for kind in kinds if kind["group"] == name])
        if name in BARS:
            groups[name]["bar"] = " ".join(map(str, BARS[name]))
            groups[name]["bar_met"] = meets(name, groups[name]["held_back"]["value"])
    return {"weights_sha256": classifier.model_hash, "engine": classifier.engine_name, "groups": groups, "kinds": kinds}


def tally(results: Iterable[Prediction | Failure]) -> dict[str, Any]:
    """Counts of results: "pictures", "unreadable", "refused", "flagged", their codes, and the share held back.

    "held_back" has "value" (None of no pictures) and Wilson's 95 % "interval".
    """
    counts, codes = Counter(), Counter()
    for result in results:
        counts["pictures"] += 1
        if not result.ok:
            counts["unreadable"] += 1
            codes[result.code] += 1
            continue
        counts["refused" if result.refused else "flagged" if result.needs_confirmation else "answered"] += 1
        codes.update(finding.code for finding in result.findings if finding.severity != "note")
    return _with_share(counts, codes)


def meets(group: str, share: float | None) -> bool | None:
    """Whether a share held back keeps its group's bar; None without pictures."""
    if share is None:
        return None
    direction, limit = BARS[group]
    return share <= limit if direction == "at most" else share >= limit


def _with_share(counts: Counter[str], codes: Counter[str]) -> dict[str, Any]:
    held = counts["unreadable"] + counts["refused"] + counts["flagged"]
    total = counts["pictures"]
    share = {"value": held / total if total else None, "interval": list(wilson(held, total)) if total else None}
    numbers = {name: counts[name] for name in ("pictures", "unreadable", "refused", "flagged")}
    return {**numbers, "held_back": share, "codes": dict(sorted(codes.items()))}


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    counts, codes = Counter(), Counter()
    for part in parts:
        counts.update({name: part[name] for name in ("pictures", "unreadable", "refused", "flagged")})
        codes.update(part["codes"])
    return _with_share(counts, codes)


def _kinds(classifier: Classifier, group: str, pictures: Iterable[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """A tally for each kind, in the order in which the kinds come."""
    drawn: list[str] = []

    def sources() -> Iterator[tuple[str, bytes]]:
        for kind, data in pictures:
            drawn.append(kind)
            yield kind, data

    results = list(classifier.predict_batch(sources(), heat_map=False))
    return [
        {
            "group": group,
            "kind": kind,
            **tally(result for name, result in zip(drawn, results, strict=True) if name == kind),
        }
        for kind in dict.fromkeys(drawn)
    ]


def _watched(radiographs: Iterable[tuple[str, bytes]], kept: list[Image.Image]) -> Iterator[tuple[str, bytes]]:
    """The radiographs, of which the first few stay in ``kept``, decoded and reduced."""
    for name, data in radiographs:
        if len(kept) < ALTERED:
            try:
                picture = Image.fromarray(read_radiograph(data, name=name).pixels)
            except UnreadableRadiograph:
                pass
            else:
                picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
                kept.append(picture)
        yield name, data


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
