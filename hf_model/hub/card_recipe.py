"""What a run may choose and the card must then say: head, loss, allowed leakage."""

from __future__ import annotations

from hf_model.hub.card_run import Run


def loss(run: Run, weights: list[float] | None) -> str:
    """The loss that was trained with, and its class weights."""
    kind = run.argument("loss") or "weighted"
    if kind != "weighted":
        return {"plain": "cross-entropy without class weights", "focal": "focal loss (gamma 2, no class weights)"}[kind]
    return "class-weighted cross-entropy" + (f", weights {', '.join(f'{w:.4f}' for w in weights)}" if weights else "")


def leakage(run: Run) -> list[str]:
    """A line for the card where development and test were allowed to share something, else none."""
    found = run.data.get("leakage")
    if not found or found.get("clean"):
        return []
    counts = {"patients": "patients", "pixels": "equal pictures", "near": "nearly equal pictures"}
    shared = ", ".join(f"{found['counts'][kind]} {text}" for kind, text in counts.items() if found["counts"].get(kind))
    return [f"- **Development and test share {shared}** (`--allow_leakage`): figures on the test split are too good."]


def with_transformers(run: Run, model: str) -> str:
    """How to load the model with transformers alone, or that it cannot be."""
    if run.own_head:
        return (
            f"Transformers alone refuses this folder: its head, `{run.own_head}`, is code of this project, and "
            f"`{run.config.get('model_type')}` is a type that only `import hf_model.modeling.own` makes known. A class "
            "of transformers called by its name would draw a random network instead, with a warning."
        )
    return f"""\
With transformers alone; the score is the softmax of the logits, **not** the calibrated probability, and the threshold
is not applied:

```python
from transformers import pipeline

classify = pipeline("image-classification", model="{model}")
print(classify("chest.jpeg"))
```"""
