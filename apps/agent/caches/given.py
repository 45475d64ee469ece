"""The folder of one project's model files, and who may enter it.

CACHES/KEY/ about.json · process/ what replicas that are processes see · container/files/ what
containers see at CONTAINER_PATH. They are two, because root in a container may leave devices and
programs with rights of their own in a folder, which no process may ever meet: container/ is root's
alone, whatever the group, and whatever a container makes of the rights of its folder.

Where replicas are users of their own, KEY belongs to root and may be passed by a group that the
project's replicas have besides their own. What is made inside belongs to that group and may be
changed by it, whatever the umask of a program: the folders have a default access list. The group
stands in about.json, never read from a folder that a container could change.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import struct
import time
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches.variables import variables
from apps.agent.host import files
from apps.agent.host.home import Home

ABOUT, PROCESS, CONTAINER, FILES = "about.json", "process", "container", "files"
CONTAINER_PATH = "/var/cache/dstack"
# Numbers that neither distributions, directories of users nor container managers give to groups.
FIRST_GROUP, GROUPS = 0x70000000, 0x0FF00000
ACCESS_LIST = "system.posix_acl_default"
# Version 2; owner, group and others, each with its rights and no number of its own.
OWNER_AND_GROUP = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, 0xFFFFFFFF) for tag, rights in ((1, 7), (4, 7), (0x20, 0))
)


class Given(typing.NamedTuple):
    """What a replica gets: the folder as this machine has it, the group that may enter it (None:
    nobody needs one), and what its environment says."""

    folder: str
    group: typing.Optional[int]
    variables: dict[str, str]


def give(folder: Path, spec: wire.WorkloadSpec, home: Home, taken: typing.Collection[int]) -> Given:
    """Make a project's folder, or make it whole again. Raise OSError.

    `taken` are the groups of the other ones.
    """
    about = files.read_json(folder / ABOUT) or {}
    if "id" not in about or home.isolate and about.get("group") is None:
        group = _free_group(taken) if home.isolate else None
        about = {"id": secrets.token_hex(8), "used_at": time.time(), **about, "group": group}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.parent.chmod(0o711)
        files.write_json(folder / ABOUT, about)
    group = about["group"]
    _let_in(folder, group, mode=0o710)
    inside = folder / PROCESS
    if spec.executor == "docker":
        closed = folder / CONTAINER
        closed.mkdir(mode=0o700, exist_ok=True)
        _let_in(closed, None, mode=0o700)
        inside = closed / FILES
    inside.mkdir(mode=0o700, exist_ok=True)
    _let_in(inside, group, mode=0o2770)
    at = CONTAINER_PATH if spec.executor == "docker" else str(inside)
    return Given(str(inside), group, variables(at, spec.env))


def _free_group(taken: typing.Collection[int]) -> int:
    while True:
        group = FIRST_GROUP + secrets.randbelow(GROUPS)
        if group not in taken:
            return group


def _let_in(folder: Path, group: typing.Optional[int], *, mode: int) -> None:
    """Set who may enter; what a replica put there in its place is not followed."""
    opened = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if group is None:
            os.fchmod(opened, 0o700)
            return
        os.fchown(opened, 0, group)
        os.fchmod(opened, mode)
        if mode & 0o2000:
            _share(opened)
    finally:
        os.close(opened)


def _share(opened: int) -> None:
    """Processes have a fitting umask besides, for file systems that know no access lists."""
    with contextlib.suppress(AttributeError):  # a Python that was built without
        try:
            os.setxattr(opened, ACCESS_LIST, OWNER_AND_GROUP)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
