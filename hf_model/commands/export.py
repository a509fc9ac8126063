"""``python -m hf_model export``: add the serving graph to a checkpoint folder."""

from __future__ import annotations

import argparse
import sys

from hf_model.config import CHECKPOINT_DIR
from hf_model.inference.checkpoint import Checkpoint, CheckpointError
from hf_model.inference.engines.base import EngineUnavailable


def main(argv: list[str]) -> int:
    """Run the command. Returns 0, or 2 when the folder is not a checkpoint or does not convert."""
    parser = argparse.ArgumentParser(
        prog="python -m hf_model export",
        description="Write openvino_model.xml and .bin into a checkpoint folder and compare them with torch.",
    )
    parser.add_argument("--checkpoint", default=str(CHECKPOINT_DIR), help="folder (default: the shipped checkpoint)")
    arguments = parser.parse_args(argv)
    try:
        from hf_model.inference.engines.export import export

        report = export(Checkpoint.open(arguments.checkpoint))
    except ImportError as error:
        print(f"export: it needs torch and transformers ({error}); install requirements.txt", file=sys.stderr)
        return 2
    except (CheckpointError, EngineUnavailable, OSError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    for path in report.files:
        print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")
    print(f"neutral squeeze-excite gates removed: {report.gates_removed}")
    print(f"class activation map: {'yes' if report.has_map else 'no, the architecture has none'}")
    print(f"largest difference of a logit from torch: {report.difference:.1e}")
    return 0
