"""The card's sections in words: use, data, protocol, limits, code, citation."""

from __future__ import annotations

from typing import Any

from hf_model.config import LABELS
from hf_model.hub.card_recipe import apart, leakage, loss, stages, with_transformers
from hf_model.hub.card_run import PLACEHOLDER, Run, markdown_table

FILL_IN = "**To be filled in by whoever publishes this model:**"
SPLITS = {
    "development_train": "development-train",
    "development_validation": "development-validation",
    "calibration": "calibration",
    "test": "test",
}
HYPERPARAMETERS = (
    "head_epochs",
    "head_learning_rate",
    "unfreeze_blocks",
    "num_train_epochs",
    "learning_rate",
    "layer_decay",
    "head_multiplier",
    "per_device_train_batch_size",
    "weight_decay",
    "label_smoothing_factor",
    "mixup",
    "ema_decay",
    "lr_scheduler_type",
    "warmup_steps",
    "early_stopping_patience",
    "metric_for_best_model",
    "precision",
    "head",
    "loss",
)
KERMANY_DATA = """\
Kermany, Zhang and Goldbaum (2018), chest X-rays of the data set "Labeled Optical Coherence Tomography (OCT) and Chest
X-Ray Images for Classification", Mendeley Data v2, doi 10.17632/rscbjbr9sj.2, licence CC BY 4.0.

- **Population**: children aged one to five, Guangzhou Women and Children's Medical Center, China, one hospital; routine
  care, collected in retrospect. Sex, exact age, dates and devices are not published.
- **Pictures**: frontal chest films, anterior-posterior view, published with a running number as the only patient data.
- **Reference standard**: normal or pneumonia (bacterial or viral), graded by two physicians, the test split checked by
  a third. It is a reading of the picture and no laboratory finding; agreement between the readers is not published.

Known flaws, which bound what any figure below can mean:

- Some pictures occur more than once, byte for byte. In development, equal pictures and pictures of one patient are kept
  in one split; what the published splits share is counted by `python -m hf_model audit`.
- Some labels are wrong, and how many is not known.
- Sharpness is a shortcut: normal originals are larger, so they are sharper once reduced. The mean absolute horizontal
  gradient alone separates the classes with AUC 0.85 on train and 0.83 on test.
- Train and test differ in more than chance: weights with an AUC of 0.995 on held-out patients of the train split score
  about 0.97 on the published test split and lose specificity.
- Patient numbers run in several series: by `person<N>_<bacteria|virus>` and `IM-<N>` train and test share no patient,
  by the bare number they would seem to share 170."""
KERMANY_LIMITS = """\
- Adults are not this population. Weights of this kind, trained on this data, scored an AUC of 0.45 to 0.67 on adults of
  other hospitals (measured while the project was made, not with this checkpoint).
- One hospital, children of one to five, one view: no figure here speaks for any other. Evaluate locally with
  `python -m hf_model evaluate` before anything else, and refit the threshold with `python -m hf_model recalibrate`.
- Share of pneumonia, resizing, sharpness and compression all move the answer; see the shortcut and the shift above.
- "Normal" means free of pneumonia to the readers. Other findings (effusion, tuberculosis, a foreign body, a fracture)
  were not labelled and are not looked for.
- The heat map shows where the evidence for the answer lies in the last feature map. It does not outline the disease."""
OTHER_LIMITS = """\
- Nothing is known of this model on pictures of another population, hospital, device or view than those it was fitted
  on. Evaluate locally with `python -m hf_model evaluate`, and refit the threshold with `hf_model recalibrate`.
- Share of pneumonia, resizing, sharpness and compression can all move the answer.
- Findings other than pneumonia are not looked for.
- The heat map shows where the evidence for the answer lies in the last feature map. It does not outline the disease."""
CITE_DATA = """\
@article{kermany2018identifying,
  title   = {Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning},
  author  = {Kermany, Daniel S. and Goldbaum, Michael and Cai, Wenjia and others},
  journal = {Cell},
  volume  = {172},
  number  = {5},
  pages   = {1122--1131},
  year    = {2018},
  doi     = {10.1016/j.cell.2018.02.010}
}"""


def title(run: Run) -> str:
    """What the model is, for whom."""
    return "Pneumonia in chest X-rays of children" if run.kermany else "Chest X-ray pneumonia classifier"


def use(run: Run) -> str:
    """Intended and not intended use."""
    whom = "of children aged one to five" if run.kermany else "like those that it was fitted on"
    others = "adults, infants under one, older children" if run.kermany else "patients of any other kind"
    return f"""\
**Intended**: education and research on frontal chest X-rays {whom}: how such a model is built, calibrated, evaluated
and where it fails; a second look beside a reader who decides.

**Not intended**: diagnosis, triage or treatment without a qualified reader; ruling disease out on its own; {others};
lateral films, CT, ultrasound, photographs of a screen; any finding other than pneumonia. It is no medical device and
nobody has approved it as one."""


def data(run: Run) -> str:
    """Where the pictures come from, and how many went where. Claims the Kermany population only for its very counts."""
    described = KERMANY_DATA if run.kermany else _unknown_data(run)
    parts = [described]
    if rows := _split_rows(run):
        parts.append(markdown_table(["Split", "Pictures", "Patients", *LABELS, "SHA-256 of file names"], rows))
    if renderings := run.data.get("renderings"):
        names = ", ".join(str(name).rstrip("/").split("/")[-1] for name in renderings)
        parts.append(f"Renderings of the same pictures used in training: {names}.")
    return "\n\n".join(parts)


def protocol(run: Run) -> str:
    """Splits, fitting, calibration, the sealed test and every time it was opened."""
    weights = run.data.get("class_weights")
    head = f"`{run.own_head}` of this project" if run.own_head else "dropout, linear"
    lines = [
        f"- {apart(run)}",
        f"- Model: `{run.architecture}`, input {run.image_size or 'size as in preprocessor_config.json'} pixels, "
        f"from {run.base_model[0] or 'a base checkpoint that is not recorded'}; head: mean of the last feature map, "
        f"{head}.",
        f"- Training: {stages(run)}; {loss(run, weights)}"
        "; augmentation in geometry, intensity, sharpness and compression; the best epoch by a development metric.",
        *_facts(run),
        *leakage(run),
        *_openings(run),
    ]
    return "\n".join(lines)


def limits(run: Run) -> str:
    """What the figures do not cover."""
    return KERMANY_LIMITS if run.kermany else OTHER_LIMITS


def how_to(run: Run) -> str:
    """Two snippets: plain transformers, and the project's own classifier."""
    model = run.argument("hub_model_id") or PLACEHOLDER
    return f"""\
{with_transformers(run, model)}

With this project: calibrated probability, decision, referral, heat map, checks of the input:

```python
from hf_model import Classifier

classifier = Classifier.from_pretrained("{model}")
prediction = classifier.predict("chest.jpeg")
print(prediction.answer, prediction.probability, prediction.threshold)
```

`config.json`, `model.safetensors` and `preprocessor_config.json` are the model, `decision.json` temperature and
thresholds, `metrics.json` every figure of this card and more, `scores/` the logits that they were computed from."""


def cite(run: Run) -> str:
    """The repository and, for the Kermany set, the paper that its licence asks to name."""
    name = run.argument("hub_model_id")
    here = f"the repository {name}" if name else "the repository that you have it from"
    sha = str(run.metrics.get("weights_sha256") or "")
    weights = f" and the SHA-256 of the weights, `{sha}`" if sha else ""
    text = f"Name {here}{weights}."
    if not run.kermany:
        return f"{text} {FILL_IN} how the data is to be cited."
    return f"{text} The data's licence, CC BY 4.0, asks to name its authors:\n\n```bibtex\n{CITE_DATA}\n```"


def _unknown_data(run: Run) -> str:
    name = f"the data set `{run.dataset_name}`" if run.dataset_name else "a data set that is not recorded"
    print_of = f" (fingerprint `{run.fingerprint}`)" if run.fingerprint else ""
    return f"""\
The model was fitted on {name}{print_of}. Nothing more is known here of its patients. {FILL_IN}

- population (age, sex, place, dates), hospital and devices, view, how patients and pictures were chosen;
- reference standard: who labelled the pictures, by what, and how well the readers agreed;
- licence, consent or ethics approval, and known flaws (duplicates, wrong labels, shortcuts)."""


def _split_rows(run: Run) -> list[list[object]]:
    splits = dict(run.data.get("splits") or {})
    for record in list(run.tests.values())[:1]:  # the test split is no split of ours: its record knows its size
        counts = {"NORMAL": record.get("normal"), "PNEUMONIA": record.get("pneumonia")}
        splits.setdefault("test", {"images": record.get("n"), "patients": record.get("patients"), **counts})
    return [
        [label, *(_or_blank(part.get(key)) for key in ("images", "patients", *LABELS)), _short(part.get("sha256"))]
        for name, label in SPLITS.items()
        if (part := splits.get(name))
    ]


def _or_blank(value: Any) -> Any:
    return "" if value is None else value


def _short(sha256: str | None) -> str:
    return f"`{sha256[:12]}`" if sha256 else ""


def _facts(run: Run) -> list[str]:
    values = {name: run.argument(name) for name in HYPERPARAMETERS}
    if (run.argument("max_steps") or 0) > 0:  # it, and not the epochs, ended training
        values["max_steps"] = run.argument("max_steps")
    chosen = ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
    recorded = [stage for stage in run.metrics.get("stages") or [] if isinstance(stage, dict)]
    took = ", ".join(f"{stage.get('name')} {_minutes(stage.get('seconds'))}" for stage in recorded)
    versions = ", ".join(f"{name} {version}" for name, version in (run.metrics.get("versions") or {}).items())
    machine = run.metrics.get("machine")
    machine = (
        ", ".join(f"{k} {v}" for k, v in machine.items() if v is not None) if isinstance(machine, dict) else machine
    )
    facts = {"Settings": chosen, "Time": took, "Seed": run.metrics.get("seed"), "Software": versions}
    facts["Machine"] = machine
    return [f"- {name}: {value}." for name, value in facts.items() if value not in (None, "")]


def _minutes(seconds: Any) -> str:
    return "of unknown length" if seconds is None else f"{seconds / 60:.1f} min"


def _openings(run: Run) -> list[str]:
    openings = run.metrics.get("test_openings") or []
    if not openings:
        return ["- No opening of the test split is recorded."]
    once = "once, after weights, temperature and thresholds were fixed"
    lines = [f"- The test split was opened {once if len(openings) == 1 else f'**{len(openings)} times**'}:"]
    for opening in openings:
        names = ", ".join(opening.get("renderings") or []) or "not recorded"
        weights = _short(opening.get("weights_sha256")) or "not recorded"
        by = f", by {opening['by']}" if opening.get("by") else ""
        lines.append(f"  - {opening.get('when', 'at an unknown time')}{by}: weights {weights}, renderings {names}")
    return lines
