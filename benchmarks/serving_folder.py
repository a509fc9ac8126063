"""A folder of 5,000 pictures to a CSV: ``python -m hf_model predict`` beside the pipeline at its best batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import frame, markdown, radiographs, timing
from benchmarks.frame import Options

NAME = "serving_folder"
TITLE = "A folder of 224 px pictures to a CSV"
BATCHES = (1, 8, 32)
LARGE, SMALL = 5_000, 500
"""Pictures that this project is measured with; the pipeline has SMALL, because its rate does not depend on it."""


def run(options: Options) -> dict[str, Any]:
    """Pictures a second and peak memory of both; ours with start-up and loading, the pipeline's without."""
    from hf_model.config import CHECKPOINT_DIR

    large, small = (60, 20) if options.quick else (LARGE, SMALL)
    pictures = radiographs.training_files(options, large)
    ours = {}
    for count in (small, large):
        folder = write(pictures, options.scratch / str(count), count)
        output = options.scratch / f"{count}.csv"
        found = timing.fresh_process(["-m", "hf_model", "predict", folder, "--output", output], cwd=frame.ROOT)
        rows = output.read_text(encoding="utf-8").count("\n") - 1
        if rows != count:
            raise RuntimeError(f"predict wrote {rows} rows for {count} pictures")
        ours[str(count)] = {
            "rate": count / found["seconds"],
            "seconds": found["seconds"],
            "peak_rss_mib": found["peak_rss_mib"],
        }
    # what each picture adds, without start-up
    added = ours[str(large)]["seconds"] - ours[str(small)]["seconds"]
    peer = {}
    script = Path(__file__).parent / "peers" / "pipeline_folder.py"
    for batch in BATCHES:
        arguments = [script, CHECKPOINT_DIR, options.scratch / str(small), batch, options.scratch / "peer.csv"]
        found = timing.fresh_process(arguments, cwd=frame.ROOT)
        peer[str(batch)] = {"rate": small / float(found["stdout"].split()[-1]), "peak_rss_mib": found["peak_rss_mib"]}
    return {"ours": ours, "steady_rate": (large - small) / added, "peer": peer, "peer_pictures": small}


def write(pictures: list[bytes], folder: Path, count: int) -> Path:
    """``count`` files in a new folder; pictures repeat where there are fewer."""
    folder.mkdir()
    for index in range(count):
        (folder / f"{index:05}.jpeg").write_bytes(pictures[index % len(pictures)])
    return folder


def table(section: dict[str, Any]) -> str:
    """A row for each run; the factor is of the pipeline's best batch size."""
    best = max(found["rate"] for found in section["peer"].values())
    rows = [
        [
            f"`python -m hf_model predict`, {int(count):,} pictures",
            markdown.rate(found["rate"]),
            markdown.ratio(found["rate"] / best),
            markdown.mib(found["peak_rss_mib"]),
        ]
        for count, found in section["ours"].items()
    ]
    rows += [
        [
            f"transformers pipeline, batch {batch}, {section['peer_pictures']} pictures",
            markdown.rate(found["rate"]),
            markdown.ratio(found["rate"] / best),
            markdown.mib(found["peak_rss_mib"]),
        ]
        for batch, found in section["peer"].items()
    ]
    note = (
        f"Ours with start-up and loading, the pipeline without; without them ours does "
        f"{markdown.rate(section['steady_rate'])}, {markdown.ratio(section['steady_rate'] / best)} times as much."
    )
    return markdown.grid(["", "pictures", "of the pipeline's best", "peak memory"], rows) + "\n\n" + note
