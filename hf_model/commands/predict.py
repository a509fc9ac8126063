"""``python -m hf_model predict``: a table of predictions for files and folders."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from hf_model.config import NOT_A_DEVICE
from hf_model.data.folders import walk_files
from hf_model.inference.checkpoint import CheckpointError
from hf_model.inference.classifier import Classifier
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.choice import NAMES
from hf_model.inference.prediction import Failure, Prediction, checked_threshold, write_csv, write_json

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom", ".dic", ""})
"""Files that are taken from a folder (DICOM often has no suffix); a file that is named itself is always taken."""
UNANSWERED = {
    "unreadable": "{} of {} files could not be read; their rows say why.",
    "refused": "{} of {} pictures are unusable and have no answer (findings say why).",
    "flagged": "{} of {} pictures were flagged by the input checks and have no answer (findings say why); "
    "look at them, and add --override to answer all the same.",
}
"""What standard error says of files without an answer."""


def main(argv: list[str]) -> int:
    """Run the command; 0, 1 if not a single file could be read, or 2 for a mistake in the arguments."""
    arguments = _parser().parse_args(argv)
    unanswered: Counter[str] = Counter()
    try:
        files = find_files(arguments.sources)
        if arguments.output and os.path.realpath(arguments.output) in set(map(os.path.realpath, files)):
            raise ValueError(f"--output {arguments.output} is one of the pictures; name another file")
        threshold = None if arguments.threshold is None else checked_threshold(arguments.threshold)
        if arguments.batch_size is not None and arguments.batch_size < 1:
            raise ValueError(f"batch_size is {arguments.batch_size}; give at least 1")
        with ExitStack() as stack:
            files, destination, first_process = stack.enter_context(own_share(files, arguments.output))
            classifier = Classifier.from_pretrained(
                arguments.checkpoint, engine=arguments.engine, revision=arguments.revision
            )
            output = _open(destination, stack)
            results = classifier.predict_batch(
                ((str(path), path) for path in files),
                batch_size=arguments.batch_size,
                threshold=threshold,
                heat_map=arguments.heat_map,
            )
            results = _counted(results, unanswered, override=arguments.override)
            # None: a progress bar if standard error is a terminal. No bar where the table itself is printed on the
            # terminal, nor from a process that is not the first of several.
            silent = True if output.isatty() or not first_process else None
            results = tqdm(results, total=len(files), unit="picture", file=sys.stderr, disable=silent)
            by_suffix = "json" if destination and Path(destination).suffix.lower() == ".json" else "csv"
            if (arguments.format or by_suffix) == "json":
                write_json(results, output, heat_map=arguments.heat_map)
            else:
                write_csv(results, output)
    except (CheckpointError, EngineUnavailable, ImportError, ValueError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    for kind, sentence in UNANSWERED.items():
        if unanswered[kind]:
            print(sentence.format(unanswered[kind], len(files)), file=sys.stderr)
    return 1 if files and unanswered["unreadable"] == len(files) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model predict",
        description="Predict pneumonia for radiographs (JPEG, PNG, TIFF, WebP, BMP, DICOM).",
        epilog=NOT_A_DEVICE,
    )
    parser.add_argument(
        "sources", nargs="+", metavar="FILE_OR_FOLDER", help="folders are searched with their subfolders"
    )
    parser.add_argument(
        "--output",
        help="file to write (default: standard output); started by torchrun each process adds -RANK-of-COUNT",
    )
    parser.add_argument("--format", choices=("csv", "json"), help="default: by the suffix of --output, else csv")
    parser.add_argument("--checkpoint", help="folder or Hub id (default: the shipped checkpoint)")
    parser.add_argument("--revision", help="branch, tag or commit of a Hub id")
    parser.add_argument("--threshold", type=float, help="0 to 1 (default: the checkpoint's own)")
    parser.add_argument("--engine", choices=NAMES, default="auto")
    parser.add_argument("--batch_size", type=int, help="pictures per pass (default: what the engine is fastest with)")
    parser.add_argument(
        "--override", action="store_true", help="answer for flagged pictures too (default: they need confirmation)"
    )
    parser.add_argument("--heat_map", action="store_true", help="with json: add each heat map as a base64 PNG")
    return parser


def find_files(sources: list[str]) -> list[Path]:
    """The files of a command line; a folder stands for its pictures, sorted, links followed, hidden ones left out.

    Each file comes once, however often it is named. A DICOM file named by its UID ends in numbers; those are taken too.
    A name that is not a folder counts as a file, whether it exists or not. Raises ValueError for a folder without
    pictures, or with a subfolder that cannot be read.
    """
    files: list[Path] = []
    for source in map(Path, sources):
        if not source.is_dir():
            files.append(source)
            continue
        try:
            found = [path for path in walk_files(source) if _is_wanted(path, source)]
        except OSError as error:
            where = error.filename or source
            raise ValueError(
                f"the folder {where} cannot be read ({error.strerror}); make it readable, or name the others"
            ) from error
        if not found:
            raise ValueError(f"there are no pictures in the folder {source}; name one that has some")
        files += found
    once: dict[str, Path] = {}
    for path in files:
        once.setdefault(os.path.realpath(path), path)
    return list(once.values())


def _is_wanted(path: Path, root: Path) -> bool:
    """True for a regular file that is named like a picture and not hidden; reading a pipe or device could block."""
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    named = path.suffix.lower() in SUFFIXES or path.suffix[1:].isdecimal()
    if hidden or not named:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:  # a link that leads nowhere, for example: its row says so
        return True


@contextmanager
def own_share(files: list[Path], output: str | None) -> Iterator[tuple[list[Path], str | None, bool]]:
    """The files of this process, the file that it writes, and whether it reports progress.

    Started alone: everything as given. Started by ``torchrun`` or ``accelerate launch`` as process 1 of 4 (from 0): a
    contiguous share, so that the parts joined are in the order of the files, and ``results-1-of-4.csv`` for
    ``results.csv``. Only then are accelerate and torch imported. Raises ValueError for several processes without an
    output, and ImportError where accelerate is not installed.
    """
    if not launched():
        yield files, output, True
        return
    if output is None:
        raise ValueError("several processes cannot share standard output; give --output, and each writes its part")
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    try:
        with state.split_between_processes(files) as share:
            yield list(share), part_name(output, state.process_index, state.num_processes), state.is_main_process
    finally:
        state.destroy_process_group()


def launched() -> bool:
    """True if a launcher started several of this process, which WORLD_SIZE and RANK then say."""
    count = os.environ.get("WORLD_SIZE", "1")
    return "RANK" in os.environ and count.isdigit() and int(count) > 1


def part_name(output: str, index: int, count: int) -> str:
    """``results-0-of-2.csv`` for ``results.csv``: the suffix still gives the format."""
    path = Path(output)
    return str(path.with_name(f"{path.stem}-{index}-of-{count}{path.suffix}"))


def _open(output: str | None, stack: ExitStack) -> TextIO:
    if output is None:
        return sys.stdout
    path = Path(output)
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} for --output; make it first")
    return stack.enter_context(path.open("w", encoding="utf-8", newline=""))


def _counted(
    results: Iterator[Prediction | Failure], unanswered: Counter[str], *, override: bool
) -> Iterator[Prediction | Failure]:
    """Pass results on, overridden if asked, and count in ``unanswered`` those without an answer, by reason."""
    for result in results:
        if not result.ok:
            unanswered["unreadable"] += 1
        else:
            result = result.override() if override else result
            unanswered["refused"] += result.refused
            unanswered["flagged"] += result.needs_confirmation
        yield result
