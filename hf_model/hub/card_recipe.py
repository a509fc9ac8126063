"""What a run may choose and the card must then say: head, loss, allowed leakage."""

from __future__ import annotations

from hf_model.config import BASELINE
from hf_model.evaluation import sharing
from hf_model.hub.card_run import Run


def loss(run: Run, weights: list[float] | None) -> str:
    """The loss that was trained with, and its class weights."""
    kind = run.argument("loss") or "weighted"
    if kind != "weighted":
        return {"plain": "cross-entropy without class weights", "focal": "focal loss (gamma 2, no class weights)"}[kind]
    return "class-weighted cross-entropy" + (f", weights {', '.join(f'{w:.4f}' for w in weights)}" if weights else "")


def apart(run: Run) -> str:
    """What development, calibration and test share, as far as the run knows."""
    key, found = run.data.get("patient_key"), run.data.get("leakage") or {}
    names = "Development (training and every choice)", "calibration (temperature and thresholds)"
    if key:
        how = f"; patients are told apart by {'file name or a column' if key is True else key}."
    elif key is None:
        how = ". **What tells patients apart is not recorded, so they may share patients.**"
    else:
        how = ". **The data names no patients, so they may share patients.**"
    what = "patient" if key else "picture"
    if found.get("clean"):
        known = " that is known" if key and sharing.unknown(found) else ""
        return f"{', '.join(names)} and test share no {what}{known}{how}"
    test = "What the test split shares with them follows below." if found else "Whether test does is not known."
    return f"{' and '.join(names)} share no {what}{how} {test}"


def stages(run: Run) -> str:
    """What learned, in the order of the recorded stages."""
    done = [stage.get("name") for stage in run.metrics.get("stages") or [] if isinstance(stage, dict)]
    depth = str(run.argument("unfreeze_blocks") or "all")
    blocks = "all blocks" if depth == "all" else f"the upper {depth} blocks"
    if done == ["head", "fine_tuning"]:
        return f"the head on a frozen backbone, then {blocks} at a lower rate"
    if done == ["head"]:
        return "the head on a frozen backbone, and nothing else"
    if done == ["fine_tuning"]:
        scratch = run.base_model[0] == BASELINE
        return "everything from random weights" if scratch else f"the head with {blocks}, in one stage"
    return "stages that are not recorded"


def leakage(run: Run) -> list[str]:
    """Lines for the card where development and test were allowed to share something, or nobody can tell; else none."""
    found, lines = run.data.get("leakage") or {}, []
    if found and not found.get("clean"):
        lines.append(
            f"- **Development and test share {sharing.shared(found)}** (`--allow_leakage`): figures on the test "
            "split are too good."
        )
    if run.data.get("patient_key") and (unknown := sharing.unknown(found)):
        lines.append(f"- **{unknown}**: whether training has seen their patients cannot be told.")
    return lines


def with_transformers(run: Run, model: str) -> str:
    """How to load the model with transformers alone, or that it cannot be."""
    if run.own_head:
        return (
            f"Transformers alone refuses this folder: its head, `{run.own_head}`, is code of this project, and "
            f"`{run.config.get('model_type')}` is a type that only `import hf_model.modeling.modeling_chest_xray` "
            "makes known. A class of transformers called by its name would draw a random network instead, with a "
            "warning."
        )
    return f"""\
With transformers alone; the score is the softmax of the logits, **not** the calibrated probability, and the threshold
is not applied:

```python
from transformers import pipeline

classify = pipeline("image-classification", model="{model}")
print(classify("chest.jpeg"))
```"""
