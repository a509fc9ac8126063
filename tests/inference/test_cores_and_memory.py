"""Usable cores under quotas and launchers; mallopt is called with the options of its header, and only in glibc."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_model.inference.engines import cores_and_memory


class Library:
    """Remembers what mallopt was called with."""

    def __init__(self, answer: int) -> None:
        self.answer, self.calls = answer, {}

    def mallopt(self, option: int, value: int) -> int:
        self.calls[option] = value
        return self.answer


@pytest.mark.parametrize(("answer", "expected"), [(1, True), (0, False)])
def test_glibc_is_told_to_keep_and_says_whether_it_does(monkeypatch, answer: int, expected: bool) -> None:
    library = Library(answer)
    monkeypatch.setattr(cores_and_memory.sys, "platform", "linux")
    monkeypatch.setattr(cores_and_memory.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(cores_and_memory.ctypes, "CDLL", lambda name: library)
    assert cores_and_memory.keep_freed_memory(1000) is expected
    # malloc.h: M_MMAP_MAX is -4, M_TRIM_THRESHOLD -1
    assert library.calls[-4] == 0
    if expected:
        assert library.calls == {-4: 0, -1: 1000, -2: 64 * 2**20}


@pytest.mark.parametrize(("system", "libc"), [("darwin", ""), ("linux", "musl")])
def test_elsewhere_nothing_is_called(monkeypatch, system: str, libc: str) -> None:
    monkeypatch.setattr(cores_and_memory.sys, "platform", system)
    monkeypatch.setattr(cores_and_memory.platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(cores_and_memory.ctypes, "CDLL", lambda name: pytest.fail("the C library was opened"))
    assert cores_and_memory.keep_freed_memory(1000) is False


@pytest.mark.parametrize(
    ("content", "cores"),
    [("200000 100000\n", 2), ("50000 100000\n", 1), ("250000 100000", 3), ("max 100000\n", 8), ("rubbish", 8)],
)
def test_cores_follow_the_quota_of_the_container(tmp_path: Path, monkeypatch, content: str, cores: int) -> None:
    monkeypatch.setattr(cores_and_memory.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    limit = tmp_path / "cpu.max"
    limit.write_text(content)
    assert cores_and_memory.usable_cores(limit) == cores
    assert cores_and_memory.usable_cores(tmp_path / "absent") == 8


def test_processes_on_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    absent = tmp_path / "absent"
    for processes, cores in (("1", 8), ("2", 4), ("3", 2), ("16", 1), ("many", 8)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert cores_and_memory.usable_cores(absent) == cores
