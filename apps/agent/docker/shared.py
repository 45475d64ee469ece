"""This host's container engine as all workloads of one home share it, and keeping it tidy."""

from __future__ import annotations

import contextlib
import json
import os
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.docker.container import Docker, Shared
from apps.agent.docker.create import BASE_LABEL, HOME_LABEL, WORKLOAD_LABEL
from apps.agent.docker.engine import Engine, EngineAway, EngineRefused
from apps.agent.docker.images import Images
from apps.agent.docker.networks import Networks
from apps.agent.host.home import Home
from apps.agent.workloads.host import Host

TIDY_SECONDS = 60.0
MOST_IMAGES, LONGEST_NAME = 500, 600
# How full the engine's disk may be before images that nobody uses are removed; 100 is never.
PERCENT, DEFAULT_PERCENT = "DSTACK_IMAGES_DISK_PERCENT", 85.0
Log = typing.Callable[[str], None]


class Containers:
    """`known` holds the ids of the workloads that there are."""

    def __init__(self, home: Home, *, known: typing.Container[str], log: Log) -> None:
        self._home = home
        self._known = known
        self._log = log
        self.engine = Engine()
        self.networks = Networks(self.engine, home)
        percent = most_disk_percent(os.environ.get(PERCENT, ""))
        self.images = Images(self.engine, home, log=log, most_disk_percent=percent)

    def executor(
        self,
        spec: wire.WorkloadSpec,
        *,
        folder: Path,
        host: Host,
        on_event: typing.Callable[[], None],
    ) -> Docker:
        return Docker(
            spec=spec,
            folder=folder,
            host=host,
            shared=Shared(self.engine, self.networks, self.images),
            on_event=on_event,
        )

    def image_names(self) -> typing.Optional[list[str]]:
        """Return the names of the images that the engine has, None where none answers."""
        try:
            listed = self.engine.call("GET", "/images/json")
        except (EngineAway, EngineRefused):
            return None
        keys = ("RepoTags", "RepoDigests")
        names = {name for image in listed for key in keys for name in image.get(key) or ()}
        named = (name for name in names if not name.startswith("<none>"))
        return sorted(name for name in named if len(name) <= LONGEST_NAME)[:MOST_IMAGES]

    def tidy(self) -> None:
        """Remove what nobody knows or needs; without an engine there is nothing to do."""
        with contextlib.suppress(EngineAway, EngineRefused):
            self._sweep()
            self.networks.sweep()
            self.images.tidy()

    def _sweep(self) -> None:
        """Remove this home's containers that belong to no known workload."""
        filters = json.dumps({"label": [f"{BASE_LABEL}={self._home.base}"]})
        listed = self.engine.call("GET", "/containers/json", query={"all": 1, "filters": filters})
        for container in listed:
            labels = container["Labels"]
            name = labels[WORKLOAD_LABEL]
            if labels.get(HOME_LABEL) == self._home.home_id and name in self._known:
                continue
            path = f"/containers/{container['Id']}"
            self.engine.call("DELETE", path, query={"force": 1, "v": 1})
            self._log(f"removed the container of {name}, which nobody knows")


def most_disk_percent(text: str) -> float:
    """Read the setting; what is no share of a disk counts as not set."""
    try:
        percent = float(text)
    except ValueError:
        return DEFAULT_PERCENT
    return percent if 0 <= percent <= 100 else DEFAULT_PERCENT
