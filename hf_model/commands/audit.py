"""``python -m hf_model audit``: duplicates, leakage, shortcuts, shift, bad rows and doubtful labels of a data set."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from pathlib import Path

from hf_model.config import NOT_A_DEVICE
from hf_model.data.arguments import add_column_options, column_options
from hf_model.files import write_json
from hf_model.inference.checkpoint import checkpoint_around

CHECKPOINT_FILES = ("config.json", "model.safetensors")


def main(argv: list[str]) -> int:
    """Run the command: 0 when the report is written, whatever it says; 2 for a mistake in the arguments."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = parser().parse_args(argv)
    if (reason := why_not(Path(arguments.output), arguments.summary)) is not None:
        print(f"audit: {reason}", file=sys.stderr)
        return 2
    # heavy imports after the arguments are known to be good: --help should not wait for torch
    from hf_model.audit.report import write
    from hf_model.audit.run import Audit, Options, summarise
    from hf_model.inference.engines.base import EngineUnavailable

    options = Options(
        dataset=arguments.dataset,
        renderings=arguments.renderings,
        checkpoint=arguments.checkpoint,
        engine=arguments.engine,
        backbone=arguments.backbone,
        seed=arguments.seed,
        cache_dir=arguments.cache_dir,
        columns=column_options(arguments),
    )
    audit = Audit(options, f"python -m hf_model audit {shlex.join(argv)}")
    try:
        audit.run()
        page = write(audit.record, audit.images, Path(arguments.output))
        if arguments.summary is not None:
            write_json(arguments.summary, summarise(audit.record))
    except (ValueError, OSError, EngineUnavailable) as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2
    for finding in audit.record["findings"]:
        print(f"{finding['severity']:8}{finding['topic']:11}{finding['text']}")
    print(f"Report: {page}")
    return 0


def why_not(output: Path, summary: Path | None = None) -> str | None:
    """Why nothing can be written there, known before any work; None where it can."""
    named = next((name for name in CHECKPOINT_FILES if (output / name).exists()), None)
    around = checkpoint_around(output)
    if named or around:
        what = f"is a checkpoint folder (it holds {named})" if named else f"lies in the checkpoint folder {around}"
        return (
            f"--output {output} {what}, and the audit writes patients' pictures, which do not belong beside weights "
            "that may be published. Give another folder."
        )
    if summary is not None and not summary.parent.is_dir() and summary.parent.resolve() != output.resolve():
        return f"--summary {summary}: there is no folder {summary.parent}; make it first."
    return f"--output {output} is a file. Give a folder." if output.is_file() else None


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m hf_model audit",
        description="Audit a data set: integrity, duplicates, leakage, shortcuts, shift and labels on one HTML page.",
        epilog=NOT_A_DEVICE,
    )
    made.add_argument("--dataset", required=True, help="Hub id or folder")
    made.add_argument("--output", required=True, help="folder for index.html, audit.json and the pictures")
    made.add_argument("--checkpoint", help="folder or Hub id: also probe this model, on the pictures it held out")
    made.add_argument(
        "--renderings",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="further renderings of the pictures: their metadata and sharpness are probed too",
    )
    made.add_argument(
        "--backbone",
        default="efficientnet-lite0",
        help="frozen network that gives the features for judging labels (none: thumbnails, faster)",
    )
    made.add_argument("--engine", choices=("auto", "openvino", "torch"), default="auto", help="for --checkpoint")
    add_column_options(made)
    made.add_argument("--cache_dir", type=Path, help="where decoded pixels are kept")
    made.add_argument(
        "--summary", type=Path, metavar="FILE", help="also write the figures as JSON without the name of any picture"
    )
    made.add_argument("--seed", type=int, default=0)
    return made
