"""Share of pictures that the input checks hold back: radiographs, which should pass, and all else, which should not.

Held back is what gets no answer before somebody confirms it: unreadable, refused or flagged. The record may be written
into a checkpoint's ``metrics.json``, from where the page shows it.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from PIL import Image

from benchmarks import markdown, ood, radiographs
from benchmarks.frame import Options
from hf_model import wording
from hf_model.data.arguments import add_column_options, column_options
from hf_model.evaluation.test_split import TEST, CheckpointPictures
from hf_model.files import write_json
from hf_model.inference.checkpoint import Checkpoint
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.choice import NAMES, open_engine
from hf_model.inference.prediction import Failure, Prediction
from hf_model.metrics.intervals import proportion
from hf_model.radiograph import UnreadableRadiograph, read_radiograph

NAME = "input_checks"
TITLE = "What the input checks hold back"
KEY = "input_checks"
"""Where ``metrics.json`` holds the record."""
BARS = {"radiographs": ("at most", 0.02), "photographs": ("at least", 0.95), "generated": ("at least", 0.95)}
"""Share held back that is wanted of each group."""
ALTERED = 48
"""How many of the radiographs are altered, each in every way."""
LONGEST_SIDE = 1024
"""Pixels of an altered radiograph: the alterations are drawn for about this size."""
COUNTS = ("pictures", "unreadable", "refused", "flagged")


def add_options(parser: argparse._ActionsContainer) -> None:
    """Options of this benchmark alone: another checkpoint, other radiographs, and where the record goes."""
    parser.add_argument("--checkpoint", help="folder or Hub id (default: the shipped checkpoint)")
    parser.add_argument("--radiographs", metavar="DATASET", help="radiographs that should pass: folder or Hub id")
    parser.add_argument("--split", help='a split of it, or "all"; never the test split of the training data')
    add_column_options(parser)
    parser.add_argument("--engine", choices=NAMES, default="auto")
    parser.add_argument("--most", type=int, help="only so many radiographs, evenly spread (default: all)")
    parser.add_argument(
        "--write_metrics", action="store_true", help="write the record into the checkpoint's metrics.json"
    )


def run(options: Options) -> dict[str, Any]:
    """Measure the shipped checkpoint on the published training split, or what the options name instead.

    With ``--checkpoint`` and no ``--radiographs`` only photographs and generated pictures are measured. ValueError for
    radiographs of the checkpoint's own test split, and for ``--write_metrics`` without a ``metrics.json``.
    """
    own = options.own
    checkpoint = Checkpoint.open(own.checkpoint)
    path = checkpoint.folder / "metrics.json"
    if own.write_metrics and not path.is_file():
        raise ValueError(f"{checkpoint.model_id} has no metrics.json to write into; leave --write_metrics out")
    about, pictures = _radiographs(options, checkpoint)
    record = about | measure_checks(Classifier(checkpoint, open_engine(checkpoint, own.engine)), pictures)
    if own.write_metrics:
        write_json(path, json.loads(path.read_text(encoding="utf-8")) | {KEY: record})
    return record


def _radiographs(options: Options, checkpoint: Checkpoint) -> tuple[dict[str, Any], Iterable[tuple[str, bytes]]]:
    """What is said of the radiographs in the record, and ``(name, bytes)`` of each."""
    from hf_model.evaluation.labelled_dataset import LabelledDataset  # datasets: not for listing the benchmarks

    own = options.own
    most = 12 if options.quick and own.most is None else own.most
    if most is not None and most < 1:
        raise ValueError(f"--most is {most}; give at least 1")
    if own.radiographs is None and own.checkpoint is not None:
        return {}, ()
    if own.radiographs is None:
        files = radiographs.training_files(options, most)
        about = {"dataset": radiographs.SMALL, "split": "train", "pictures": len(files)}
        return {"radiographs": about}, ((f"row-{row}", data) for row, data in enumerate(files))
    pictures = LabelledDataset.open(own.radiographs, own.split, **column_options(own))
    if CheckpointPictures.read(checkpoint.metrics, checkpoint.folder).role(pictures) == TEST:
        raise ValueError(f"{own.radiographs} holds pictures of this checkpoint's own test split; name another")
    if most is not None and most < len(pictures):
        step = len(pictures) / most
        pictures = pictures.select([int(number * step) for number in range(most)])
    about = {"dataset": pictures.name, "split": pictures.split, "pictures": len(pictures)}
    return {"radiographs": about}, pictures.contents()


def measure_checks(classifier: Classifier, pictures: Iterable[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """Measure on photographs, generated pictures and radiographs ``(name, bytes)``, which may be none.

    Returns "weights_sha256", "engine", "groups" (name -> tally) and "kinds" (tallies with "group" and "kind"); a tally
    is that of ``tally``, with "bar" and "bar_met" in a group that has one. The first ``ALTERED`` readable radiographs
    are also measured altered (inverted, turned, ...).
    """
    kinds = _kinds(classifier, "photographs", ((kind, _png(picture)) for kind, _, picture in ood.photographs()))
    kinds += _kinds(classifier, "generated", ((kind, _png(picture)) for kind, _, picture in ood.generated()))
    kept: list[Image.Image] = []
    results = list(classifier.predict_batch(_watched(pictures, kept), heat_map=False))
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


def table(section: dict[str, Any]) -> str:
    """A row for each group, and below it one for each of its kinds."""
    rows = []
    for name, group in section["groups"].items():
        wanted = ""
        if name in BARS:
            direction, share = BARS[name]
            wanted = f"{direction} {wording.setting(share)}: {'met' if group['bar_met'] else 'MISSED'}"
        rows.append([f"{name}, all", *_cells(group), wanted])
        kinds = [kind for kind in section["kinds"] if kind["group"] == name]
        rows += [[f"{name}: {kind['kind']}", *_cells(kind), ""] for kind in kinds if len(kinds) > 1]
    grid = markdown.grid(["", *COUNTS, "held back (95 % interval)", "wanted"], rows)
    if about := section.get("radiographs"):
        grid += f"\n\nRadiographs: {about['pictures']:,} of {about['dataset']}, {about['split']} split."
    return grid


def _cells(counted: dict[str, Any]) -> list[Any]:
    return [*(f"{counted[name]:,}" for name in COUNTS), wording.rate(counted["held_back"])]


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
    numbers = {name: counts[name] for name in COUNTS}
    return {**numbers, "held_back": proportion(held, counts["pictures"]), "codes": dict(sorted(codes.items()))}


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    counts, codes = Counter(), Counter()
    for part in parts:
        counts.update({name: part[name] for name in COUNTS})
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
