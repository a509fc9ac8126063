"""The sealed test split of a checkpoint: which pictures belong to it, and the record of its openings.

Which pictures a checkpoint was trained on is not stored. Known by name are its data set, its test files and the files
that calibrated it, for their scores lie beside the weights. Calibration pictures are about one in five of those that
training did not test, so a data set that holds some of them holds training pictures as well.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_model.files import write_json
from hf_model.metrics.scores import Scores

if TYPE_CHECKING:
    from hf_model.evaluation.labelled_dataset import LabelledDataset

TEST, DEVELOPMENT, EXTERNAL = "test", "development", "external"
"""What a data set is to a checkpoint."""
_SUFFIXES = re.compile(r"(\.(jpe?g|jpe|png|tiff?|webp|bmp|dcm|dicom|dic))+$")
_COMMON_WORD = re.compile(
    r"[a-z]|row|images?|img|im|pic|picture|photo|scan|slice|frame|file|film|series|dicom|dcm|x?ray|cxr|chest|radiograph|"
    r"normal|pneumonia|patient|person|subject|case|study|train|test|val"
)
_UNIQUE_DIGITS = 12
"""A number as long as this is given once: a UID, a time to the second, an accession number."""
_REPEATED = 0.05
"""Where a larger share of test names are calibration names as well, files are numbered anew in every split."""
_ROW_NAME = re.compile(r"row-\d+")
"""What ``loading.file_name`` calls a row without a name: its number in whatever was loaded."""


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


@dataclass(frozen=True)
class CheckpointPictures:
    """What a checkpoint folder says of the pictures that it was trained, calibrated and tested on.

    ``data_sets``: names of the training data, its renderings and originals. The others are files by their
    :func:`file_key`: ``tests`` those with a stored test score -> how often they come; ``calibrated`` those that
    temperature and thresholds were fitted on, now or before a recalibration; ``tested`` test files that can be
    recognised in any data set; ``tested_here`` those in a data set of the training data's name, where a number is
    enough.
    """

    data_sets: frozenset[str]
    tests: Counter[str]
    calibrated: frozenset[str]
    tested: frozenset[str]
    tested_here: frozenset[str]

    @classmethod
    def read(cls, metrics: Mapping[str, Any] | None, folder: Path) -> CheckpointPictures:
        """``metrics`` are the contents of the folder's metrics.json. Raises ValueError for scores that are bad."""
        tests: Counter[str] = Counter()
        for scores in stored_scores(folder).values():
            tests |= Counter(map(file_key, scores.names))
        calibrations = (Scores.from_csv(path) for path in sorted((folder / "scores").glob("calibration*.csv")))
        calibrated = frozenset(file_key(name) for scores in calibrations for name in scores.names)
        tested = _without_calibration({key for key in tests if is_distinctive(key)}, calibrated)
        here = _without_calibration({key for key in tests if not _ROW_NAME.fullmatch(key)}, calibrated)
        return cls(_training_names(metrics), tests, calibrated, tested, here)

    def role(self, dataset: LabelledDataset) -> str:
        """What a data set is to the checkpoint.

        "test": some of it is its test split, by names of files, or by the names of data set and split; "development":
        of the data that it was trained or calibrated on, by the name of data set or files; "external": anything else.
        """
        keys = set(map(file_key, dataset.names))
        if self._recognised_tests(dataset) & keys:
            return TEST
        named = dataset.name in self.data_sets
        if not named and not any(map(is_distinctive, self.calibrated & keys)):
            return EXTERNAL
        # a set under another name in which not one test picture is recognised holds none
        return TEST if TEST in dataset.split.split("+") and (named or not self.tested) else DEVELOPMENT

    def test_rows(self, dataset: LabelledDataset) -> list[int]:
        """Row numbers of the checkpoint's test pictures in a data set of role "test".

        By stored scores; without any, the whole of a split "test". ValueError where neither tells which they are.
        """
        keys = list(map(file_key, dataset.names))
        only_test, tested = dataset.split == TEST, self._recognised_tests(dataset)
        if tested.intersection(keys):
            return self._stored_rows(dataset, keys, only_test)
        if not only_test or (dataset.name not in self.data_sets and self.calibrated.intersection(keys)):
            raise ValueError(
                f"{dataset.dataset}, split {dataset.split}, holds pictures of the data set that this checkpoint was "
                "trained on, and nothing tells which of them are its test pictures: name that data set as training "
                "did, with --split test."
            )
        if tested and not all(map(_ROW_NAME.fullmatch, keys)):
            raise ValueError(
                f"{dataset.dataset} is called like the data set that this checkpoint was trained on, but none of its "
                f"pictures is one of the {self.tests.total()} whose test scores it holds. Give the folder of other "
                "pictures another name."
            )
        return list(range(len(keys)))

    def _recognised_tests(self, dataset: LabelledDataset) -> frozenset[str]:
        return self.tested_here if dataset.name in self.data_sets else self.tested

    def _stored_rows(self, dataset: LabelledDataset, keys: list[str], only_test: bool) -> list[int]:
        """Rows with a stored test score; in a split "test" (``only_test``) a name can be no other picture's."""
        rows = [row for row, key in enumerate(keys) if key in self.tests and (only_test or key not in self.calibrated)]
        twice = Counter(keys[row] for row in rows) - self.tests
        if twice and not only_test:
            raise ValueError(
                f"{dataset.dataset}, split {dataset.split}, holds test pictures of this checkpoint and others, and "
                f"some of both have one file name, for example {next(iter(twice))}: rename them, or name a split of "
                "test pictures alone."
            )
        return rows


def file_key(name: str) -> str:
    """A file name without case and suffix: ``A.JPEG`` and its copy ``a.png`` are one picture."""
    return _SUFFIXES.sub("", name.lower())


def is_distinctive(key: str) -> bool:
    """Whether only one picture is likely to have this ``file_key``, in whatever data set.

    False for a number with no word but those that any data set may have: ``row-0``, ``0``, ``image``,
    ``IM-0001-0001`` (viewers export every patient so), ``normal_12``, a single letter.
    """
    common = all(map(_COMMON_WORD.fullmatch, re.findall(r"[^\W\d_]+", key)))
    return not common or sum(map(str.isdigit, key)) >= _UNIQUE_DIGITS


def _without_calibration(tested: set[str], calibrated: frozenset[str]) -> frozenset[str]:
    """Test files without those that are calibration files by their names too; none where these are many."""
    shared = tested & calibrated
    return frozenset() if len(shared) > _REPEATED * len(tested) else frozenset(tested - shared)


def _training_names(metrics: Mapping[str, Any] | None) -> frozenset[str]:
    """Names (last part of path or Hub id) of the data set a checkpoint was trained on, its renderings and originals."""
    data = (metrics or {}).get("data") or {}
    originals = ((metrics or {}).get("arguments") or {}).get("originals")
    named = [data.get("dataset"), originals, *(data.get("renderings") or []), *((metrics or {}).get("test") or {})]
    return frozenset(Path(str(name).rstrip("/")).name for name in named if name)
