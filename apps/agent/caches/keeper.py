"""The model files of all projects on this machine: given, measured, cleared in their time."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches import given
from apps.agent.caches.given import ABOUT, CONTAINER_PATH, Given
from apps.agent.host import disk, files, trees
from apps.agent.host.home import Home

LOOK_SECONDS = 10.0
KEY = re.compile(r"[0-9A-Za-z-]{1,64}")
# How a folder is called that is being removed: no key has a dot.
GONE = "gone."
MIB = 2**20
NOT_ROOT = "model files are not kept for containers, because the agent is not root"


class User(typing.NamedTuple):
    """A replica that lives; `end` ends it for a reason."""

    spec: wire.WorkloadSpec
    end: typing.Callable[[str], None]


class Caches:
    """Safe to use from several threads. A replica is known to `users` before it is given one."""

    def __init__(self, home: Home, *, users: typing.Callable[[], typing.Sequence[User]]) -> None:
        self._home = home
        self._users = users
        # Until the server says them, nothing is removed and nobody ended.
        self._rules = wire.CacheRules(is_bounded=False)
        self._sizes: dict[str, disk.Folder] = {}
        self._without: set[str] = set()  # replicas that got none, because there was too much
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        return self._home.base / "caches"

    def apply(self, rules: wire.CacheRules) -> None:
        """Take over what the server says of them."""
        self._rules = rules

    def give(self, spec: wire.WorkloadSpec, remarks: list[str]) -> typing.Optional[Given]:
        """Return what a replica gets; None where it gets none, with a remark if that is news."""
        if not KEY.fullmatch(spec.cache) or _is_covered(spec):
            return None
        if spec.executor == "docker" and not self._home.isolate:
            # What root in a container writes, only root can remove.
            remarks.append(NOT_ROOT)
            return None
        with self._lock:
            self._without.discard(spec.id)
            if why := self._over(spec.cache):
                self._without.add(spec.id)
                remarks.append(f"{why}: this replica goes without it until it is emptied")
                return None
            try:
                taken = [about["group"] for _, about in self._all() if about.get("group")]
                return given.give(self.folder / spec.cache, spec, self._home, taken)
            except OSError as error:
                remarks.append(f"model files are not kept: {error.strerror}: {error.filename}")
                return None

    def report(self) -> list[wire.CacheReport]:
        """Return what there is, as it was found at the last look."""
        with self._lock:
            return [
                wire.CacheReport(
                    id=str(about["id"]),
                    key=key,
                    bytes=self._sizes[key].size if key in self._sizes else None,
                    used_at=files.rfc3339(about["used_at"]),
                )
                for key, about in self._all()
            ]

    def mind(self, *, is_over: typing.Callable[[float], bool]) -> None:
        """Look again and again until `is_over`, which waits for the seconds that it is given."""
        while not is_over(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Measure them, end replicas whose project keeps too much, remove what is not wanted."""
        with self._lock:
            using = self._using()
            for key, about in self._all():
                self._measure(key)
                if key in using:
                    self._note_use(key, about)
                    if why := self._over(key):
                        for user in using[key]:
                            user.end(f"{why}, and its replicas here were ended")
                elif self._is_unwanted(key, about):
                    self._set_aside(key, about)
        # It may take minutes, and nobody waits for it.
        for gone in self.folder.glob(f"{GONE}*"):
            trees.remove(gone)

    def _using(self) -> dict[str, list[User]]:
        users = self._users()
        self._without &= {user.spec.id for user in users}
        using: dict[str, list[User]] = {}
        for user in users:
            if user.spec.id not in self._without:
                using.setdefault(user.spec.cache, []).append(user)
        return using

    def _set_aside(self, key: str, about: dict[str, typing.Any]) -> None:
        with contextlib.suppress(OSError):
            (self.folder / key).rename(self.folder / f"{GONE}{about['id']}")
            self._sizes.pop(key, None)

    def wipe(self) -> None:
        """Remove all: they were another server's, or nobody's."""
        with self._lock:
            trees.remove(self.folder)

    def _all(self) -> list[tuple[str, dict[str, typing.Any]]]:
        try:
            names = sorted(each.name for each in self.folder.iterdir())
        except OSError:
            return []
        found = [
            (key, files.read_json(self.folder / key / ABOUT) or {})
            for key in names
            if KEY.fullmatch(key)
        ]
        return [(key, about) for key, about in found if "id" in about]

    def _measure(self, key: str) -> None:
        if key not in self._sizes:
            self._sizes[key] = disk.Folder(self.folder / key, limit=self._limit(key))
        self._sizes[key].limit = self._limit(key)
        self._sizes[key].look(time.monotonic())

    def _limit(self, key: str) -> typing.Optional[int]:
        mib = self._rules.limit_mib
        if not self._rules.is_bounded:
            return None
        return disk.share(self.folder / key) if mib is None else mib * MIB

    def _over(self, key: str) -> str:
        """Why a project keeps too much, in words; "" while it does not."""
        found = self._sizes.get(key)
        if found is None or not found.over:
            return ""
        assert found.size is not None and found.limit is not None
        size, limit = (disk.in_words(each // MIB) for each in (found.size, found.limit))
        return f"the model files of its project on this machine take {size}, and may take {limit}"

    def _note_use(self, key: str, about: dict[str, typing.Any]) -> None:
        # A full disk is no reason to let those be who fill it.
        with contextlib.suppress(OSError):
            files.write_json(self.folder / key / ABOUT, {**about, "used_at": time.time()})

    def _is_unwanted(self, key: str, about: dict[str, typing.Any]) -> bool:
        """Whether it was to be cleared, was too large, or nobody has used it for long."""
        if about["id"] in self._rules.clear or self._over(key):
            return True
        keep = self._rules.keep_seconds
        unused = time.time() - about["used_at"]
        # A clock that was ahead then tells nothing.
        if unused < 0:
            self._note_use(key, about)
        return keep is not None and unused > keep


def _is_covered(spec: wire.WorkloadSpec) -> bool:
    """Whether the person has put a folder of their own there."""
    places = [f"{each.path.rstrip('/')}/" for each in spec.mounts if spec.executor == "docker"]
    return any(f"{CONTAINER_PATH}/".startswith(place) for place in places)
