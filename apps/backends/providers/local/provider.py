"""The provider of this machine as a backend.

The agent of this host is started and kept by the supervisor; it does nothing until it finds its
configuration. So `create` writes that file and `terminate` removes it, upon which the agent stops
all it runs. There is one machine, shared by all replicas.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from apps.backends import base
from apps.backends.providers.local import host
from apps.core.stores import atomic_write

# Long enough that a page does not ask the engine at each keystroke, short enough that an engine
# that was just started is seen at the next plan.
FACTS_SECONDS = 5.0


class LocalConfig(base.Config):
    """`boot_path` is where the supervised agent looks for its configuration."""

    boot_path: Path
    url: str = Field(description="Where the agent reaches this server")
    authority: str = Field("", description="Certificates by which it knows it, if not any")


class LocalProvider(base.Provider):
    kind = "local"
    Config = LocalConfig
    features = frozenset({base.Feature.STANDING})
    _facts: ClassVar[tuple[float, list[base.Offer]] | None] = None

    def check(self) -> list[base.Problem]:
        folder = self.config.boot_path.parent
        if folder.is_dir():
            return []
        question = "is the agent of this machine started by `manage.py up`?"
        return [base.Problem(f"The folder {folder} is missing: {question}")]

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
        said = self.config.boot_path.with_name("isolation.json")
        return [
            base.Offer(
                backend=self.kind,
                kind=self.kind,
                region="local",
                instance=socket.gethostname(),
                hardware=hardware,
                price_usd_per_hour=0.0,
                shared=True,
                executors=("process",) if images is None else ("docker", "process"),
                pythons=pythons,
                images=tuple(images or ()),
                shells=tuple(host.shells()),
                isolation=host.isolation(said),
                unbounded=host.unbounded(said),
            )
            for hardware in host.hardware(disk_of=self.config.boot_path.parent)
        ]

    def create(self, spec: base.InstanceSpec) -> str:
        for problem in self.check():
            # The supervisor may still be making it.
            raise base.ProviderError(problem.message, kind=base.ErrorKind.UNREACHABLE)
        boot = spec.boot
        content = {"url": self.config.url, "token": boot.token, "instance_id": boot.instance_id}
        content |= {"authority": self.config.authority} if self.config.authority else {}
        atomic_write.write_text(self.config.boot_path, json.dumps(content))
        return boot.instance_id

    def inspect(self, ref: str) -> base.InstanceStatus:
        if self._owner() != ref:
            return base.InstanceStatus(base.InstanceState.GONE)
        return base.InstanceStatus(base.InstanceState.RUNNING, address="127.0.0.1")

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        owner = self._owner()
        return [base.OwnedInstance(ref=owner, name=f"dstack-{owner}")] if owner else []

    def terminate(self, ref: str) -> None:
        if self._owner() == ref:
            self.config.boot_path.unlink(missing_ok=True)

    def _owner(self) -> str | None:
        try:
            content: dict[str, Any] = json.loads(self.config.boot_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return content.get("instance_id")
