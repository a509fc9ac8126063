"""``python -m hf_model lungs``: train the network that outlines the lungs, and measure it on held-out patients."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from hf_model.config import DEFAULT_DATASET, NOT_A_DEVICE
from hf_model.inference.engines.base import EngineUnavailable


def main(argv: list[str]) -> int:
    """Run the command. Gives 0, or 2 for a mistake in the arguments or the data."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        record = _train(arguments)
    except (ValueError, OSError, EngineUnavailable) as error:
        print(f"lungs: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(record)))
    return 0


def lines(record: dict) -> list[str]:
    """The figures of ``lungs.json`` as text."""
    figures = record["held_out"]
    text = [f"{'':28}  pictures  patients  median IoU               5th percentile  two lungs"]
    for name, row in [*figures["renderings"].items(), *figures["classes"].items()]:
        low, high = row["median_iou"]["interval"]
        median = f"{row['median_iou']['value']:.4f} ({low:.4f} to {high:.4f})"
        counts = f"{row['pictures']:8}  {row['patients']:8}"
        others = f"{row['iou_5th_percentile']:14.3f}  {100 * row['two_lungs_found']:7.1f} %"
        text.append(f"{name:28}  {counts}  {median:23}  {others}")
    text += [f"IoU of {names}: {value:.4f}" for names, value in figures["between_renderings"].items()]
    text += ["view told rightly: " + ", ".join(f"{name} {100 * v:.1f} %" for name, v in figures["view"].items())]
    text += [f"{figures['milliseconds']:.1f} ms a picture; {record['weights']} weights; {record['seconds']:.0f} s"]
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model lungs",
        description="Train the network that outlines both lungs, on outlines drawn by people, and measure it on the "
        "patients of development-validation and calibration. Writes lungs.safetensors, its OpenVINO graph and "
        "lungs.json, which belong into a checkpoint folder. The test split is not read.",
        epilog=NOT_A_DEVICE,
    )
    parser.add_argument("--dataset", default=DEFAULT_DATASET, help="the data set that train.py is given")
    parser.add_argument("--renderings", nargs="*", default=[], metavar="DATASET", help="the same pictures otherwise")
    parser.add_argument("--outlines", required=True, help="folder with name and lungs (1 bit PNG) of each picture")
    parser.add_argument("--output", required=True, help="folder to write into, made if missing")
    parser.add_argument("--image_column")
    parser.add_argument("--label_column")
    parser.add_argument("--patient_column")
    parser.add_argument("--patient_pattern")
    parser.add_argument("--cache_dir", help="where decoded pixels are kept")
    parser.add_argument("--epochs", type=float, help="passes over the outlined pictures")
    parser.add_argument("--seed", type=int, default=42, help="of splits and training; train.py's is 42 too")
    return parser


def _train(arguments: argparse.Namespace) -> dict:
    import torch

    from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, prepare
    from hf_model.evaluation.lungs import measure
    from hf_model.inference.engines.machine import usable_cores
    from hf_model.inference.lungs import FIGURES, LungSegmenter, export_network
    from hf_model.radiograph.preprocess import Preprocessing
    from hf_model.segmentation.examples import join_outlines, read_outlines
    from hf_model.segmentation.network import LungNetworkConfig, save_network
    from hf_model.segmentation.training import LungTraining, train_network
    from hf_model.segmentation.weights import ATTRIBUTION
    from hf_model.training.arguments import DataArguments
    from hf_model.training.machine import best_precision, describe_machine, keep_memory, loader_workers

    started = time.perf_counter()
    keep_memory()
    names = ("dataset", "renderings", "image_column", "label_column", "patient_column", "patient_pattern", "cache_dir")
    options = {name: getattr(arguments, name) for name in names}
    outlines = read_outlines(arguments.outlines)
    data = prepare(DataArguments(**options), Preprocessing(), arguments.seed)
    pictures = join_outlines(data, outlines)
    rows, held_out = pictures.rows(TRAIN), pictures.rows(VALIDATION, CALIBRATION)
    if not len(rows) or not len(held_out):
        raise ValueError(f"--outlines: {len(rows)} pictures to train on and {len(held_out)} held out; both are needed.")
    chosen = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    training = LungTraining(**chosen, bf16=best_precision() == "bf16", seed=arguments.seed)
    workers = loader_workers()
    # more threads than cores wait for one another at every layer
    torch.set_num_threads(max(1, usable_cores() - workers))
    network = train_network(pictures, rows, LungNetworkConfig(), training, workers=workers)
    seconds = time.perf_counter() - started
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "pictures": len(rows),
        "patients": len({pictures.patients[i] for i in rows.tolist()}),
        "renderings": list(pictures.renderings),
        "split_sha256": {name: data.splits[name].to_dict(data.main.names)["sha256"] for name in data.splits},
        "options": vars(training),
    }
    save_network(network, folder, about)
    export_network(folder)
    record = {
        "attribution": ATTRIBUTION,
        "training": about,
        "weights": sum(weight.numel() for weight in network.parameters()),
        "seconds": seconds,
        "machine": describe_machine() | {"torch": torch.__version__},
        "held_out": measure(LungSegmenter.from_folder(folder), pictures, held_out),
    }
    (folder / FIGURES).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record
