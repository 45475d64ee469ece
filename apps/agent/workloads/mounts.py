"""Folders of the machine that a replica gets to see, and which it may never have."""

from __future__ import annotations

import os
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.host import users
from apps.agent.host.home import Home
from apps.agent.workloads.executor import PrepareFailed

# Nor what holds one of them. Who has one has the machine, its agent's token or its cloud's rights.
CLOSED = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run"),
    *("/sbin", "/sys", "/usr", "/root/.ssh", "/opt/dstack-agent", "/var/lib/cloud"),
    *("/var/lib/containerd", "/var/lib/docker", "/var/run", "/var/spool", str(users.FALLBACK_BASE)),
)
# Replicas are users of their own, and each may write there: as in /tmp.
OPEN_TO_ALL = 0o1777
TEMPORARY = ("/tmp/", "/var/tmp/")
NO_MOUNTS = (
    "a process gets folders of its machine only where the agent is root and gives it mounts of its "
    "own: give the service an `image`"
)


class Mount(typing.NamedTuple):
    """`source` without links."""

    source: str
    path: str


class Unfit(Exception):
    """It cannot be mounted; the text says why."""


def folders(spec: wire.WorkloadSpec, home: Home, remarks: list[str]) -> list[Mount]:
    """Return what a container gets; what it does without is a remark. Raise PrepareFailed."""
    return _had(spec, remarks, lambda each: Mount(_source(each.source, home), each.path))


def of_process(
    spec: wire.WorkloadSpec, home: Home, remarks: list[str], *, isolated: bool
) -> list[Mount]:
    """Return what a process gets; what it does without is a remark. Raise PrepareFailed."""

    def had(each: wire.MountSpec) -> Mount:
        if not isolated:
            raise Unfit(NO_MOUNTS)
        return Mount(_source(each.source, home), _place(each.path, spec, home))

    return _had(spec, remarks, had)


def _had(
    spec: wire.WorkloadSpec,
    remarks: list[str],
    mount: typing.Callable[[wire.MountSpec], Mount],
) -> list[Mount]:
    found = []
    for each in spec.mounts:
        try:
            found.append(mount(each))
        except (Unfit, OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            said = f"volumes: {each.source}:{each.path}: {why}"
            if not each.optional:
                raise PrepareFailed(said) from error
            remarks.append(f"{said}; it is optional, so the replica goes without it")
    return found


def _source(path: str, home: Home) -> str:
    """Return the folder without links; one that is missing is made."""
    real = _open(path, home)
    if not os.path.lexists(real):
        Path(real).mkdir(parents=True)
        Path(real).chmod(OPEN_TO_ALL)
        if _open(path, home) != real:
            raise Unfit("it became another folder meanwhile")
    if not Path(real).is_dir():
        raise Unfit("it is no folder of the machine")
    return real


def _place(path: str, spec: wire.WorkloadSpec, home: Home) -> str:
    """Return where a process can see it; others on the machine see nothing of it."""
    plain = os.path.normpath(path)
    if plain.startswith(TEMPORARY):
        return plain  # its own, made when it starts
    real = _open(plain, home)
    if not os.path.lexists(real):
        if not spec.owns_machine:
            raise Unfit(f"there is no folder {plain} here to put it at: below /tmp one is made")
        Path(real).mkdir(parents=True)
    if not users.is_open_to_all(Path(real)):
        raise Unfit(f"the replica's own user may not pass the folders above {plain}")
    return real


def _open(path: str, home: Home) -> str:
    """Return the path without links. Raise Unfit where no replica may have it."""
    real = os.path.realpath(path)
    if real == "/":
        raise Unfit("it is the machine's whole file system")
    for each in (*CLOSED, str(home.root), str(home.base)):
        for closed in (each, os.path.realpath(each)):
            if f"{real}/".startswith(f"{closed}/") or f"{closed}/".startswith(f"{real}/"):
                raise Unfit(f"no service may have {real} of a machine, because of {closed}")
    return real
