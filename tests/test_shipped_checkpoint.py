"""The checkpoint that ships: complete, unchanged, and saying what its files say."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from generated import chest
from PIL import Image

from hf_model import Classifier
from hf_model.config import CHECKPOINT_DIR
from hf_model.hub.model_card import build_card
from hf_model.inference.classifier import FINER
from hf_model.metrics.decision import Decision
from hf_model.metrics.record import evaluation_record
from hf_model.metrics.scores import Scores
from hf_model.radiograph import read_radiograph

ROOT = Path(__file__).parent.parent
METRICS = json.loads((CHECKPOINT_DIR / "metrics.json").read_text(encoding="utf-8"))
DOCUMENTS = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
MAIN, SHARP = METRICS["test"]
SIDE = json.loads((CHECKPOINT_DIR / "preprocessor_config.json").read_text(encoding="utf-8"))["size"]["height"]
POINTS = {"default": "threshold", "rule_out": "rule-out", "rule_in": "rule-in", "0.5": "0.5", "argmax": "larger logit"}

# Logits of chest(seed) at 256 px by transformers in float32 (tests/test_shipped_checkpoint.py, golden()): a change of
# weights, preprocessing or engine shows here first.
GOLDEN = json.loads((Path(__file__).parent / "golden_logits.json").read_text(encoding="utf-8"))


def picture(seed: int) -> Image.Image:
    return Image.fromarray(chest(seed, pneumonia=seed % 2 == 1, side=256))


def golden() -> dict[str, list[float]]:
    """Logits by plain transformers; ``python -c`` of this writes golden_logits.json for a new checkpoint."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    processor = AutoImageProcessor.from_pretrained(CHECKPOINT_DIR)
    model = AutoModelForImageClassification.from_pretrained(CHECKPOINT_DIR).eval()
    with torch.inference_mode():
        inputs = (processor(picture(seed).convert("RGB"), return_tensors="pt") for seed in range(4))
        return {str(seed): model(**values).logits[0].tolist() for seed, values in enumerate(inputs)}


def test_transformers_gives_the_golden_logits() -> None:
    for seed, logits in golden().items():
        assert logits == pytest.approx(GOLDEN[seed], abs=1e-4)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_engines_give_the_golden_logits(engine: str, tmp_path: Path) -> None:
    classifier = Classifier.from_pretrained(engine=engine)
    for seed, logits in GOLDEN.items():
        file = tmp_path / f"{seed}.png"
        picture(int(seed)).save(file)
        found = classifier.predict(file)
        assert found.logits == pytest.approx(logits, abs=1e-3)
        margin = (logits[1] - logits[0]) / classifier.decision.temperature + classifier.decision.bias
        assert found.probability == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-3)


@pytest.mark.real_data
def test_pipeline_and_classifier_agree_on_full_size_radiographs(shared_data: Path) -> None:
    """The same logits where the picture is decoded in full: below 8 times the model's side on the shorter one."""
    from transformers import pipeline

    classify = pipeline("image-classification", model=str(CHECKPOINT_DIR), function_to_apply="none")
    engines = [Classifier.from_pretrained(engine=engine) for engine in ("torch", "openvino")]
    for file in sorted((shared_data / "chest-xray-fullsize").glob("*/*.jpeg"))[::6]:
        with Image.open(file) as opened:
            scaled = min(opened.size) >= 2 * FINER * SIDE
            by_label = {answer["label"]: answer["score"] for answer in classify(opened)}
        for classifier in engines:
            found = classifier.predict(file, heat_map=False).logits
            limit = 0.1 if scaled else 1e-4
            assert found == pytest.approx([by_label["NORMAL"], by_label["PNEUMONIA"]], abs=limit), file.name


@pytest.mark.real_data
def test_scaled_decoding_keeps_every_probability_within_a_hundredth(shared_data: Path) -> None:
    classifier = Classifier.from_pretrained()
    scaled = 0
    for file in sorted((shared_data / "chest-xray-fullsize").glob("*/*.jpeg")):
        in_full = read_radiograph(file)
        if min(in_full.pixels.shape) < 2 * FINER * SIDE:
            continue  # decoded in full either way
        scaled += 1
        expected = classifier.predict(in_full, heat_map=False).probability
        found = classifier.predict(file, heat_map=False).probability
        assert found == pytest.approx(expected, abs=0.01), file.name
    assert scaled == {224: 5, 160: 15}[SIDE]


def test_hashes_tie_the_files_together() -> None:
    weights = hashlib.sha256((CHECKPOINT_DIR / "model.safetensors").read_bytes()).hexdigest()
    assert METRICS["weights_sha256"] == weights
    assert Decision.load(CHECKPOINT_DIR).provenance["weights_sha256"] == weights
    assert [opening["weights_sha256"] for opening in METRICS["test_openings"]] == [weights]


def test_no_pickle_ships() -> None:
    names = {path.name for path in CHECKPOINT_DIR.rglob("*") if path.is_file()}
    assert {"model.safetensors", "openvino_model.xml", "openvino_model.bin", "gate.safetensors"} <= names
    graphs = {"openvino_model.bin", "lungs_openvino.bin"}
    assert not {n for n in names if n.endswith((".pt", ".pth", ".pkl", ".bin"))} - graphs


@pytest.mark.parametrize("name", [MAIN, SHARP])
def test_test_figures_follow_from_the_stored_logits(name: str) -> None:
    scores = Scores.from_csv(CHECKPOINT_DIR / "scores" / f"test-{name}.csv")
    assert (len(scores), int(scores.labels.sum())) == (624, 390)
    record = evaluation_record(scores, Decision.load(CHECKPOINT_DIR))
    if METRICS["schema_version"] == "1.0":
        del record["policy"]  # which schema 1.1 added
    stored = {key: value for key, value in METRICS["test"][name].items() if key in record}
    # to the last bits, in which processors differ
    found, expected = flat(record), flat(stored)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        assert found[path] == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value), path


def flat(content: object, path: str = "") -> dict[str, object]:
    """Every number and text of nested JSON, by its path."""
    if isinstance(content, dict | list):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        return {key: value for name, part in parts for key, value in flat(part, f"{path}/{name}").items()}
    return {path: content}


def test_the_protocol_held() -> None:
    splits = METRICS["data"]["splits"]
    assert METRICS["data"]["published"]["train"] == {"NORMAL": 1341, "PNEUMONIA": 3875}
    assert sum(split["images"] for split in splits.values()) == 5232
    assert len(METRICS["test_openings"]) == 1
    assert METRICS["data"]["patient_key"]


def test_the_card_is_generated_from_these_files() -> None:
    assert (CHECKPOINT_DIR / "README.md").read_text(encoding="utf-8") == build_card(CHECKPOINT_DIR)


def rate(entry: dict) -> str:
    """96.2 % (93.9 to 97.7); a share that only rounds to 100 is written >99.9"""
    value, low, high = (">99.9" if 0.999 < x < 1 else f"{100 * x:.1f}" for x in (entry["value"], *entry["interval"]))
    return f"{value} % ({low} to {high})"


def auc(record: dict) -> str:
    low, high = record["auc"]["interval"]
    return f"{record['auc']['value']:.3f} ({low:.3f} to {high:.3f})"


def headline() -> list[str]:
    """The documents' table of operating points: one row for each test rendering and point."""
    rows = []
    for name, record in METRICS["test"].items():
        for point, label in POINTS.items():
            at = record["points"][point]
            rates = " | ".join(rate(at[key]) for key in ("sensitivity", "specificity", "accuracy"))
            rows.append(f"| {name} | {label} | {at['threshold']:.3f} | {rates} |")
    return rows


def facts() -> dict[str, str]:
    """Single figures that README and docs state."""
    originals, pairs = METRICS["originals"], METRICS["renderings"]
    blurred, sharpened = (pairs[f"calibration / {change}"] for change in ("blurred", "sharpened"))
    head, blocks = (f"{stage['seconds'] / 60:.0f}" for stage in METRICS["stages"])
    gate = METRICS["gate"]
    return {
        "auc": " and ".join(f"{auc(record)} on {name}" for name, record in METRICS["test"].items()),
        "development": f"AUC {auc(METRICS['development_validation'])} on development-validation",
        "renderings": f"a mean difference of {pairs[f'{MAIN} / {SHARP}']['mean_absolute_difference']:.3f}",
        "sharpness": f"by {blurred['mean_absolute_difference']:.3f} on average when it is blurred and by "
        f"{sharpened['mean_absolute_difference']:.3f} when it is sharpened",
        "originals": f"{originals['pictures']} full-size originals of training pictures the accuracy is "
        f"{100 * originals['accuracy_at_threshold']:.1f} % and the mean difference in probability from the small "
        f"copies {originals['agreement']['mean_absolute_difference']:.3f}",
        "time": f"{head} min for the head and {blocks} min for the blocks",
        "gate": f"{100 * (1 - gate['quantile']):.1f} % of held-out development radiographs are flagged",
    }


@pytest.mark.parametrize("line", [*headline(), *facts().values()])
def test_the_documents_state_what_the_files_say(line: str) -> None:
    assert line in (DOCUMENTS if line.startswith("|") else re.sub(r"\s+", " ", DOCUMENTS))


def test_the_documents_have_no_other_result_rows() -> None:
    points = "|".join(map(re.escape, POINTS.values()))
    rows = re.findall(rf"^\| {re.escape(MAIN)}[\w-]* \| (?:{points}) \|", DOCUMENTS, re.MULTILINE)
    assert len(rows) == len(headline())


def test_the_documents_name_the_command_that_made_the_checkpoint() -> None:
    assert METRICS["command"].replace(" --resume", "") in DOCUMENTS
