"""Which files of an archive that a browser sent belong to the upload: what the command line packs.

The usual rest (`core.ignoring`) stays out, and what .dstackignore files in it say. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apps.core.archive.ignore import DSTACKIGNORE, Level, is_ignored, is_left_out, level_of

Parts = tuple[str, ...]


@dataclass
class Choice:
    """Decides path by path; `left_out` are the folders and files that the usual rest names.

    `rules` are the texts of .dstackignore files by the folder that each lies in.
    """

    rules: Mapping[Parts, bytes]
    left_out: set[str] = field(default_factory=set)
    _levels: dict[Parts, list[Level]] = field(default_factory=dict)
    _kept: dict[tuple[Parts, bool], bool] = field(default_factory=dict)

    def keeps(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether a path is packed: nothing leaves out it or a folder that it lies in."""
        parts = tuple(path.split("/"))
        above = (parts[:count] for count in range(1, len(parts)))
        return all(self._is_kept(one, True) for one in above) and self._is_kept(parts, is_folder)

    def _is_kept(self, parts: Parts, is_folder: bool) -> bool:
        key = (parts, is_folder)
        if key not in self._kept:
            self._kept[key] = self._decide(parts, is_folder)
        return self._kept[key]

    def _decide(self, parts: Parts, is_folder: bool) -> bool:
        levels = self._levels_of(parts[:-1])
        if is_left_out(levels, parts, is_folder=is_folder):
            self.left_out.add("/".join(parts))
            return False
        return not is_ignored(levels, parts, is_folder=is_folder)

    def _levels_of(self, folder: Parts) -> list[Level]:
        if folder not in self._levels:
            outer = self._levels_of(folder[:-1]) if folder else []
            text = self.rules.get(folder, b"")
            own = level_of({DSTACKIGNORE: text}, depth=len(folder)) if text else None
            self._levels[folder] = [*outer, own] if own else outer
        return self._levels[folder]


def rule_files(paths: Iterable[str]) -> dict[Parts, str]:
    """Return the .dstackignore files among paths, by the folder that each lies in."""
    split: Sequence[tuple[str, Parts]] = [(path, tuple(path.split("/"))) for path in paths]
    return {parts[:-1]: path for path, parts in split if parts[-1] == DSTACKIGNORE}
