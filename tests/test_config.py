"""Names of Hub repositories."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from hf_model.config import HUB_ID, is_hub_id

NAMES = [
    "bert",
    "google/efficientnet-b0",
    "a/_b",
    "a/b/c",
    "../shared/x",
    "./x",
    "/home/x",
    "a/",
    "-a/b",
    "a b",
    "a/b.",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_pattern_is_the_hubs_own(name: str) -> None:
    try:
        validate_repo_id(name)
        accepted = True
    except HFValidationError:
        accepted = False
    assert (HUB_ID.fullmatch(name) is not None) == accepted


def test_a_path_that_exists_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("outputs/model")
    (tmp_path / "outputs" / "model").mkdir(parents=True)
    assert not is_hub_id("outputs/model")
    assert not is_hub_id("bert"), "only the owner tells a repository from a word"
    assert not is_hub_id(None)
