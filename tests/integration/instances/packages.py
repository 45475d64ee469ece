"""Packages of Debian for machines that reach no mirror: what a boot script installs there, fetched
once, with the index that apt wants."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests import programs
from tests.made_once import cache, made_once

AT = "/opt/packages"
# In place of a machine's own sources, for which nobody answers there.
SOURCES = f"deb [trusted=yes] file:{AT} ./\n"
FETCH_SECONDS = 300


def mounts(suite: str, *names: str) -> tuple[str, ...]:
    """Return the files of this machine by which others can install these packages."""
    sources = cache() / "sources.list"
    sources.write_text(SOURCES)
    return f"{fetched(suite, *names)}:{AT}:ro", f"{sources}:/etc/apt/sources.list:ro"


def fetched(suite: str, *names: str) -> Path:
    """Return a folder with these packages and all that they need."""
    program = programs.require_program("mmdebstrap", package="mmdebstrap")
    key = hashlib.sha256(f"{suite} {names}".encode()).hexdigest()[:12]

    def make(fresh: Path) -> None:
        fresh.mkdir()
        keep = f'cp "$1"/var/cache/apt/archives/*.deb {fresh}/'
        argv = [program, "--quiet", "--variant=extract", f"--include={','.join(names)}"]
        argv += [f"--extract-hook={keep}", "--format=null", suite, "/dev/null"]
        subprocess.run(argv, check=True, capture_output=True, timeout=FETCH_SECONDS)
        described = [_described(each) for each in sorted(fresh.glob("*.deb"))]
        (fresh / "Packages").write_text("\n".join(described))

    return made_once(f"packages-{key}", make)


def _described(package: Path) -> str:
    argv = ["dpkg-deb", "-f", str(package)]
    fields = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    size = package.stat().st_size
    return f"{fields}Filename: ./{package.name}\nSize: {size}\nSHA256: {digest}\n"
