"""The report of an evaluated set: its contents as one JSON object, and the page, figures and table that show them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hf_model import wording
from hf_model.config import NOT_A_DEVICE, SCHEMA_VERSION
from hf_model.files import write_json
from hf_model.inference.heat_map import overlay
from hf_model.metrics.calibration import probability_of
from hf_model.metrics.comparison import compare, rendering_agreement
from hf_model.metrics.decision import Decision
from hf_model.metrics.guarantees import check_guarantees, score_shift
from hf_model.metrics.prevalence import predictive_values
from hf_model.metrics.record import evaluation_record, subgroup_table
from hf_model.metrics.scores import Scores
from hf_model.templates import data_uri, environment

PREVALENCES = (0.05, 0.1, 0.25, 0.5, 0.75)
THUMBNAIL_SIDE = 224
"""Longest side of a thumbnail, pixels."""
THUMBNAILS = "cases"
"""Folder that keeps thumbnails."""


@dataclass(frozen=True, eq=False)
class ReportInput:
    """What a report is made from.

    ``facts``: "model_id", "weights_sha256", "engine", "dataset_name", "split", "role" ("test", "development",
    "external"), "from_scores", "command" ... shown as they are; "not_test_pictures" names what was left out of a set
    that holds more than the test split, "refused_left_out" is True where ``scores`` are without ``refused``.
    ``scores`` are the set's; ``calibration`` those the decision was fitted on, if the checkpoint holds them.
    ``renderings`` and ``perturbations`` are other scores of the same pictures by name; ``columns`` one list of N values
    per subgroup column; ``other`` (scores, decision, name) of a second checkpoint on the same pictures.
    """

    facts: dict[str, Any]
    decision: Decision
    scores: Scores
    calibration: Scores | None = None
    renderings: dict[str, Scores] = field(default_factory=dict)
    perturbations: dict[str, Scores] = field(default_factory=dict)
    columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    opening: dict[str, Any] | None = None
    other: tuple[Scores, Decision, str] | None = None


def build(given: ReportInput, *, prevalences: Sequence[float] = PREVALENCES, seed: int = 0) -> dict[str, Any]:
    """The contents of the report's metrics.json; every value plain JSON."""
    decision, scores = given.decision, given.scores
    record = evaluation_record(scores, decision, seed=seed)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **given.facts,
        "decision": decision.to_dict(),
        "record": record,
        "patients_known": any(scores.patients),
        "guarantees": check_guarantees(scores, decision, seed=seed),
        "shift": None if given.calibration is None else score_shift(given.calibration, scores, decision),
        "predictive_values": _predictive_values(record, prevalences),
        "subgroups": subgroup_table(scores, decision, given.columns),
    }
    for kind, others in (("rendering", given.renderings), ("perturbation", given.perturbations)):
        content[f"{kind}s"] = {name: rendering_agreement(scores, other, decision) for name, other in others.items()}
        content[f"{kind}_records"] = {
            name: evaluation_record(other, decision, seed=seed) for name, other in others.items()
        }
    content |= {
        "errors": error_list(scores, decision),
        "unreadable": [{"name": name, "reason": reason} for name, reason in given.failures],
        "refused_by_input_checks": given.refused,
        "test_opening": given.opening,
    }
    if given.other is not None:
        others, other_decision, name = given.other
        found = compare(scores, others, decision, other_decision, seed=seed)
        content["comparison"] = {"first": given.facts.get("model_id"), "second": name, **found}
    return content


def _predictive_values(record: dict[str, Any], prevalences: Sequence[float]) -> list[dict[str, Any]]:
    """PPV and NPV at the default point for each prevalence; empty where a class is missing."""
    cells = record["points"]["default"]["confusion"]
    if not cells["tp"] + cells["fn"] or not cells["tn"] + cells["fp"]:
        return []
    return [predictive_values(**cells, prevalence=prevalence) for prevalence in prevalences]


def error_list(scores: Scores, decision: Decision) -> list[dict[str, Any]]:
    """Every wrong decision at the default threshold, the most wrong first.

    ``row`` (in the scores), "name", "patient", "kind" ("false negative" or "false positive"), "probability", "answer",
    and "wrong_by": the log-odds of the probability that the model gave, signed against the truth.
    """
    probability = probability_of(scores, decision)
    rows = np.flatnonzero((probability >= decision.threshold) != (scores.labels == 1))
    log_odds = scores.margins / decision.temperature + decision.bias
    wrong_by = np.where(scores.labels == 1, -log_odds, log_odds)
    return [
        {
            "row": int(row),
            "name": scores.names[row],
            "patient": scores.patients[row],
            "kind": "false negative" if scores.labels[row] else "false positive",
            "probability": float(probability[row]),
            "answer": decision.answer(float(probability[row])),
            "wrong_by": float(wrong_by[row]),
        }
        for row in rows[np.argsort(-wrong_by[rows], kind="stable")]
    ]


@dataclass(frozen=True)
class ErrorThumbnail:
    """A wrongly decided picture: JPEG bytes of the radiograph and of the heat map over it (None: there is none).

    ``row`` joins it to the errors of the contents.
    """

    row: int
    picture: bytes
    overlay: bytes | None

    @classmethod
    def draw(cls, row: int, picture: np.ndarray, heat: np.ndarray | None) -> ErrorThumbnail:
        """From grey uint8 (H, W) and its class activation map (h, w) in 0 to 1, or None."""
        return cls(row, _jpeg(picture), None if heat is None else _jpeg(overlay(picture, heat, 0.7)))

    def addresses(self) -> dict[str, str | None]:
        """Both as ``data:`` addresses: {"picture", "overlay"}."""
        heat = None if self.overlay is None else data_uri(self.overlay, "image/jpeg")
        return {"picture": data_uri(self.picture, "image/jpeg"), "overlay": heat}


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def save_thumbnails(folder: Path, thumbnails: Sequence[ErrorThumbnail]) -> None:
    """Keep thumbnails in ``folder/cases``, so that the page can be written again without the pictures."""
    (folder / THUMBNAILS).mkdir(parents=True, exist_ok=True)
    for thumbnail in thumbnails:
        (folder / THUMBNAILS / f"{thumbnail.row}.jpg").write_bytes(thumbnail.picture)
        if thumbnail.overlay is not None:
            (folder / THUMBNAILS / f"{thumbnail.row}-map.jpg").write_bytes(thumbnail.overlay)


def load_thumbnails(folder: Path) -> list[ErrorThumbnail]:
    """What ``save_thumbnails`` kept."""
    thumbnails = []
    for path in sorted((folder / THUMBNAILS).glob("*.jpg")):
        if path.stem.isdigit():
            heat = path.with_name(f"{path.stem}-map.jpg")
            kept = heat.read_bytes() if heat.exists() else None
            thumbnails.append(ErrorThumbnail(int(path.stem), path.read_bytes(), kept))
    return thumbnails


def write_report(
    folder: Path, given: ReportInput, content: dict[str, Any], thumbnails: Sequence[ErrorThumbnail]
) -> None:
    """metrics.json, scores.csv, figures/ and report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = write_figures(folder / "figures", given, content)
    write_json(folder / "metrics.json", content)
    given.scores.to_csv(folder / "scores.csv")
    write_page(folder / "report.html", content, figures, thumbnails)


def write_figures(folder: Path, given: ReportInput, content: dict[str, Any]) -> dict[str, bytes]:
    """Every figure as PNG and SVG into ``folder``; gives the SVG files by stem."""
    from hf_model.evaluation import figures  # matplotlib

    drawn = figures.evaluation_figures(given.scores, given.decision, content["record"])
    paths = figures.write_figures(drawn, folder)
    return {path.stem: path.read_bytes() for path in paths if path.suffix == ".svg"}


def write_page(
    path: Path, content: dict[str, Any], figures: dict[str, bytes], thumbnails: Sequence[ErrorThumbnail]
) -> None:
    """The page, in one file; without thumbnails it holds no picture of the data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(content, figures, thumbnails), encoding="utf-8")


def page(content: dict[str, Any], figures: dict[str, bytes], thumbnails: Sequence[ErrorThumbnail]) -> str:
    """The page as HTML that needs nothing beside it: style and pictures inside, no script, no outside request.

    ``content`` is from :func:`build`; ``figures`` are SVG files by stem; ``thumbnails`` those of some or all of
    ``content["errors"]``.
    """
    found = content["record"]["points"]
    return (
        environment(Path(__file__).parent)
        .get_template("report.html.jinja")
        .render(
            content=content,
            points={name: found[name] for name in wording.POINTS if found.get(name) is not None},
            images={name: data_uri(svg, "image/svg+xml") for name, svg in figures.items()},
            thumbnails={thumbnail.row: thumbnail.addresses() for thumbnail in thumbnails},
            not_a_device=NOT_A_DEVICE,
        )
    )


def terminal_table(content: dict[str, Any]) -> str:
    """A short table: each point with its rates and intervals, the AUC, and whether the guarantee holds."""
    record, points = content["record"], content["record"]["points"]
    lines = [
        f"{content['dataset_name']}, split {content['split']}: {wording.counted(record['n'], 'picture')}, "
        f"{wording.counted(record['patients'], 'patient')} ({record['normal']:,} normal, "
        f"{record['pneumonia']:,} with pneumonia)"
    ]
    if record["auc"]["value"] is not None:
        auc, brier, ece = wording.ratio(record["auc"]), record["brier"], record["ece"]["binned"]
        lines.append(f"AUC {auc}   Brier {wording.decimal(brier, 4)}   ECE {wording.decimal(ece, 4)}")
    lines.append(f"{'point':<14}{'threshold':>9}  {'sensitivity':<26}{'specificity':<26}{'accuracy':<26}".rstrip())
    for name, label in wording.POINTS.items():
        if point := points.get(name):
            rates = "".join(f"{wording.rate(point[rate]):<26}" for rate in ("sensitivity", "specificity", "accuracy"))
            lines.append(f"{label:<14}{wording.decimal(point['threshold'], 4):>9}  {rates}".rstrip())
    if policy := record.get("policy"):
        lines.append(
            f"policy, lower {wording.decimal(policy['lower'], 4)}, upper {wording.decimal(policy['upper'], 4)}: "
            f"{wording.policy_sentence(policy)}"
        )
    if default := content["guarantees"].get("default"):
        lines.append(default["sentence"])
    refused = content["refused_by_input_checks"] if content.get("refused_left_out") else []
    unreadable = [entry["name"] for entry in content["unreadable"]]
    lines += left_out_lines(unreadable, refused, content.get("not_test_pictures") or [])
    if found := content.get("comparison"):
        lines += _comparison_lines(found)
    return "\n".join(lines)


def left_out_lines(unreadable: Sequence[str], refused: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """What no figure counts, by file names: a line for each kind there is, with the first names."""
    kinds = (
        ("unreadable", unreadable),
        ("refused by the input checks (blank)", refused),
        ("not among the checkpoint's test pictures", others),
    )
    return [
        f"Left out, {kind}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in kinds
        if names
    ]


def _comparison_lines(found: dict[str, Any]) -> list[str]:
    """The second checkpoint against the first."""
    lines = [f"{found['second']} against {found['first']}, {found['n']} pictures of {found['patients']} patients:"]
    for name in ("auc", "sensitivity", "specificity", "accuracy"):
        entry = found[name]
        if entry["difference"] is not None:
            ends = " to ".join(f"{end:+.4f}" for end in entry["interval"]) if entry["interval"] else "no interval"
            lines.append(
                f"  {name:<12} {entry['second']:.4f} - {entry['first']:.4f} = {entry['difference']:+.4f} ({ends})"
            )
    exact = found["mcnemar"]["all"]
    lines.append(
        f"  McNemar, exact: {exact['only_first_right']} only the first gets right, {exact['only_second_right']} only "
        f"the second, p = {exact['p_value']:.3g}. Intervals: paired bootstrap over patients, 95 %."
    )
    return lines
