"""What a checkpoint knows of a set of pictures: its own test split, the data it was fitted on, or nothing.

At hand are names only: of the data set that it was trained on, and of the test and calibration files, whose scores lie
beside the weights. The pictures that trained it are not listed, but they are of one data set with those that calibrate
it, one in five of it: a set that holds some of the latter holds some of the former.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hf_model.files import write_json
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


DEVELOPMENT, EXTERNAL = "development", "external"
_SUFFIXES = re.compile(r"(\.(jpe?g|jpe|png|tiff?|webp|bmp|dcm|dicom|dic))+$")
_PLAIN_WORD = re.compile(
    r"[a-z]|row|images?|img|im|pic|picture|photo|scan|slice|frame|file|film|series|dicom|dcm|x?ray|cxr|chest|radiograph|"
    r"normal|pneumonia|patient|person|subject|case|study|train|test|val"
)
_FEWEST_DIGITS = 12
"""A number as long as this is given once: a UID, a time to the second, an accession number."""
_REPEATED = 0.05
"""Where a larger share of test names are calibration names as well, files are numbered anew in every split."""
_MADE_UP = re.compile(r"row-\d+")
"""What ``loading.file_name`` calls a row without a name: its number in whatever was loaded."""


def file_key(name: str) -> str:
    """A file name without case and suffix: ``A.JPEG`` and its copy ``a.png`` are one picture."""
    return _SUFFIXES.sub("", name.lower())


def identifies(key: str) -> bool:
    """Whether a ``file_key`` tells of one picture which it is.

    Not where it is a number with no other word than those that any data set may have: ``row-0``, ``0``, ``image``,
    ``IM-0001-0001`` (viewers export every patient so), ``normal_12``, a single letter.
    """
    plain = all(map(_PLAIN_WORD.fullmatch, re.findall(r"[^\W\d_]+", key)))
    return not plain or sum(map(str.isdigit, key)) >= _FEWEST_DIGITS


@dataclass(frozen=True)
class Known:
    """What a checkpoint folder tells of its pictures; files by their ``file_key``.

    ``data_sets``: names of the training data, its renderings and originals. ``tests``: files with a stored test score
    -> how often they come. ``calibrated``: those that temperature and thresholds were fitted on, now or before a
    recalibration. ``tested``: test files known anywhere by their names; ``tested_here``: in a data set of the training
    data's name, where a number is enough.
    """

    data_sets: frozenset[str]
    tests: Counter[str]
    calibrated: frozenset[str]
    tested: frozenset[str]
    tested_here: frozenset[str]

    @classmethod
    def of(cls, metrics: Mapping[str, Any] | None, folder: Path) -> Known:
        """Read a checkpoint folder; ``metrics`` are its metrics.json's contents. ValueError for scores that are bad."""
        tests: Counter[str] = Counter()
        for scores in stored_scores(folder).values():
            tests |= Counter(map(file_key, scores.names))
        calibrations = (Scores.from_csv(path) for path in sorted((folder / "scores").glob("calibration*.csv")))
        calibrated = frozenset(file_key(name) for scores in calibrations for name in scores.names)
        tested = _apart({key for key in tests if identifies(key)}, calibrated)
        here = _apart({key for key in tests if not _MADE_UP.fullmatch(key)}, calibrated)
        return cls(_training_names(metrics), tests, calibrated, tested, here)

    def role(self, pictures: Any) -> str:
        """What a ``PictureSet`` is to the checkpoint.

        "test": some of it is its test split, by names of files, or by the names of data set and split; "development":
        of the data that it was trained or calibrated on, by the name of data set or files; "external": anything else.
        """
        keys = set(map(file_key, pictures.names))
        if self._tested(pictures) & keys:
            return TEST
        named = pictures.name in self.data_sets
        if not named and not any(map(identifies, self.calibrated & keys)):
            return EXTERNAL
        # a set under another name, without a single known test picture, holds none
        return TEST if TEST in pictures.split.split("+") and (named or not self.tested) else DEVELOPMENT

    def test_rows(self, pictures: Any) -> list[int]:
        """Row numbers of the checkpoint's test pictures in a ``PictureSet`` whose role is "test".

        By stored scores; without any, the whole of a split "test". ValueError where neither tells them from others.
        """
        keys = list(map(file_key, pictures.names))
        alone, tested = pictures.split == TEST, self._tested(pictures)
        if tested.intersection(keys):
            return self._stored_rows(pictures, keys, alone)
        here = pictures.name in self.data_sets
        if not alone or (not here and self.calibrated.intersection(keys)):
            raise ValueError(
                f"{pictures.dataset}, split {pictures.split}, holds pictures of the data set that this checkpoint was "
                "trained on, and nothing tells which of them are its test pictures: name that data set as training "
                "did, with --split test."
            )
        if tested and not all(map(_MADE_UP.fullmatch, keys)):
            raise ValueError(
                f"{pictures.dataset} is called like the data set that this checkpoint was trained on, but none of its "
                f"pictures is one of the {self.tests.total()} whose test scores it holds. Give the folder of other "
                "pictures another name."
            )
        return list(range(len(keys)))

    def _tested(self, pictures: Any) -> frozenset[str]:
        return self.tested_here if pictures.name in self.data_sets else self.tested

    def _stored_rows(self, pictures: Any, keys: list[str], alone: bool) -> list[int]:
        """Rows with a stored test score; ``alone`` in a split "test", where a name can be no other picture's."""
        rows = [row for row, key in enumerate(keys) if key in self.tests and (alone or key not in self.calibrated)]
        twice = Counter(keys[row] for row in rows) - self.tests
        if twice and not alone:
            raise ValueError(
                f"{pictures.dataset}, split {pictures.split}, holds test pictures of this checkpoint and others, and "
                f"some of both have one file name, for example {next(iter(twice))}: rename them, or name a split of "
                "test pictures alone."
            )
        return rows


def _apart(tested: set[str], calibrated: frozenset[str]) -> frozenset[str]:
    """Test files without those that are calibration files by their names too; none where these are many."""
    shared = tested & calibrated
    return frozenset() if len(shared) > _REPEATED * len(tested) else frozenset(tested - shared)


def _training_names(metrics: Mapping[str, Any] | None) -> frozenset[str]:
    """Names (last part of path or Hub id) of the data set a checkpoint was trained on, its renderings and originals."""
    data = (metrics or {}).get("data") or {}
    originals = ((metrics or {}).get("arguments") or {}).get("originals")
    named = [data.get("dataset"), originals, *(data.get("renderings") or []), *((metrics or {}).get("test") or {})]
    return frozenset(Path(str(name).rstrip("/")).name for name in named if name)
