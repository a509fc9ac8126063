"""The sealed test split: each opening is written into the checkpoint's metrics.json before a picture is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hf_model.metrics.scores import Scores

TEST = "test"


class SealedTestError(ValueError):
    """The test split was opened before for these weights; the message says when and what can be done."""


def stored_scores(folder: Path) -> dict[str, Scores]:
    """Scores of the test split that the checkpoint holds, by rendering: ``scores/test-<rendering>.csv``, test.csv."""
    paths = sorted((folder / "scores").glob("test*.csv"))
    return {path.stem.removeprefix("test").lstrip("-") or TEST: Scores.from_csv(path) for path in paths}


def openings(metrics: Mapping[str, Any] | None, weights_sha256: str) -> list[dict[str, Any]]:
    """Earlier openings of the test split for these weights."""
    recorded = (metrics or {}).get("test_openings") or []
    return [entry for entry in recorded if entry.get("weights_sha256") == weights_sha256]


def open_test(
    folder: Path,
    weights_sha256: str,
    renderings: Sequence[str],
    *,
    reopen: bool,
    writable: bool = True,
    by: str = "evaluate",
) -> dict[str, Any]:
    """Record an opening in ``metrics.json`` of the checkpoint folder and return its entry.

    Raises SealedTestError if there was one for these weights and ``reopen`` is not given. With ``writable`` False (a
    checkpoint from the Hub) the entry is returned, and only the report holds it.
    """
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    before = openings(metrics, weights_sha256)
    if before and not reopen:
        times = f"last {before[-1].get('when')}, {len(before)} in all"
        stored = "--from_scores makes the report from the scores stored then, without opening it; "
        raise SealedTestError(
            f"The test split was opened for these weights before ({times}). "
            f"{stored if stored_scores(folder) else ''}--reopen_test opens it again, and that is recorded."
        )
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights_sha256": weights_sha256,
        "renderings": list(renderings),
        "count": len(before) + 1,
        "by": by,
    }
    if writable:
        metrics["test_openings"] = [*(metrics.get("test_openings") or []), entry]
        write_json(path, metrics)
    return entry


def write_json(path: Path, content: object) -> None:
    """Write whole or not at all: beside the file, then moved."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
