"""This machine as a backend.

The agent of this host is started and kept by the supervisor; it does nothing until it finds its
configuration. So `create` writes that file and `terminate` removes it, upon which the agent stops
all it runs. There is one machine, shared by all replicas.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from apps.backends import base
from apps.backends.providers.local import host

# Long enough that a page does not ask the engine at each keystroke, short enough that an engine
# that was just started is seen at the next plan.
FACTS_SECONDS = 5.0


class LocalConfig(base.Config):
    """`boot_path` is where the supervised agent looks for its configuration."""

    boot_path: Path
    url: str = Field(description="Where the agent reaches this server")


class LocalBackend(base.Backend):
    kind = "local"
    Config = LocalConfig
    _facts: ClassVar[tuple[float, list[base.Offer]] | None] = None

    def check(self) -> None:
        if not self.config.boot_path.parent.is_dir():
            raise base.BackendUnreachable(
                f"The folder {self.config.boot_path.parent} is missing: is the agent of this "
                "machine started by `manage.py up`?"
            )

    def offers(self) -> list[base.Offer]:
        now = time.monotonic()
        known = type(self)._facts
        if known is None or now - known[0] > FACTS_SECONDS:
            known = (now, self._offers())
            type(self)._facts = known
        return list(known[1])

    def _offers(self) -> list[base.Offer]:
        """One for each kind of GPUs that the host has; all of them are the same machine."""
        images = host.images()
        pythons = tuple(host.pythons())
        isolation = host.isolation(self.config.boot_path.with_name("isolation.json"))
        return [
            base.Offer(
                backend=self.kind,
                region="local",
                instance=socket.gethostname(),
                hardware=hardware,
                price_usd_per_hour=0.0,
                shared=True,
                executors=("process",) if images is None else ("docker", "process"),
                pythons=pythons,
                images=tuple(images or ()),
                shells=tuple(host.shells()),
                isolation=isolation,
            )
            for hardware in host.hardware(disk_of=self.config.boot_path.parent)
        ]

    def create(self, offer: base.Offer, boot: base.Boot) -> str:
        self.check()
        content = {"url": self.config.url, "token": boot.token, "instance_id": boot.instance_id}
        fresh = self.config.boot_path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        fresh.replace(self.config.boot_path)
        return boot.instance_id

    def inspect(self, ref: str) -> base.Sighting | None:
        return base.Sighting(alive=True, address="127.0.0.1") if self._owner() == ref else None

    def list_owned(self) -> list[base.Owned]:
        owner = self._owner()
        return [base.Owned(ref=owner, name=f"dstack-{owner}")] if owner else []

    def terminate(self, ref: str) -> None:
        if self._owner() == ref:
            self.config.boot_path.unlink(missing_ok=True)

    def _owner(self) -> str | None:
        try:
            content: dict[str, Any] = json.loads(self.config.boot_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return content.get("instance_id")
