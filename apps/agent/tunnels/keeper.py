"""All tunnels of this host: one link for each port of a gateway.

What a key may forward is settled when a connection is let in, so that another port of the same
machine needs another connection; and none is cut for the sake of another.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.host import ssh_key
from apps.agent.host.journal import say
from apps.agent.tunnels import checks, ssh
from apps.agent.tunnels.link import Link, Resolve


class Keeper:
    """`folder` holds the key and what each link needs; safe to use from several threads."""

    def __init__(self, folder: Path, resolve: Resolve) -> None:
        self.public_key = ""
        self._folder = folder
        self._resolve = resolve
        self._links: dict[str, Link] = {}
        self._lock = threading.Lock()

    def apply(self, wanted: typing.Sequence[wire.Tunnels]) -> None:
        """Keep exactly these tunnels open."""
        usable: dict[str, wire.Tunnels] = {}
        for each in wanted:
            if why := checks.refusal(each):
                say(f"a tunnel is not opened: {why}")
            else:
                usable.update({_name(one): one for one in _single(each)})
        with self._lock:
            if usable and not self.public_key:
                self.public_key = ssh_key.public_key(self._folder)
            for name in self._links.keys() - usable.keys():
                self._links.pop(name).end()
            for name, to in usable.items():
                if name in self._links:
                    self._links[name].change(to)
                elif self.public_key:
                    self._links[name] = self._begin(name, to)
            self._end_forgotten(usable.keys())

    def _begin(self, name: str, to: wire.Tunnels) -> Link:
        link = Link(self._folder / name, ssh.key_file(self._folder), to, self._resolve)
        link.begin()
        return link

    def _end_forgotten(self, wanted: typing.AbstractSet[str]) -> None:
        """End clients that an earlier agent left for gateways that are not wanted any more."""
        for socket in self._folder.glob(f"*/{ssh.SOCKET}"):
            if socket.parent.name not in wanted:
                ssh.Master(socket.parent, ssh.key_file(self._folder)).stop()

    def end(self) -> None:
        """Close all tunnels."""
        with self._lock:
            for link in self._links.values():
                link.end()
            self._links.clear()
            self._end_forgotten(frozenset())


def _single(all_of: wire.Tunnels) -> list[wire.Tunnels]:
    return [dataclasses.replace(all_of, forwards=[each]) for each in all_of.forwards]


def _name(to: wire.Tunnels) -> str:
    """Another address, user or key of a gateway is another connection, as another port is."""
    text = "\n".join((to.host, str(to.port), to.user, to.host_key, str(to.forwards)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
