"""train.py does not start on pictures or patients that are in development and in the test split."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from audit_folders import film
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as Image_
from generated import file_name
from PIL import Image

import train
from hf_model.data.arguments import DataArguments
from hf_model.data.loading import DatasetError
from hf_model.data.pixels import Pixels
from hf_model.data.prepare import SealedTest, prepare
from hf_model.radiograph import Preprocessing
from hf_model.training.leakage import refuse_leakage


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 6 test patients per class, one picture each, all of them different enough to be distinguished."""
    folder = tmp_path_factory.mktemp("clean")
    for split, patients in (("train", range(24)), ("test", range(24, 30))):
        for pneumonia in (False, True):
            target = folder / split / ("PNEUMONIA" if pneumonia else "NORMAL")
            target.mkdir(parents=True)
            for patient in patients:
                pixels = film(1000 * pneumonia + patient, pneumonia=pneumonia)
                Image.fromarray(pixels).save(target / file_name(patient, 0, pneumonia))
    return folder


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "data"))


def check(folder: Path, *, allowed: bool = False) -> dict:
    arguments = DataArguments(dataset=str(folder))
    return refuse_leakage(prepare(arguments, Preprocessing(height=96, width=96), 0), allowed=allowed)


def test_clean_data_passes(clean: Path) -> None:
    counts = {"patients": 0, "pixels": 0, "near": 0}
    assert check(clean) == {"clean": True, "allowed": False, "counts": counts, "unknown_patients": 0}


def plant_patient(folder: Path) -> None:
    Image.fromarray(film(77, pneumonia=False)).save(folder / "test" / "NORMAL" / "IM-0003-0002.png")


def plant_copy(folder: Path) -> None:
    shutil.copy(folder / "train" / "NORMAL" / "IM-0003-0001.png", folder / "test" / "NORMAL" / "IM-0090-0001.png")


def plant_near_copy(folder: Path) -> None:
    pixels = np.asarray(Image.open(folder / "train" / "NORMAL" / "IM-0003-0001.png")).astype(int)
    Image.fromarray((pixels * 0.9 + 7).astype(np.uint8)).save(folder / "test" / "NORMAL" / "IM-0090-0001.png")


@pytest.mark.parametrize(
    ("plant", "kind", "words"),
    [
        (plant_patient, "patients", "share 1 patients by the full key, for example im-0003"),
        (plant_copy, "pixels", "share 1 equal decoded pixels, for example development/IM-0003-0001.png = test/IM-0090"),
        (plant_near_copy, "near", "share 1 nearly equal pictures, for example development/IM-0003-0001.png ~ test/IM-"),
    ],
)
def test_each_planted_leak_is_refused_or_recorded(folder: Path, plant, kind: str, words: str) -> None:
    plant(folder)
    with pytest.raises(DatasetError) as caught:
        check(folder)
    assert words in str(caught.value)
    assert "--allow_leakage" in str(caught.value)
    record = check(folder, allowed=True)
    counts = {"patients": 0, "pixels": 0, "near": 0} | {kind: 1}
    assert record == {"clean": False, "allowed": True, "counts": counts, "unknown_patients": 0}


def test_a_bare_number_in_two_series_is_no_leak(folder: Path) -> None:
    Image.fromarray(film(88, pneumonia=True)).save(folder / "test" / "PNEUMONIA" / "person4_virus_9.png")
    assert (folder / "train" / "PNEUMONIA" / "person4_bacteria_40.png").exists()
    assert check(folder)["clean"]


def test_no_label_of_the_test_split_is_looked_at(folder: Path) -> None:
    class Sealed(Pixels):
        """Test pictures whose labels may not be asked for."""

        @property
        def labels(self) -> np.ndarray:
            raise AssertionError("the test split's labels were read")

        @labels.setter
        def labels(self, _) -> None:
            pass

    arguments = DataArguments(dataset=str(folder))
    data = prepare(arguments, Preprocessing(height=96, width=96), 0)
    test = data.test[data.main_name].decode()
    sealed = object.__new__(Sealed)
    sealed.__dict__.update({key: value for key, value in test.__dict__.items() if key != "labels"})
    with pytest.raises(AssertionError, match="labels were read"):
        sealed.labels  # noqa: B018
    data.test[data.main_name] = SealedTest(data.test[data.main_name].source, lambda: sealed)
    assert refuse_leakage(data, allowed=False)["clean"]


def test_one_test_file_without_a_patient_hides_no_other(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(film(501, pneumonia=False)).save(folder / "test" / "NORMAL" / "scan.png")
    record = check(folder)
    assert (record["clean"], record["counts"]["patients"], record["unknown_patients"]) == (True, 0, 1)
    assert "1 of 13 test pictures name no patient (by file name)" in caplog.text
    plant_patient(folder)
    with pytest.raises(DatasetError, match="share 1 patients by the full key, for example im-0003"):
        check(folder)


def test_a_test_split_without_the_patient_column_is_refused(tmp_path: Path, clean: Path) -> None:
    features = {"image": Image_(decode=False), "label": ClassLabel(names=["NORMAL", "PNEUMONIA"])}
    for split in ("train", "test"):
        files = sorted((clean / split).rglob("*.png"))
        rows = {
            "image": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
            "label": [int(file.parent.name == "PNEUMONIA") for file in files],
        }
        extra = {"who": Value("string")} if split == "train" else {}
        rows |= {name: [str(n) for n in range(len(files))] for name in extra}
        Dataset.from_dict(rows, features=Features(features | extra)).to_parquet(tmp_path / "p" / f"{split}.parquet")
    data = prepare(
        DataArguments(dataset=str(tmp_path / "p"), patient_column="who"), Preprocessing(height=96, width=96), 0
    )
    with pytest.raises(DatasetError, match="--patient_column who: the test split of p has none"):
        refuse_leakage(data, allowed=False)


def test_without_patient_keys_pictures_are_still_compared(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        file.rename(file.with_name(f"film{number}.png"))
    counts = check(folder)["counts"]
    assert counts == {"patients": None, "pixels": 0, "near": 0}
    assert "whether test patients are also trained on cannot be checked" in caplog.text


def test_train_refuses_at_the_start_and_records_what_was_allowed(folder: Path, tiny_base, tmp_path, capsys) -> None:
    plant_patient(folder)
    out = tmp_path / "out"
    argv = ["--dataset", str(folder), "--base_model", str(tiny_base), "--output_dir", str(out), "--head_epochs", "1"]
    argv += ["--head_views", "1", "--num_train_epochs", "0", "--disable_tqdm", "true", "--no_open_test"]
    argv += ["--validation_fraction", "0.2"]
    assert train.main(argv) == 1
    error = capsys.readouterr().err
    assert "train.py: data leaks, so that its test figures would be too good: development and test share 1" in error
    assert not out.exists()
    assert train.main([*argv, "--allow_leakage", "--head", "three-dense-two-batch-norms", "--loss", "focal"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["data"]["leakage"] == {
        "clean": False,
        "allowed": True,
        "counts": {"patients": 1, "pixels": 0, "near": 0},
        "unknown_patients": 0,
    }
    assert metrics["arguments"]["allow_leakage"] is True
