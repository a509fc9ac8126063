"""One process and two on the same processor: the same global batch, the same metrics, each picture counted once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.frame import ROOT, Options
from benchmarks.markdown import grid, rate

NAME = "train_processes"
TITLE = "One process and two (gloo), global batch 32"


def run(options: Options) -> dict:
    """``train.py`` on a part of the pictures, test split left closed, alone and under torchrun."""
    pictures = 400 if options.quick else 1200
    places = ["--dataset", options.folder("chest-xray-pneumonia"), "--cache_dir", options.scratch / "pixels"]
    amounts = [f"--max_train_samples={pictures}", "--num_train_epochs=2", "--head_epochs=4", "--head_views=1"]
    shared = ["train.py", *places, *amounts, "--no_open_test", "--disable_tqdm=true", "--confidence=0.9"]
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result: dict[str, Any] = {"pictures": pictures}
    for name, launcher, batch, threads in (("one", [], "32", "2"), ("two", two, "16", "1")):
        folder = options.scratch / name
        command = [*launcher, *map(str, shared), f"--per_device_train_batch_size={batch}", "--output_dir", str(folder)]
        environment = os.environ | {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
        result[name] = _read(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
    return result


def _read(metrics: dict[str, Any]) -> dict[str, Any]:
    """Of the last evaluation of stage two: its figures and how many pictures it counted."""
    entries = [entry for entry in metrics["history"] if entry["stage"] == "fine_tuning" and "eval_roc_auc" in entry]
    last, stage = entries[-1], metrics["stages"][-1]
    losses = [e["loss"] for e in metrics["history"] if e["stage"] == "fine_tuning" and "loss" in e]
    return {
        "counted": int(sum(last[f"eval_{cell}"] for cell in ("tn", "fp", "fn", "tp"))),
        "auc": last["eval_roc_auc"],
        "log_loss": last["eval_log_loss"],
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds": stage["seconds"],
        "pictures": metrics["data"]["splits"]["development_train"]["images"],
        "epochs": stage["epochs"],
    }


def table(section: dict) -> str:
    """Both beside each other."""
    rows = []
    for key, label in (("one", "one process, 32 a step"), ("two", "two processes, 16 a step each")):
        part = section[key]
        speed = part["pictures"] * part["epochs"] / part["seconds"]
        figures = [f"{part['auc']:.4f}", *(f"{part[key]:.3f}" for key in ("log_loss", "first_loss", "last_loss"))]
        rows.append([label, *figures, part["counted"], rate(speed)])
    head = ["", "validation AUC", "log loss", "first loss", "last loss", "pictures evaluation counted"]
    return grid([*head, "pictures, evaluation included"], rows)
