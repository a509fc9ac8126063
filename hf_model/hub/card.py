"""The checkpoint's README.md: generated from its JSON files, never written by hand.

What a card should say: Mitchell et al., Model Cards for Model Reporting, FAT* 2019; CLAIM; TRIPOD+AI.
"""

from __future__ import annotations

from pathlib import Path

from hf_model.config import NOT_A_DEVICE
from hf_model.hub import card_figures, card_text
from hf_model.hub.card_checklist import checklist
from hf_model.hub.card_header import front_matter
from hf_model.hub.card_run import Run
from hf_model.hub.card_serving import serving

FILE_NAME = "README.md"
SECTIONS = (
    ("Intended use", card_text.use),
    ("Data", card_text.data),
    ("Protocol", card_text.protocol),
    ("Operating points", card_figures.operating_points),
    ("Results", card_figures.results),
    ("Calibration", card_figures.calibration),
    ("Subgroups", card_figures.subgroups),
    ("Agreement between renderings", card_figures.agreement),
    ("As it is served", serving),
    ("Limits", card_text.limits),
    ("How to use", card_text.how_to),
    ("How to cite", card_text.cite),
    ("Checklist", checklist),
)


def build_card(folder: Path | str) -> str:
    """The model card of a checkpoint folder, front matter and text, from config.json, decision.json, metrics.json.

    Only config.json must be there: what is missing is said to be missing. The Kermany population is claimed only if the
    published splits have that set's counts.

    Raises:
        FileNotFoundError: no config.json.
        ValueError: a file that does not parse, or (DecisionError) a decision.json that cannot be trusted.
    """
    run = Run.read(folder)
    parts = [f"---\n{front_matter(run).to_yaml()}\n---", f"# {card_text.title(run)}", f"**{NOT_A_DEVICE}**"]
    parts.append(card_figures.headline(run))
    parts += [f"## {name}\n\n{write(run)}" for name, write in SECTIONS]
    return "\n\n".join(parts) + "\n"


def write_card(folder: Path | str) -> Path:
    """Write ``build_card(folder)`` to the folder's README.md and return its path."""
    path = Path(folder) / FILE_NAME
    path.write_text(build_card(folder), encoding="utf-8")
    return path
