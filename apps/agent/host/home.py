"""The agent's folders, and whether replicas get users of their own.

HOME/agent.json what this home is · HOME/lock one agent per home · HOME/wake a FIFO on which shims
say that something happened · HOME/agent.pyz the program that shims run · BASE/workloads/<id>/ one
folder per workload · BASE/wheels/ pip.

BASE is HOME, unless replicas get their own users and HOME lies below a folder that only its owner
may pass (/root, a home with mode 0700): then it is a folder of /var/lib, named after HOME. Once
HOME is deleted, the next agent of this host stops and removes what is left there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import typing
import uuid
from dataclasses import dataclass
from pathlib import Path

from apps.agent import build
from apps.agent.host import files, procs, users

OWNER = "owner.json"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class InUse(Exception):
    """Another agent works in this home."""


@dataclass(frozen=True)
class Home:
    root: Path
    base: Path
    home_id: str
    isolate: bool
    lock: int
    remark: str = ""  # why replicas are not isolated

    @property
    def workloads(self) -> Path:
        return self.base / "workloads"

    @property
    def wheels(self) -> Path:
        return self.base / "wheels"

    @property
    def wake(self) -> Path:
        return self.root / "wake"

    def listen(
        self, heard: typing.Callable[[str], None], *, is_over: typing.Callable[[], bool]
    ) -> None:
        """Call with each name that is written into the FIFO; whether it is over, is asked then."""
        fifo = os.open(str(self.wake), os.O_RDWR)
        rest = b""
        while not is_over():
            *names, rest = (rest + os.read(fifo, 4096)).split(b"\n")
            for name in set(names):
                heard(name.decode("ascii", "replace"))
        os.close(fifo)

    def rouse(self) -> None:
        """Have whoever listens look whether it is over."""
        with contextlib.suppress(OSError):
            fifo = os.open(str(self.wake), os.O_WRONLY | os.O_NONBLOCK)
            os.write(fifo, b"\n")
            os.close(fifo)

    @property
    def program(self) -> Path:
        return self.root / "agent.pyz"

    @property
    def boot_id(self) -> str:
        """Changes when the host restarts and when the home is made anew."""
        return f"{procs.boot_id()}-{self.home_id[:8]}"

    @property
    def instance_id(self) -> str:
        return str((files.read_json(self.root / "agent.json") or {}).get("instance_id") or "")

    def is_for(self, instance_id: str) -> bool:
        """Tell whether this is the home of an instance, which the first one takes."""
        if instance_id and not self.instance_id:
            self.belongs_to(instance_id)
        return instance_id in ("", self.instance_id)

    def belongs_to(self, instance_id: str) -> None:
        """Note whose workloads lie here."""
        about = files.read_json(self.root / "agent.json") or {}
        files.write_json(self.root / "agent.json", {**about, "instance_id": instance_id})

    def folder(self, workload_id: str) -> Path:
        """Return the workload's folder. Raise ValueError for a strange id."""
        if not ID.fullmatch(workload_id):
            raise ValueError("a workload's id may hold only letters, digits, dots and dashes")
        return self.workloads / workload_id

    def known(self) -> list[str]:
        """Return the ids of the workloads that have a folder."""
        return sorted(path.name for path in self.workloads.iterdir() if ID.fullmatch(path.name))


def open_home(root: Path, *, fallback_base: Path = users.FALLBACK_BASE) -> Home:
    """Make the home ready and lock it for this process. Raise InUse."""
    isolate = users.can_isolate()
    remark = "" if isolate else "replicas run as the agent's own user: they are not isolated"
    root.mkdir(mode=0o711 if isolate else 0o700, parents=True, exist_ok=True)
    root = root.resolve()
    lock = _lock(root / "lock")
    base = root
    if isolate and not users.is_open_to_all(root / "workloads"):
        try:
            base = _private_base(fallback_base, root)
        except OSError as error:
            isolate, remark = False, f"replicas are not isolated: {fallback_base}: {error.strerror}"
    home = Home(root, base, _home_id(root), isolate, lock, remark)
    home.workloads.mkdir(mode=0o711, exist_ok=True)
    _make_fifo(home.wake)
    build.build(home.program, compiled=True)
    return home


def _lock(path: Path) -> int:
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise InUse(f"another agent works in {path.parent}") from error
    return descriptor


def _private_base(parent: Path, root: Path) -> Path:
    parent.mkdir(mode=0o711, exist_ok=True)
    base = parent / hashlib.sha256(str(root).encode()).hexdigest()[:16]
    base.mkdir(mode=0o711, exist_ok=True)
    for folder in (parent, base):
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            raise PermissionError(1, "belongs to somebody else", str(folder))
    return base


def _home_id(root: Path) -> str:
    about = files.read_json(root / "agent.json") or {}
    if "home_id" not in about:
        about["home_id"] = uuid.uuid4().hex
        files.write_json(root / "agent.json", about)
    return str(about["home_id"])


def _make_fifo(path: Path) -> None:
    if path.exists() and not stat.S_ISFIFO(path.stat().st_mode):
        path.unlink()
    if not path.exists():
        os.mkfifo(str(path), 0o600)


def claim(home: Home) -> None:
    """Note whose base it is, for as long as this process lives and after."""
    if home.base != home.root:
        _lock(home.base / "lock")
        owner = {"root": str(home.root), "home_id": home.home_id}
        files.write_json(home.base / OWNER, owner)


def abandoned(parent: Path = users.FALLBACK_BASE) -> typing.Iterator[Home]:
    """Yield the bases whose home was deleted, perhaps with living replicas."""
    if os.geteuid() != 0 or not parent.is_dir():
        return
    for base in sorted(parent.iterdir()):
        owner = files.read_json(base / OWNER)
        if owner is None:
            continue
        about = files.read_json(Path(owner["root"]) / "agent.json") or {}
        if about.get("home_id") == owner["home_id"]:
            continue
        with contextlib.suppress(InUse):
            yield Home(base, base, owner["home_id"], True, _lock(base / "lock"))


def release(home: Home) -> None:
    """Let go of the lock of a home or an abandoned base."""
    os.close(home.lock)
