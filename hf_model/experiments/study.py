"""The study: every run once, in an order that fills the table evenly; it can be stopped and continued at any time."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from hf_model.data.arguments import DataArguments
from hf_model.data.augmentation import AugmentationArguments
from hf_model.experiments.plan import GROUPS, SIZES, Budget, Change, changes
from hf_model.experiments.runs import ExperimentRunner, StudyData
from hf_model.files import write_json
from hf_model.modeling.base import load_base_model
from hf_model.training.machine import describe_machine, keep_memory, versions

logger = logging.getLogger(__name__)


@dataclass
class Options:
    """The options of the command.

    changes: keys; of each group that has one of them only these and the reference run. None for all.
    minutes: after them no further run starts; None for no limit.
    """

    data: DataArguments
    output: Path
    base: str = "efficientnet-lite0"
    only: Sequence[str] = GROUPS
    changes: Sequence[str] | None = None
    seeds: int = 3
    sizes: Sequence[int] = SIZES
    minutes: float | None = None
    budget: Budget = field(default_factory=Budget)
    report_to: str = "none"
    split_seed: int = 42


class Study:
    """``run`` does the outstanding runs and returns how many are left; the files in ``output`` are the state."""

    def __init__(self, options: Options, command: str) -> None:
        self.options, self.command = options, command
        self.runs = options.output / "runs"

    def run(self) -> int:
        """Do the outstanding runs.

        Raises:
            ValueError: ``output`` holds another study, or an option that cannot be; DatasetError and ModelError too.
        """
        options, start = self.options, time.perf_counter()
        keep_memory()
        base = load_base_model(options.base)
        runner = ExperimentRunner(
            options.data, options.base, options.budget, options.output, options.report_to, options.split_seed
        )
        study = runner.study(base)
        # before anything is written: an unknown change should leave no folder
        plan = self.plan(base.preprocessing.height, len(study.data.renderings))
        self._check_identity(study, base.preprocessing.height)
        outstanding = [(change, seed) for change, seed in plan if not self._file(change, seed).exists()]
        progress, failed = tqdm(outstanding, desc="runs"), 0
        for done, (change, seed) in enumerate(progress):
            if options.minutes is not None and time.perf_counter() - start > 60 * options.minutes:
                return len(outstanding) - done + failed
            progress.set_postfix_str(f"{change.key}, seed {seed}")
            try:
                record = runner.run(change, seed)
            except FloatingPointError as error:
                logger.warning("%s, seed %d failed, the others go on: %s", change.key, seed, error)
                failed += 1
                continue
            write_json(self._file(change, seed), record)
            logger.info("%s, seed %d: %.0f epochs in %.0f s", change.key, seed, record["epochs"], record["seconds"])
        return failed

    def plan(self, own_size: int, renderings: int) -> list[tuple[Change, int]]:
        """All runs: the heads first, which cost seconds, then each seed in turn, so that a limit leaves no gap.

        Raises:
            ValueError: ``Options.changes`` names a change that no group has.
        """
        groups = [changes(group, self.options.sizes, own_size, renderings) for group in self.options.only]
        every: dict[str, Change] = {}
        for group in groups if self.options.changes is None else _chosen(groups, self.options.changes):
            every |= {change.key: change for change in group}
        heads = [change for change in every.values() if change.kind == "head"]
        others = [change for change in every.values() if change.kind != "head"]
        others.sort(key=lambda change: change.kind == "scratch")  # the longest run last
        return [(c, seed) for part in (heads, others) for seed in range(self.options.seeds) for c in part]

    def _file(self, change: Change, seed: int) -> Path:
        return self.runs / f"{change.key}-seed{seed}.json"

    def _check_identity(self, study: StudyData, own_size: int) -> None:
        """Write what the study is, or refuse a folder that holds another one."""
        options, data = self.options, study.data
        identity = {
            "dataset": data.main_name,
            "data": data.fingerprint,
            "renderings": list(data.renderings),
            "splits": {name: split.to_dict(data.main.names)["sha256"] for name, split in data.splits.items()},
            "base_model": options.base,
            "image_size": own_size,
            "budget": asdict(options.budget),
            "augmentation": asdict(AugmentationArguments()),
        }
        file, before = options.output / "study.json", {}
        if file.exists():
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = sorted(key for key in identity if before["identity"].get(key) != identity[key])
            if changed:
                raise ValueError(
                    f"--output {options.output} holds a study with another {', '.join(changed)}: repeat its options, "
                    "or name another folder."
                )
        options.output.mkdir(parents=True, exist_ok=True)
        self.runs.mkdir(exist_ok=True)
        write_json(
            file,
            {
                # of every call that continued this study: none of them alone made the table
                "commands": list(dict.fromkeys([*before.get("commands", []), self.command])),
                "identity": identity,
                "sizes": sorted({*before.get("sizes", []), *options.sizes}),
                "machine": describe_machine(),
                "versions": versions(),
                "validation": _validation(study),
            },
        )


def _chosen(groups: list[list[Change]], keys: Sequence[str]) -> list[list[Change]]:
    """The groups that have one of ``keys``, each reduced to these and the reference, which comes first."""
    known = list(dict.fromkeys(change.key for group in groups for change in group))
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f"--changes {' '.join(unknown)}: no such change here; there are {', '.join(known)}.")
    kept = [[group[0], *(change for change in group[1:] if change.key in keys)] for group in groups]
    return [part for part in kept if len(part) > 1 or part[0].key in keys]


def _validation(study: StudyData) -> dict[str, Any]:
    """Labels, patient codes and views of the validation pictures: what the stored margins belong to."""
    return {
        "labels": study.labels.tolist(),
        "patients": study.patients.tolist(),
        "views": {view.name: view.at.tolist() for view in study.views},
        "own": study.data.main_name,
    }
