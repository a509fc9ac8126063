"""``python -m hf_model lungs``: train the network that outlines the lungs, and measure it on held-out patients."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import torch

from hf_model.config import DEFAULT_DATASET, NOT_A_DEVICE
from hf_model.data.arguments import DataArguments, add_column_options, column_options
from hf_model.data.prepare import CALIBRATION, TRAIN, VALIDATION, prepare
from hf_model.evaluation.lungs import measure
from hf_model.files import write_json
from hf_model.hub.model_card import lungs_rows
from hf_model.inference.engines.base import EngineUnavailable
from hf_model.inference.engines.cores_and_memory import usable_cores
from hf_model.inference.lungs import LungSegmenter, export_network
from hf_model.radiograph.preprocess import Preprocessing
from hf_model.segmentation.examples import join_outlines, read_outlines
from hf_model.segmentation.network import LungNetworkConfig, save_network
from hf_model.segmentation.training import LungTraining, train_network
from hf_model.segmentation.weights import ATTRIBUTION, FIGURES
from hf_model.training.machine import best_precision, describe_machine, keep_memory, loader_workers
from hf_model.wording import counted, decimal, percent

STATE = "training.pt"
"""State of an unfinished training, in the output folder."""


def main(argv: list[str]) -> int:
    """Run the command. Return 0, or 2 for a mistake in the arguments or the data."""
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
    text = [f"{'':28}  pictures  patients  median IoU                two lungs"]
    text += ["{:28}  {:>8}  {:>8}  {:24}  {}".format(*cells) for cells in lungs_rows(record)]
    text += [f"IoU of {names}: {decimal(value)}" for names, value in figures["between_renderings"].items()]
    text += ["view recognised: " + ", ".join(f"{name} {percent(share)}" for name, share in figures["view"].items())]
    seconds = f"{record['seconds']:.0f} s, {record['processor_seconds']:.0f} s of processor time"
    text += [f"{decimal(figures['milliseconds'], 1)} ms a picture; {counted(record['weights'], 'weight')}; {seconds}"]
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hf_model lungs",
        description="Train the network that outlines both lungs, on outlines drawn by people, and measure it on the "
        "patients of development-validation and calibration. Writes lungs.safetensors, its OpenVINO graph and "
        "lungs.json, which train.py --lungs copies into a checkpoint. The test split is not read. A run that was "
        "interrupted goes on from its last epoch if it is started again with the same options.",
        epilog=NOT_A_DEVICE,
    )
    parser.add_argument("--dataset", default=DEFAULT_DATASET, help="the data set that train.py is given")
    parser.add_argument("--renderings", nargs="*", default=[], metavar="DATASET", help="the same pictures otherwise")
    parser.add_argument("--outlines", required=True, help="folder with name and lungs (1 bit PNG) of each picture")
    parser.add_argument("--output", required=True, help="folder to write into, made if missing")
    add_column_options(parser)
    parser.add_argument("--cache_dir", help="where decoded pixels are kept")
    parser.add_argument("--epochs", type=float, default=LungTraining.epochs, help="passes over the outlined pictures")
    parser.add_argument("--seed", type=int, default=42, help="of splits and training; train.py's is 42 too")
    return parser


def _train(arguments: argparse.Namespace) -> dict:
    started = time.perf_counter()
    keep_memory()
    options = {name: getattr(arguments, name) for name in ("dataset", "renderings", "cache_dir")}
    outlines = read_outlines(arguments.outlines)
    data = prepare(DataArguments(**options, **column_options(arguments)), Preprocessing(), arguments.seed)
    pictures = join_outlines(data, outlines)
    rows, held_out = pictures.rows(TRAIN), pictures.rows(VALIDATION, CALIBRATION)
    if not len(rows) or not len(held_out):
        raise ValueError(f"--outlines: {len(rows)} pictures to train on and {len(held_out)} held out; both are needed.")
    training = LungTraining(epochs=arguments.epochs, bf16=best_precision() == "bf16", seed=arguments.seed)
    workers = loader_workers()
    # more threads than cores wait for one another at every layer
    torch.set_num_threads(max(1, usable_cores() - workers))
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    network = train_network(pictures, rows, LungNetworkConfig(), training, workers=workers, state=folder / STATE)
    seconds, processor = time.perf_counter() - started, os.times()
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
        "processor_seconds": processor.user + processor.system + processor.children_user + processor.children_system,
        "machine": describe_machine() | {"torch": torch.__version__},
        "held_out": measure(LungSegmenter.from_folder(folder), pictures, held_out),
    }
    write_json(folder / FIGURES, record)
    (folder / STATE).unlink(missing_ok=True)
    return record
