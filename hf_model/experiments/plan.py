"""The plan of the study: the changes to the default recipe that are compared, in groups, and each run's budget.

Imports neither torch nor transformers, so that the command's ``--help`` need not wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_model.config import BASELINE

QUESTIONS = {
    "heads": "Which head on the frozen backbone?",
    "baseline": "Is a pre-trained backbone better than a CNN from scratch?",
    "depth": "Frozen backbone, upper blocks or everything?",
    "loss": "Class weights, none, or focal loss?",
    "augmentation": "What does each kind of augmentation bring?",
    "size": "Which input size?",
}
"""Group of changes -> what it answers."""
GROUPS = tuple(QUESTIONS)
SIZES = (128, 160, 192, 224)
"""Pixels a side that the group "size" compares."""
REFERENCE = "reference"
SWITCHES = {
    "geometry": ("rotation", "shift", "zoom", "shear"),
    "flip": ("flip",),
    "intensity": ("gamma", "contrast", "brightness"),
    "sharpness": ("blur", "downscale"),
    "jpeg": ("jpeg",),
    "noise": ("noise",),
    "erasing": ("erasing",),
    "spectrum": ("spectrum",),
}
"""Kind of augmentation of the default recipe -> its options, which are 0 in a run without it."""
MIXUP = 0.3
"""Of the change "with-mixup"; the default recipe has none."""


@dataclass(frozen=True)
class Change:
    """One change to the recipe.

    Attributes:
        key: names the files of its runs; groups that have the same change share them.
        text: its name in the table.
        kind: "head" (on stored features), "fine" (fine-tuning) or "scratch" (the baseline).
        training, augmentation: options that differ from the defaults. size: pixels a side. one_rendering: train on the
            data set's own rendering only. head: of the "head" kind.
    """

    key: str
    text: str
    kind: str = "fine"
    training: dict[str, Any] = field(default_factory=dict)
    augmentation: dict[str, float] = field(default_factory=dict)
    size: int | None = None
    one_rendering: bool = False
    head: str | None = None


@dataclass(frozen=True)
class Budget:
    """What every run gets.

    Attributes:
        pictures: of development-train that a fine-tuning learns from, whole patients. epochs: of a fine-tuning.
        validation: pictures of development-validation, whole patients.
        views: augmented views that heads learn from. head_epochs: of a head on stored features.
        baseline_epochs: of the CNN from scratch, which learns from all of development-train.

    Raises:
        ValueError: a number below 1.
    """

    pictures: int = 384
    epochs: int = 2
    validation: int = 256
    views: int = 2
    head_epochs: int = 10
    baseline_epochs: int = 4

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if value < 1:
                raise ValueError(f"--{name} {value}: must be at least 1.")


FULL = Change(REFERENCE, "default recipe")
"""All blocks, class weights, the default augmentation, the base checkpoint's size, no lungs."""


def changes(group: str, sizes: Sequence[int], own_size: int, renderings: int) -> list[Change]:
    """The changes of a group, the reference first.

    Args:
        sizes: for "size". own_size: the base checkpoint's. renderings: how many the data has.
    """
    if group == "heads":
        from hf_model.modeling.heads import HEADS, PLAIN  # imports torch

        return [Change(f"head-{name}", name, "head", head=name) for name in (PLAIN, *(h for h in HEADS if h != PLAIN))]
    if group == "baseline":
        return [FULL, Change(BASELINE, "CNN from scratch: 32, 64, 128 filters, dense 64", "scratch")]
    if group == "depth":
        frozen = Change("depth-frozen", "frozen backbone, head alone", training={"num_train_epochs": 0})
        upper = Change("depth-upper-4", "upper 4 blocks", training={"unfreeze_blocks": "4"})
        return [FULL, upper, frozen]
    if group == "loss":
        texts = {"plain": "no class weights", "focal": "focal loss, gamma 2"}
        return [FULL, *(Change(f"loss-{loss}", text, training={"loss": loss}) for loss, text in texts.items())]
    if group == "augmentation":
        made = [
            Change(f"without-{kind}", f"without {kind} ({', '.join(names)})", augmentation=dict.fromkeys(names, 0.0))
            for kind, names in SWITCHES.items()
        ]
        everything = dict.fromkeys((name for names in SWITCHES.values() for name in names), 0.0)
        made.append(Change("without-any-augmentation", "without any augmentation", augmentation=everything))
        made.append(Change("with-mixup", f"with mixup (alpha {MIXUP})", augmentation={"mixup": MIXUP}))
        if renderings > 1:
            made.append(Change("one-rendering", "one rendering in training", one_rendering=True))
        return [FULL, *made]
    return [FULL, *(Change(f"size-{size}", f"{size} px", size=size) for size in sizes if size != own_size)]
