"""The frame of the benchmarks: finding, storing, tables, README. Nothing here is timed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import frame, machine, markdown, timing
from hf_model.commands import benchmark
from hf_model.metrics.decision import Decision

ROOT = Path(__file__).parents[2]
SECTION = {
    "date": "2026-01-02",
    "command": "python -m hf_model benchmark serving_x",
    "quick": False,
    "seconds": 1.0,
    "machine": {
        "cpu": "A processor",
        "cores": 2,
        "flags": ["avx2"],
        "memory_gib": 16,
        "system": "Linux x86_64",
        "python": "3.11.7",
        "versions": {"torch": "2.13.0"},
    },
    "result": {"value": 3},
}
MODULE = SimpleNamespace(NAME="serving_x", TITLE="A title", table=lambda section: f"value {section['value']}")


def test_every_benchmark_has_the_interface() -> None:
    found = frame.discover()
    assert {"serving_tensor", "serving_files", "serving_folder", "serving_agreement", "serving_start"} <= set(found)
    assert "input_checks" in found
    for name, module in found.items():
        assert name == module.NAME
        assert module.TITLE
        assert module.__doc__
        assert callable(module.run)
        assert callable(module.table)


def test_finding_the_benchmarks_imports_nothing_heavy() -> None:
    code = (
        "import sys; from benchmarks.frame import discover; discover(); "
        "print([name for name in ('torch', 'transformers', 'openvino', 'gradio', 'pyarrow') if name in sys.modules])"
    )
    found = timing.fresh_process(["-c", code], cwd=ROOT)
    assert found["stdout"].strip() == "[]"


def test_names_and_groups() -> None:
    available = dict.fromkeys(["serving_a", "serving_b", "train_a"], MODULE)
    assert frame.chosen([], available) == ["serving_a", "serving_b", "train_a"]
    assert frame.chosen(["serving"], available) == ["serving_a", "serving_b"]
    assert frame.chosen(["train_a", "serving_b"], available) == ["serving_b", "train_a"]
    with pytest.raises(ValueError, match="no benchmark 'serv'; there are serving_a"):
        frame.chosen(["serv"], available)


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    frame.store(path, "b", {"result": 1})
    frame.store(path, "a", {"result": 2})
    frame.store(path, "b", {"result": 3})
    assert frame.load(path) == {"schema": 1, "sections": {"a": {"result": 2}, "b": {"result": 3}}}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "no benchmark results of schema 1")])
def test_another_file_is_not_overwritten(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        frame.store(path, "a", {})
    assert path.read_text() == text


def test_measure_gives_a_fresh_folder_and_names_the_machine(tmp_path: Path) -> None:
    seen = []

    def run(options: frame.Options) -> dict:
        seen.append(options.scratch)
        assert list(options.scratch.iterdir()) == []
        with pytest.raises(frame.Skipped, match="absent"):
            options.folder("absent")
        return {"value": 1}

    section = frame.measure(SimpleNamespace(run=run), quick=True, data=tmp_path, command="c")
    assert section["result"] == {"value": 1}
    assert section["quick"] is True
    assert section["machine"]["versions"]["numpy"] == np.__version__
    assert not seen[0].exists()


def test_interleaved_takes_turns_and_drops_warm_up_and_first_of_a_burst() -> None:
    calls: list[str] = []
    found = timing.interleaved({name: lambda n=name: calls.append(n) for name in "ab"}, rounds=2, warmup=1, burst=3)
    assert "".join(calls) == "aaabbb" * 3
    assert {name: measured["runs"] for name, measured in found.items()} == {"a": 4, "b": 4}


def test_summary_is_median_and_tenths() -> None:
    assert timing.summary([float(number) for number in range(11)]) == {"median": 5, "low": 1, "high": 9, "runs": 11}
    with pytest.raises(ValueError, match="no durations"):
        timing.summary([])


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_process_has_its_own_peak_and_not_its_parent_s() -> None:
    """64 MiB are seen, and this process's own memory, far more after NumPy, is not counted."""
    code = "import time; block = bytearray(64 * 2**20); time.sleep(0.3); print('done')"
    found = timing.fresh_process(["-c", code])
    assert found["stdout"].strip() == "done"
    assert 64 < found["peak_rss_mib"] < 100


def test_a_failing_process_says_why() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: a reason"):
        timing.fresh_process(["-c", "import sys; sys.stderr.write('a reason'); sys.exit(3)"])


def test_processor_facts(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: A processor\ncpu family\t: 6\nmodel\t\t: 143\nflags\t\t: fpu avx2 amx_bf16\n"
        "processor\t: 1\nmodel name\t: Another\n"
    )
    found = machine._cpu_facts(path)
    assert found == {"cpu": "A processor (family 6, model 143)", "flags": ["avx2", "amx_bf16"]}
    assert machine.sentence(SECTION["machine"]) == "A processor, 2 cores, avx2, 16 GiB; Python 3.11.7, torch 2.13.0"


def test_numbers_and_grid() -> None:
    assert markdown.grid(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    with pytest.raises(ValueError, match="has 1 cells"):
        markdown.grid(["a", "b"], [[1]])
    assert [markdown.ms(value) for value in (0.00412, 0.0412, 0.412)] == ["4.12 ms", "41.2 ms", "412 ms"]
    assert [markdown.ratio(0.214), markdown.ratio(5.26)] == ["0.21", "5.3"]
    assert [markdown.rate(40.06), markdown.rate(212.4)] == ["40.1/s", "212/s"]
    assert markdown.spread({"median": 0.004, "low": 0.003, "high": 0.02, "runs": 3}) == "4.00 ms (3.00 to 20.0)"
    assert [markdown.mib(411.7), markdown.mib(None)] == ["412 MiB", ""]


def test_readme_s_tables_name_the_machine_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "discover", lambda: {"serving_x": MODULE, "serving_y": MODULE})
    text = frame.readme_tables({"schema": 1, "sections": {"serving_x": SECTION, "serving_y": SECTION}})
    assert text.startswith("Measured on: A processor, 2 cores")
    assert text.count("Measured on") == 1
    assert text.count("### A title") == 2
    assert text.endswith("value 3\n")
    with pytest.raises(ValueError, match="have a section 'gone'"):
        frame.readme_tables({"sections": {"gone": SECTION}})


def test_quick_results_are_marked() -> None:
    assert "--quick" in frame.section_text(MODULE, {**SECTION, "quick": True})
    assert "--quick" not in frame.section_text(MODULE, SECTION)


def test_multiply_adds_are_those_of_the_plain_model_without_gates_and_two_channels() -> None:
    """Counted another way: by hooks on transformers' own layers."""
    import torch
    from transformers import AutoModelForImageClassification

    from benchmarks import engines

    checkpoint = engines.shipped()
    model = AutoModelForImageClassification.from_pretrained(checkpoint.folder).eval()
    counts: list[int] = []

    def count(layer: torch.nn.Conv2d, _inputs: object, output: torch.Tensor) -> None:
        counts.append(output.numel() * layer.weight[0].numel())

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and "squeeze_excite" not in name:
            layer.register_forward_hook(count)
    with torch.inference_mode():
        side = checkpoint.preprocessing.height
        model(torch.zeros(1, 3, side, side))
    counts[0] //= 3  # the stem sees one grey channel
    heads = 2 * 1280 + (side // 32) ** 2 * 1280  # the classifier, and its rows' difference on every cell of the map
    assert engines.multiply_adds(checkpoint) == sum(counts) + heads


def test_agreement_counts_decisions_inside_and_outside_the_band() -> None:
    from benchmarks.serving_agreement import compare

    logit = lambda p: float(np.log(p / (1 - p)))  # noqa: E731 - one line of algebra
    expected = np.array([[0.0, logit(p)] for p in (0.505, 0.55, 0.9)])
    found = np.array([[0.0, logit(p)] for p in (0.495, 0.45, 0.9)])
    result = compare(expected, found, Decision())
    assert (result["turned"], result["turned_outside"]) == (2, 1)
    assert result["probability"] == pytest.approx(0.1)


def test_command_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert benchmark.main(["--list"]) == 0
    assert "serving_tensor" in capsys.readouterr().out
    assert benchmark.main(["absent"]) == 2
    assert "no benchmark 'absent'" in capsys.readouterr().err
    module = SimpleNamespace(**vars(MODULE), run=lambda options: {"value": 4})
    monkeypatch.setattr(frame, "discover", lambda: {"serving_x": module})
    output = tmp_path / "results.json"
    assert benchmark.main(["serving", "--quick", "--output", str(output)]) == 0
    assert "value 4" in capsys.readouterr().out
    stored = json.loads(output.read_text())["sections"]["serving_x"]
    assert (stored["result"], stored["quick"]) == ({"value": 4}, True)
    assert stored["command"] == "python -m hf_model benchmark serving_x --quick"
    monkeypatch.setitem(sys.modules, "benchmarks", None)  # None: importing it fails, as in an installed package
    assert benchmark.main(["serving"]) == 2
    assert "clone of the repository" in capsys.readouterr().err


def test_one_that_is_skipped_leaves_the_stored_section(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def run(options: frame.Options) -> dict:
        raise frame.Skipped("no data here")

    monkeypatch.setattr(frame, "discover", lambda: {"serving_x": SimpleNamespace(**vars(MODULE), run=run)})
    output = tmp_path / "results.json"
    frame.store(output, "serving_x", SECTION)
    frame.run_one("serving_x", quick=False, output=output)
    assert capsys.readouterr().out == "serving_x: skipped, no data here.\n\n"
    assert frame.load(output)["sections"] == {"serving_x": SECTION}


def test_every_benchmark_has_a_stored_result_and_none_is_a_quick_one() -> None:
    sections = frame.load()["sections"]
    assert sorted(sections) == sorted(frame.discover())
    assert not [name for name, section in sections.items() if section["quick"]]
