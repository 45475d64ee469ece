"""Which folder of a container its command starts in: the upload's, or the image's own.

An image's own command is written for the image's own folder, so an upload, which the command line
always makes, moves a container into it only where something of the person's needs its files.
"""

from __future__ import annotations

import posixpath
import shlex
import typing
from pathlib import Path

from apps.agent import wire

UPLOAD_FOLDER = "/workflow"


def working_dir(
    spec: wire.WorkloadSpec, image: dict[str, typing.Any], upload: typing.Optional[Path]
) -> str:
    """Return the folder to start in; `upload` is where the uploaded files lie on this host."""
    wanted = spec.working_dir
    if wanted is None:
        own = image.get("WorkingDir") or "/"
        return UPLOAD_FOLDER if upload is not None and _needs(spec, upload) else _normal(own)
    if wanted == "~" or wanted.startswith("~/"):
        return _normal(posixpath.join(_home(spec, image), wanted[2:]))
    base = UPLOAD_FOLDER if spec.upload_hash else image.get("WorkingDir") or "/"
    return _normal(posixpath.join(base, wanted))


def _normal(path: str) -> str:
    return posixpath.normpath(posixpath.join("/", path))


def _needs(spec: wire.WorkloadSpec, upload: Path) -> bool:
    """Whether what runs is the person's own: commands, or an entry point that names their files."""
    if spec.entrypoint is None:
        return bool(spec.commands)
    try:
        words = shlex.split(spec.entrypoint)
    except ValueError:
        return True  # it is refused in a moment, by the one who runs it
    program = words[0] if words else ""
    if "/" in program and not program.startswith("/"):
        return _is_there(program, upload)
    return bool(spec.commands) or any(_is_there(word, upload) for word in words[1:])


def _is_there(name: str, upload: Path) -> bool:
    path = posixpath.normpath(name)
    outside = path.startswith(("/", "../")) or path in (".", "..", "")
    try:
        return not outside and (upload / path).exists()
    except OSError:  # longer than a name can be
        return False


def _home(spec: wire.WorkloadSpec, image: dict[str, typing.Any]) -> str:
    """HOME as the container will see it; the engine's own answer is only known inside."""
    given = dict(entry.partition("=")[::2] for entry in image.get("Env") or [])
    user = (spec.user or image.get("User") or "").partition(":")[0]
    own = "/root" if user in ("", "0", "root") else "/"
    return spec.env.get("HOME") or given.get("HOME") or own
