"""``python -m hf_model push FOLDER --hub_model_id NAME``: push a finished checkpoint to the Hub."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hf_model.hub.push import PushError, checkpoint_files, push_checkpoint, upload_table


def main(argv: list[str]) -> int:
    """List the files, push them, print the commit's address; 2 with one message on a failure."""
    options = _parser().parse_args(argv)
    try:
        uploads = checkpoint_files(options.folder)
        where = options.hub_model_id + (f", branch {options.revision}" if options.revision else "")
        print(f"Pushing {options.folder} to {where}:\n{upload_table(uploads)}", flush=True)
        if options.dry_run:
            print("Dry run: nothing was sent.")
            return 0
        url = push_checkpoint(
            options.folder,
            options.hub_model_id,
            private=options.private,
            revision=options.revision,
            commit_message=options.commit_message,
        )
    except PushError as error:
        print(error, file=sys.stderr)
        return 2
    print(url)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model push",
        description="Push a finished checkpoint folder to the Hugging Face Hub. The token is taken from HF_TOKEN or "
        "from `hf auth login`.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="checkpoint folder, as training writes it")
    parser.add_argument("--hub_model_id", required=True, metavar="NAME", help="NAME or NAMESPACE/NAME on the Hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to (default: main)")
    parser.add_argument("--commit_message", metavar="TEXT", help="first line of the commit")
    parser.add_argument("--dry_run", action="store_true", help="list what would be uploaded and stop")
    return parser
