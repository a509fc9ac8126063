"""``python -m hf_model deploy --space_id NAME``: deploy the page as a Hugging Face Space."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from hf_model.hub.space import SpaceError, deploy_space, describe, space_files


def main(argv: list[str]) -> int:
    """List the files, deploy them, print the Space's address; 2 with one message on a failure."""
    options = _parser().parse_args(argv)
    try:
        if options.dry_run:
            uploads = space_files(options.space_id, model_id=options.model_id)
            print(f"{describe(options.space_id, uploads, options.model_id)}\nDry run: nothing was sent.")
            return 0
        print(
            deploy_space(
                options.space_id, model_id=options.model_id, private=options.private, say=partial(print, flush=True)
            )
        )
    except SpaceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model deploy",
        description="Put app.py, the package, what serving requires and a README header into a Gradio Space. The token "
        "is taken from HF_TOKEN or from `hf auth login`.",
    )
    parser.add_argument("--space_id", required=True, metavar="NAME", help="NAME or NAMESPACE/NAME of the Space")
    parser.add_argument(
        "--model_id", metavar="MODEL", help="Hub model to serve (default: the shipped checkpoint, which is uploaded)"
    )
    parser.add_argument("--private", action="store_true", help="make a new Space private")
    parser.add_argument("--dry_run", action="store_true", help="list what would be uploaded and stop")
    return parser
