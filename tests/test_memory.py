"""The C library is asked with the options of its header, and only where it is glibc."""

from __future__ import annotations

import pytest

from hf_model.inference.engines import machine


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
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: library)
    assert machine.keep_freed_memory(1000) is expected
    # malloc.h: M_MMAP_MAX is -4, M_TRIM_THRESHOLD -1
    assert library.calls[-4] == 0
    if expected:
        assert library.calls == {-4: 0, -1: 1000, -2: 64 * 2**20}


@pytest.mark.parametrize(("system", "libc"), [("darwin", ""), ("linux", "musl")])
def test_elsewhere_nothing_is_called(monkeypatch, system: str, libc: str) -> None:
    monkeypatch.setattr(machine.sys, "platform", system)
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: pytest.fail("the C library was opened"))
    assert machine.keep_freed_memory(1000) is False
