"""Which files of a version must not have the time that they were packed with. Pure.

A browser asks a file server for what is newer than its copy. A file whose content differs from what
was served under its name before, by whatever version, therefore needs a later time than all of
those: a rollback, a copied old file and two edits in one second have none. It then has the time of
the deploy. All others keep theirs, and what is the same content keeps the time it was served with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Path to a digest of the content and seconds since 1970.
Files = Mapping[str, tuple[str, int]]
# Above this, all files of the version get the time of the deploy.
MOST_TIMES = 1000
ALL = ""


@dataclass(frozen=True)
class Served:
    """What a version served: its files as they were packed, and the times that they got instead."""

    files: Files
    times: Mapping[str, int] = field(default_factory=dict)

    def time_of(self, path: str) -> int:
        """Return the time that a file of this version has on its replicas."""
        return self.times.get(path, self.times.get(ALL, self.files[path][1]))


@dataclass
class _Before:
    """The latest times of a name: with other content, and with the same."""

    other: int = 0
    same: int = 0


def instead(new: Files, earlier: Iterable[Served], *, at: int) -> dict[str, int]:
    """Return the times of the files that do not keep theirs, by path; ALL is every file."""
    before = _before(new, earlier)
    times = {}
    for path, was in before.items():
        if new[path][1] <= was.other:
            times[path] = was.same if was.same > was.other else max(at, was.other + 1)
    if len(times) <= MOST_TIMES:
        return times
    return {ALL: max(at, *times.values())}


def _before(new: Files, earlier: Iterable[Served]) -> dict[str, _Before]:
    found: dict[str, _Before] = {}
    for version in earlier:
        for path in version.files:
            if path not in new:
                continue
            was, time = found.setdefault(path, _Before()), version.time_of(path)
            if version.files[path][0] == new[path][0]:
                was.same = max(was.same, time)
            else:
                was.other = max(was.other, time)
    return found
