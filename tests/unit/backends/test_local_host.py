"""What this machine says of its Pythons."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.backends.providers.local import host


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_names_a_stand_in_for_a_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "python3.98", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "3.98" in host.pythons()


def test_passes_over_a_stand_in_for_a_python_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "python3.98", "exit 127")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "3.98" not in host.pythons()
