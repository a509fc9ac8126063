"""Whom the model is for, in the page's words, from the checkpoint's population; None where it describes none."""

from __future__ import annotations

from hf_model.radiograph.population import NOT_DESCRIBED, Population


def one(population: Population | None) -> str:
    """A single one of them."""
    return "child" if population is not None and population.children else "patient"


def many(population: Population | None) -> str:
    """Several of them."""
    return "children" if population is not None and population.children else "patients"


def fitted(population: Population | None) -> str:
    """One sentence on what the weights were trained on."""
    return NOT_DESCRIBED if population is None else f"Trained on {population.text}."


def outside(population: Population | None) -> str:
    """One sentence on everybody else."""
    if population is not None and population.children:
        return "No figure here speaks for adults."
    return "No figure here speaks for patients of another kind."
