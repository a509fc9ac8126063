"""From the data options to decoded development data, and a test split that stays closed until asked for."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets

from hf_model.data.arguments import DataArguments
from hf_model.data.folders import FROM_DICOM, FROM_FOLDER
from hf_model.data.loading import DatasetError, file_name, load_splits, read_bytes
from hf_model.data.near_duplicates import near_pairs
from hf_model.data.patients import bare_number, patient_key_function, patients_of
from hf_model.data.pixels import Pixels, decode_split
from hf_model.data.splits import Split, components, join_groups, make_splits, split_by_group
from hf_model.radiograph.preprocess import Preprocessing

logger = logging.getLogger(__name__)
TRAIN, VALIDATION, CALIBRATION = "development_train", "development_validation", "calibration"
FILE_NAME = "file name"
"""Source of patient keys: file names that this project knows, or a pattern on them."""
DICOM_KEY = "PatientID of the DICOM headers, hashed"
FOLDER_KEY = "the folder below the class, its name hashed"


@dataclass(frozen=True)
class SealedTest:
    """The test pictures of one rendering. Nothing of them is read before ``decode`` or ``contents`` is called."""

    source: Dataset
    decode: Callable[[], Pixels]

    def contents(self, pixels: Pixels) -> Iterator[tuple[str, bytes]]:
        """``(name, encoded picture)``, as an upload has it, of each picture of ``decode``, one at a time, in order."""
        for name, row in zip(pixels.names, pixels.rows.tolist(), strict=True):
            yield name, read_bytes(self.source[row]["image"])


@dataclass
class DevelopmentData:
    """Pictures that weights, threshold and every choice may come from, decoded; N in all.

    Attributes:
        main: the data set's own rendering.
        patients: N keys, or None where they are unknown.
        splits: development_train, development_validation, calibration.
        renderings: name -> (decoded pictures, int64 (N,): which of them shows picture n, or -1).
        counts: published split -> (normal, pneumonia), before ours.
        fingerprint: SHA-256 of names, labels and pixels.
        test: rendering name -> its test pictures, closed.
        pattern, patient_column: as the user gave them. patient_key: source of the patient keys, in words.
        leakage: between development and the test split, once it was looked for.
        originals: full-size originals of some pictures, not decoded, or None.
    """

    main: Pixels
    main_name: str
    patients: list[str] | None
    splits: dict[str, Split]
    renderings: dict[str, tuple[Pixels, np.ndarray]]
    counts: dict[str, tuple[int, int]]
    fingerprint: str
    test: dict[str, SealedTest] = field(default_factory=dict)
    pattern: str | None = None
    patient_column: str | None = None
    patient_key: str | None = None
    leakage: dict[str, object] | None = None
    originals: Dataset | None = None

    def rows(self, split: str) -> np.ndarray:
        """Picture numbers of a split, int64, ascending."""
        return self.splits[split].indices

    def patients_in(self, pixels: Pixels) -> list[str]:
        """Patient keys of other pictures of this data set, from the source of development's; "" where unknown."""
        return patients_from(pixels.names, pixels.columns, self.patient_key, self.patient_column, self.pattern)


def prepare(
    arguments: DataArguments, preprocessing: Preprocessing, seed: int, token: str | None = None
) -> DevelopmentData:
    """Load, decode and split; join the renderings.

    Args:
        preprocessing: the base checkpoint's.
        seed: of the splits.
        token: for a private data set.

    Raises:
        DatasetError: see ``load_splits``; renderings that do not join; too few patients.
    """
    cache = Path(arguments.cache_dir) if arguments.cache_dir else None
    options = {"image_column": arguments.image_column, "label_column": arguments.label_column, "token": token}
    name, published = rendering_name(arguments.dataset), load_splits(arguments.dataset, **options)
    if limit := arguments.max_train_samples:
        for split, rows in published.items():
            if len(rows) > limit:
                published[split] = rows.shuffle(seed=seed).select(range(limit))
    rows, test = pool_splits(published)
    main = decode_split(rows, preprocessing, what=name, cache_dir=cache)
    patients, source = find_patients(main.names, main.columns, arguments.patient_column, arguments.patient_pattern)
    if source:
        logger.info("%s: %d patients by %s", name, len(set(patients)), source)
    groups = _groups(main, patients, kermany_names=source == FILE_NAME and arguments.patient_pattern is None)
    kept = np.arange(len(main))
    try:
        if test is None:
            share = arguments.test_fraction
            logger.warning("%s has no test split: %.0f %% of the patients become one.", name, 100 * share)
            parts = split_by_group(main.labels, groups, {"rest": 1 - share, "test": share}, seed)
            held_out, kept = main.select(parts["test"]), parts["rest"]
            sealed = SealedTest(rows, lambda: held_out)
        else:
            sealed = _sealed(test, preprocessing, name, cache)
        validation, calibration = arguments.validation_fraction, arguments.calibration_fraction
        fractions = {TRAIN: 1 - validation - calibration, VALIDATION: validation, CALIBRATION: calibration}
        splits = make_splits(main.labels, patients, groups, fractions, seed, kept)
    except ValueError as error:
        by = f" Patients are known by {source}." if source else ""
        raise DatasetError(f"{arguments.dataset}: {error}{by}") from error
    data = DevelopmentData(
        main,
        name,
        patients,
        splits,
        {name: (main, np.arange(len(main)))},
        _counts(published),
        _fingerprint(main),
        {name: sealed},
        pattern=arguments.patient_pattern,
        patient_column=arguments.patient_column,
        patient_key=source,
    )
    if arguments.originals:  # used after training, which is late to learn that they are missing
        data.originals = _originals(main, arguments.originals, options)
    for folder in arguments.renderings:
        other = load_splits(folder, **options, option="--renderings")
        _add_rendering(data, folder, other, preprocessing, cache, with_test=test is not None)
    return data


def rendering_name(name_or_folder: str) -> str:
    """The last part of a Hub id or path: the name of a rendering in reports."""
    return Path(name_or_folder.rstrip("/")).name


def pool_splits(published: DatasetDict) -> tuple[Dataset, Dataset | None]:
    """Everything that is not test, and test.

    Raises:
        DatasetError: there is only a test split.
    """
    test = published.get("test")
    parts = [published[name] for name in ("train", "validation") if name in published]
    others = {name: len(rows) for name, rows in published.items() if name not in ("train", "validation", "test")}
    if not parts:
        parts = [published[name] for name in others]
    elif others:
        logger.warning("Left out, because neither train, validation nor test: %s (rows).", others)
    if not parts:
        raise DatasetError(f"The data set has only the splits {', '.join(published)}: nothing to train on.")
    shared = [c for c in parts[0].column_names if all(c in part.column_names for part in parts)]
    return concatenate_datasets([part.select_columns(shared) for part in parts]), test


def find_patients(
    names: list[str], columns: dict[str, list[object]], column: str | None, pattern: str | None
) -> tuple[list[str] | None, str | None]:
    """Assign each of N pictures to a patient; gives N keys and their source, or None twice where nothing names them.

    From the column or pattern that the user named; else from the DICOM headers, from file names that this project
    knows, from the folders of the pictures.

    Raises:
        DatasetError: the column does not exist or has empty values, or the pattern does not match a file name.
    """
    if column is not None:
        if column not in columns:
            raise DatasetError(f"--patient_column {column}: the data set has {', '.join(columns) or 'no others'}.")
        values = columns[column]
        if any(value in (None, "") for value in values):
            raise DatasetError(f"--patient_column {column}: empty in {sum(v in (None, '') for v in values)} rows.")
        return [str(value) for value in values], f"column {column}"
    if pattern is None and FROM_DICOM in columns:
        return list(columns[FROM_DICOM]), DICOM_KEY
    keys = patients_of(names, pattern)
    if pattern is not None and keys is None:
        key = patient_key_function(pattern)
        missed = [name for name in names if key(name) is None]
        raise DatasetError(
            f"--patient_pattern {pattern!r} finds nothing in {len(missed)} of {len(names)} file names, for example "
            f"{missed[0]}: give one that fits all of them."
        )
    folders = columns.get(FROM_FOLDER) if pattern is None else None
    if keys is not None and not (folders and _repeat(names, folders)):
        return keys, FILE_NAME
    return (list(folders), FOLDER_KEY) if folders else (None, None)


def _repeat(names: list[str], folders: list[object]) -> bool:
    """Whether two patients' folders hold the same file name: then names number the films of a patient, not patients.

    Viewers export ``IM-0001-0001.jpg`` for every patient alike.
    """
    first: dict[str, object] = {}
    return any(first.setdefault(name, folder) != folder for name, folder in zip(names, folders, strict=True))


def patients_from(
    names: list[str], columns: dict[str, list[object]], source: str | None, column: str | None, pattern: str | None
) -> list[str]:
    """Assign N other pictures of a data set to patients, "" where the source does not name one.

    Args:
        source: from ``find_patients`` of development: keys of another source would never equal its keys.
        column, pattern: as the user named them.
    """
    if source is None:
        return [""] * len(names)
    if source == FILE_NAME:
        key = patient_key_function(pattern)
        return [key(name) or "" for name in names]
    values = columns.get(column or {DICOM_KEY: FROM_DICOM, FOLDER_KEY: FROM_FOLDER}[source], [None] * len(names))
    return ["" if value in (None, "") else str(value) for value in values]


def _groups(main: Pixels, patients: list[str] | None, *, kermany_names: bool) -> np.ndarray:
    """Group numbers (N,) of what must stay together: patients, also by the coarser key, equal and near pictures."""
    pairs = near_pairs(main.pixels, main.hashes)
    if pairs:
        logger.info("%d pairs of nearly equal pictures: each stays on one side of every split.", len(pairs))
    near = components(len(main), [(pair.first, pair.second) for pair in pairs])
    keys: list[Sequence[object]] = [main.hashes, near.tolist()]
    if patients is not None:
        keys.append(patients)
    if kermany_names:
        keys.append([bare_number(name) for name in main.names])
    return join_groups(*keys)


def _sealed(test: Dataset, preprocessing: Preprocessing, name: str, cache: Path | None) -> SealedTest:
    return SealedTest(test, partial(decode_split, test, preprocessing, what=f"{name} test", cache_dir=cache))


def _originals(main: Pixels, name: str, options: dict[str, str | None]) -> Dataset:
    """The rows of ``--originals``, which are joined to ours by file name."""
    if len(set(main.names)) < len(main):
        raise DatasetError(f"--originals {name}: the data set has equal file names for different pictures: none joins.")
    rows, _ = pool_splits(load_splits(name, **options, option="--originals"))  # those of test stay unread
    names = {file_name(image, row) for row, image in enumerate(rows.select_columns("image")["image"])}
    if names.isdisjoint(main.names):
        raise DatasetError(f"--originals {name}: no file name there is one of a picture to train on.")
    return rows


def _add_rendering(
    data: DevelopmentData,
    folder: str,
    published: DatasetDict,
    preprocessing: Preprocessing,
    cache: Path | None,
    *,
    with_test: bool,
) -> None:
    """Join another rendering by file name: training pictures to ours, its test split (if any) beside ours."""
    name = rendering_name(folder)
    if name in data.renderings:
        raise DatasetError(f"--renderings {folder}: a rendering called {name} is there already; rename the folder.")
    row_of = {file: row for row, file in enumerate(data.main.names)}
    if len(row_of) < len(data.main):
        raise DatasetError(f"{data.main_name} has equal file names for different pictures, so renderings cannot join.")
    rows, test = pool_splits(published)
    pixels = decode_split(rows, preprocessing, what=name, cache_dir=cache)
    index = np.full(len(data.main), -1)
    for row, (file, label) in enumerate(zip(pixels.names, pixels.labels, strict=True)):
        if (at := row_of.get(file)) is None:
            continue
        if data.main.labels[at] != label:
            raise DatasetError(f"--renderings {folder}: {file} has another label there than in {data.main_name}.")
        index[at] = row
    if (index < 0).all():
        raise DatasetError(f"--renderings {folder}: no file name there is one of {data.main_name}'s.")
    data.renderings[name] = (pixels, index)
    if test is not None and with_test:
        data.test[name] = _sealed(test, preprocessing, name, cache)


def _counts(published: DatasetDict) -> dict[str, tuple[int, int]]:
    counts = {name: np.bincount(rows["label"], minlength=2) for name, rows in published.items()}
    return {name: (int(c[0]), int(c[1])) for name, c in counts.items()}


def _fingerprint(main: Pixels) -> str:
    """SHA-256 over names, labels and decoded pixels in any order, the same on every machine."""
    lines = sorted(
        f"{n} {label} {h}" for n, label, h in zip(main.names, main.labels.tolist(), main.hashes, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
