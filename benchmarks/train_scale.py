"""How the cost of training grows with the number of pictures."""

from __future__ import annotations

import gc
from pathlib import Path

from benchmarks.frame import Options
from benchmarks.markdown import grid, rate

NAME = "train_scale"
TITLE = "Training on 500, 5,000 and 50,000 rows"
ROWS = (500, 5_000, 50_000)


def run(options: Options) -> dict:
    """The same number of steps each time, on rows that repeat the real ones."""
    from benchmarks.training import NO_EVALUATION, arguments_for, speed, stage_data, timed_steps

    steps = 4 if options.quick else 14
    result = {"rows": []}
    for rows in ROWS:
        arguments = arguments_for(options, f"--max_steps={steps}", *NO_EVALUATION)
        base, _, stage = stage_data(arguments, repeated=rows)
        trained = timed_steps(base, stage, arguments[-1], options.scratch / str(rows))
        result["rows"].append({"rows": rows, "private_mib": _private_mib(), **speed(trained, skip=2)})
        del base, stage, trained
        gc.collect()
    return result


def _private_mib() -> float:
    """Memory of this process that is not a file's: the pixel map is the system's to keep or to drop."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith("RssAnon:"))


def table(section: dict) -> str:
    """Speed and memory."""
    rows = [
        [
            f"{part['rows']:,}",
            rate(part["pictures_per_second"]),
            f"{100 * part['waiting_share']:.1f} %",
            f"{part['private_mib']:.0f} MiB",
        ]
        for part in section["rows"]
    ]
    return grid(["rows", "pictures", "of the time waiting for data", "memory (without the mapped pixels)"], rows)
