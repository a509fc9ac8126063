"""Whose radiographs a checkpoint was fitted on, and what a header says against it.

Training writes it into metrics.json as ``data.population``; page, API and findings read it from there. A data set that
nobody has described has none, and then nothing is claimed of age, view or hospital.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hf_model.radiograph.types import Finding

NOT_DESCRIBED = "The population is not described by this checkpoint."
ADULT = 18
KERMANY_COUNTS = ({"train": (1341, 3875), "test": (234, 390)}, {"train": (1349, 3883), "test": (234, 390)})
"""(normal, pneumonia) of the Kermany chest X-rays: with a validation split of 16, as on the Hub, and without."""


@dataclass(frozen=True)
class Population:
    """patients: who, in the plural. text: the same with view and place, to follow "trained on".

    age_years: first and last completed year of age, or None. view: ``ViewPosition`` of DICOM, or None. hospital: name
    and country, or None.
    """

    patients: str
    text: str
    age_years: tuple[float, float] | None = None
    view: str | None = None
    hospital: str | None = None

    @classmethod
    def of(cls, metrics: Mapping[str, Any] | None) -> Population | None:
        """The population that a metrics.json describes, else that of a data set known by its counts, else None.

        Raises ValueError for a ``data.population`` that is not as ``to_dict`` writes it.
        """
        data = (metrics or {}).get("data") or {}
        if "population" not in data:
            return known(data.get("published") or data.get("counts"))
        content = data["population"]
        if content is None:
            return None
        try:
            ages = content.get("age_years")
            return cls(
                patients=_text(content["patients"]),
                text=_text(content["text"]),
                age_years=None if ages is None else (float(ages[0]), float(ages[1])),
                view=None if content.get("view") is None else _text(content["view"]),
                hospital=None if content.get("hospital") is None else _text(content["hospital"]),
            )
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"data.population of metrics.json is {content!r}; give patients and text, and age_years [first, last], "
                "view and hospital where they are known"
            ) from error

    @property
    def described(self) -> bool:
        """False for ``UNDESCRIBED`` alone."""
        return bool(self.text)

    @property
    def children(self) -> bool:
        """True if all were under age."""
        return self.age_years is not None and self.age_years[1] < ADULT

    @property
    def singular(self) -> str:
        """What to call one of them: "child" or "patient"."""
        return "child" if self.children else "patient"

    @property
    def plural(self) -> str:
        """What to call several of them: "children" or "patients"."""
        return "children" if self.children else "patients"

    @property
    def trained_on(self) -> str:
        """One sentence on what the weights were trained on."""
        return f"Trained on {self.text}." if self.described else NOT_DESCRIBED

    @property
    def out_of_scope(self) -> str:
        """One sentence on everybody else."""
        return f"No figure here speaks for {'adults' if self.children else 'patients of another kind'}."

    def to_dict(self) -> dict[str, Any]:
        """As metrics.json holds it."""
        content = asdict(self)
        return content | {"age_years": None if self.age_years is None else list(self.age_years)}

    def findings(self, metadata: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What in ``Radiograph.metadata`` lies outside: a flag for the age, a note for PA instead of AP or reverse."""
        found = []
        view, age = metadata.get("view_position"), metadata.get("age_years")
        fitted = f"the model was trained on {self.text}"
        if self.view and view in ("AP", "PA") and view != self.view:
            found.append(Finding(f"view-{view.lower()}", f"The header says {view} view; {fitted}.", "note"))
        if self.age_years and age is not None and not self.age_years[0] <= age < self.age_years[1] + 1:
            found.append(Finding("age", f"The header gives an age of {_spoken(age)}; {fitted}.", "flag"))
        return tuple(found)


UNDESCRIBED = Population(patients="patients", text="")
"""Stands for the population of a checkpoint that describes none, so that sentences can be made of it."""
KERMANY = Population(
    patients="children aged one to five",
    text="frontal (AP) films of children aged one to five from one hospital in Guangzhou",
    age_years=(1.0, 5.0),
    view="AP",
    hospital="Guangzhou Women and Children's Medical Center, China",
)


def known(published: Mapping[str, Any] | None) -> Population | None:
    """The population of a data set that is recognised by the counts of its published splits; names prove nothing.

    published: split -> {"NORMAL", "PNEUMONIA"} or a pair of counts.
    """
    counts = {split: _pair(value) for split, value in (published or {}).items()}
    recognised = any(all(counts.get(split) == pair for split, pair in entry.items()) for entry in KERMANY_COUNTS)
    return KERMANY if recognised else None


def _pair(value: Any) -> tuple[Any, ...]:
    if isinstance(value, Mapping):
        return value.get("NORMAL"), value.get("PNEUMONIA")
    return tuple(value) if isinstance(value, list | tuple) else ()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text")
    return value.strip()


def _spoken(age: float) -> str:
    return f"{age:.0f} years" if age >= 2 else f"{age * 12:.0f} months"
