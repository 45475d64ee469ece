from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Cli


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_says_that_there_is_no_room_to_pack_the_folder(cli: Cli, folder: Path, small: Path) -> None:
    (folder / "noise").write_bytes(os.urandom(3 * 2**20))

    done = cli.process("run", ".", "-f", "serve.dstack.yml", "-y", "-d")

    assert done.code == 1
    assert f"The disk of this machine is full ({small})" in done.err
    assert len(done.err.splitlines()) == 1
