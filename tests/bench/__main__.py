"""`make bench`: every benchmark of this folder (`<name>_p<number>.py`), one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Run those whose names hold one of the arguments, all without any."""
    names = sorted(path.stem for path in FOLDER.glob("*_p[0-9]*.py"))
    wanted = sys.argv[1:]
    chosen = [name for name in names if not wanted or any(word in name for word in wanted)]
    codes = [subprocess.run(command(name), cwd=FOLDER.parents[1]) for name in chosen]
    failed = [name for name, done in zip(chosen, codes, strict=True) if done.returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or not chosen else 0


def command(name: str) -> list[str]:
    """Return how to run a benchmark: those with a database are pytest's."""
    file = FOLDER / f"{name}.py"
    if "import pytest" in file.read_text():
        return [sys.executable, "-m", "pytest", str(file), "-s", "-q", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", f"tests.bench.{name}"]


if __name__ == "__main__":
    sys.exit(main())
