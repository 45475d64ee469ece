"""What this home's agent knows of images that the engine does not: who may run which, which are
ours to remove, and when each was last used. BASE/images.json, by the image's id."""

from __future__ import annotations

import hashlib
import threading
import time
import typing

from apps.agent.docker.pull import NO_LOGIN, Auth
from apps.agent.host import files
from apps.agent.host.home import Home

NAME = "images.json"
# More than any host holds; the oldest are forgotten.
MOST = 1000
# What is kept of a login takes this long to guess, each guess.
ROUNDS = 100_000


class Ledger:
    """Safe to use from several threads. No login is kept, only what tells it from another."""

    def __init__(self, home: Home) -> None:
        self._path = home.base / NAME
        self._salt = home.home_id
        self._lock = threading.RLock()
        self._entries: dict[str, dict[str, typing.Any]] = files.read_json(self._path) or {}

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._entries

    def may(self, image_id: str, auth: Auth) -> bool:
        """Tell whether this login, or anybody, was given the image by its registry."""
        logins = self._entries.get(image_id, {}).get("logins", [])
        return "" in logins or self._key(auth) in logins

    def is_anybodys(self, image_id: str) -> bool:
        """Tell whether nothing is known that keeps the image from anybody."""
        return image_id not in self or "" in self._entries[image_id]["logins"]

    def note(self, image_id: str, auth: Auth, *, names: typing.Iterable[str], ours: bool) -> None:
        """Note that the image was had with a login; `ours`: it was not there before."""
        with self._lock:
            old = self._entries.get(image_id, {"logins": [], "names": [], "ours": False})
            self._entries[image_id] = {
                "logins": sorted({*old["logins"], self._key(auth)}),
                "names": sorted({*old["names"], *names}),
                "ours": old["ours"] or ours,
                "used_at": time.time(),
            }
            for image in self._by_use()[:-MOST]:
                del self._entries[image]
            self._save()

    def used(self, image_ids: typing.Iterable[str]) -> None:
        """Note that images are in use now."""
        with self._lock:
            known = [image_id for image_id in image_ids if image_id in self._entries]
            for image_id in known:
                self._entries[image_id]["used_at"] = time.time()
            if known:
                self._save()

    def forget(self, image_id: str) -> None:
        with self._lock:
            self._entries.pop(image_id, None)
            self._save()

    def ours(self) -> list[str]:
        """Return the images that this agent brought here, the longest unused first."""
        with self._lock:
            return [image for image in self._by_use() if self._entries[image]["ours"]]

    def names(self, image_id: str) -> set[str]:
        return set(self._entries.get(image_id, {}).get("names", []))

    def _by_use(self) -> list[str]:
        return sorted(self._entries, key=lambda image: float(self._entries[image]["used_at"]))

    def _key(self, auth: Auth) -> str:
        if auth == NO_LOGIN:
            return ""
        text = "\0".join((auth[0] or "", auth[1] or ""))
        return hashlib.pbkdf2_hmac("sha256", text.encode(), self._salt.encode(), ROUNDS).hex()

    def _save(self) -> None:
        files.write_json(self._path, self._entries)
