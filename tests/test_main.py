"""``python -m hf_model``: every command exists, explains itself, and an unknown one is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hf_model.__main__ import COMMANDS, main


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert f"python -m hf_model {command}" in capsys.readouterr().out


def test_unknown_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["train"]) == 2
    assert "there is no command 'train'" in capsys.readouterr().err


def test_no_command_lists_them(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert [command for command in COMMANDS if f"  {command} " not in listed] == []


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hf_model.__main__ import main; main([]); "
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
