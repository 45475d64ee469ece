"""Keys in the form of OpenSSH, which its own programs and the library read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from apps.instances.boot import keys
from tests.programs import require_program

PAIRS = [keys.new(), keys.of_secret("secret", purpose="a")]


@pytest.mark.parametrize("pair", PAIRS, ids=["new", "of a secret"])
def test_openssh_and_the_library_read_them(pair: keys.Pair, tmp_path: Path) -> None:
    program = require_program("ssh-keygen", package="openssh-client")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(pair.private)

    said = subprocess.run(
        [program, "-y", "-f", str(file)], capture_output=True, text=True, check=True, timeout=30
    )

    assert said.stdout.split()[:2] == pair.public.split()
    assert keys.read(pair.private) == pair


def test_one_of_a_secret_is_the_same_each_time_and_another_for_another_purpose() -> None:
    one = keys.of_secret("secret", purpose="a")

    assert one == keys.of_secret("secret", purpose="a")
    assert one != keys.of_secret("secret", purpose="b")
    assert one != keys.of_secret("other", purpose="a")
    assert keys.new() != keys.new()
