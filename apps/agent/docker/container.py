"""Runs a workload as a container of the engine on this host.

The container is named after the workload and labelled with it, so it is found again after anything;
FOLDER/docker.json keeps what the engine does not. Its output is followed into FOLDER/output. Its
port is published on 127.0.0.1, on a port that the engine picks, so replicas never collide.
"""

from __future__ import annotations

import signal
import threading
import time
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches.given import Given
from apps.agent.docker import end, listening, stats
from apps.agent.docker.create import description, furnish
from apps.agent.docker.engine import Engine, EngineAway, EngineRefused, plain
from apps.agent.docker.files import packed
from apps.agent.docker.images import Image, Images
from apps.agent.docker.networks import Networks
from apps.agent.docker.output import Follower
from apps.agent.docker.working_folder import UPLOAD_FOLDER
from apps.agent.host import files, procs, trees, usage
from apps.agent.workloads import mounts
from apps.agent.workloads.executor import (
    Check,
    End,
    EngineMissing,
    Place,
    PrepareFailed,
    Say,
    Sighting,
)
from apps.agent.workloads.host import Host, unpack_upload

FACTS = "docker.json"
# Between attempts while the engine is away: it may be restarting.
PAUSE_SECONDS = 0.5
# Before a stream that ended is opened again.
REREAD_SECONDS = 0.05
# The engine may keep the output stream open a moment longer than the container lives.
LAST_OUTPUT_SECONDS = 10.0
# How long a workload that has no container yet waits for an engine that may be restarting.
PATIENCE_SECONDS = 15.0
ATTEMPTS = 3
# As where the agent is a container itself that was given its host's engine.
ELSEWHERE = "model files are not kept: the container engine does not see this agent's folders"


class Shared(typing.NamedTuple):
    """What all containers of one home use."""

    engine: Engine
    networks: Networks
    images: Images


class Docker:
    def __init__(
        self,
        *,
        spec: wire.WorkloadSpec,
        folder: Path,
        host: Host,
        shared: Shared,
        on_event: typing.Callable[[], None],
    ) -> None:
        self.spec = spec
        self.folder = folder
        self.host = host
        self.engine, self.networks, self.images = shared
        self.on_event = on_event
        self.output = folder / "output"
        self.work = folder / "work"  # the upload, until it is in the container
        self.name = f"dstack-{spec.id}"
        self.facts = files.read_json(folder / FACTS) or {}
        if "container" in self.facts:
            self.networks.keep(spec)
        self.outage = end.Outage()
        self._end: typing.Optional[End] = None
        self._address: typing.Optional[str] = None
        self._adopted = False
        self._asked = False
        self._output_done = threading.Event()
        self._noting = threading.Lock()

    def prepare(self, *, say: Say, check: Check) -> list[str]:
        for attempt in range(ATTEMPTS):
            try:
                return self._prepare(say, check)
            except EngineAway as error:
                if attempt + 1 == ATTEMPTS:
                    raise EngineMissing(str(error)) from error
                self._await_engine(say, check)
            except EngineRefused as error:
                raise PrepareFailed(
                    f"the container engine refused: {plain(str(error), self.spec)}"
                ) from error
        raise AssertionError("the last attempt returns or raises")

    def _prepare(self, say: Say, check: Check) -> list[str]:
        image = self.images.have(self.spec, say=say, check=check)
        self._note(image_pin=image.pin)
        self.remove()
        trees.remove(self.work)
        if self.spec.upload_hash is not None:
            self.work.mkdir(mode=0o700)
            unpack_upload(self.host, self.spec, self.work, say=say, check=check)
        say("creating container")
        remarks = list(image.remarks)
        mounted = mounts.folders(self.spec, self.host.home, remarks)
        cache = self.host.caches.give(self.spec, remarks)
        try:
            self._create(image, mounted, cache)
        except EngineRefused as error:
            if cache is None or cache.folder not in str(error):
                raise
            remarks.append(ELSEWHERE)
            self._create(image, mounted, None)
        return remarks

    def _await_engine(self, say: Say, check: Check) -> None:
        say(wire.PHASE_ENGINE_AWAY)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            check()
            try:
                self.engine.call("GET", "/version")
                return
            except (EngineAway, EngineRefused) as error:
                if time.monotonic() > give_up_at:
                    raise EngineMissing(str(error)) from error
            time.sleep(PAUSE_SECONDS)

    def _note(self, **facts: typing.Any) -> None:
        with self._noting:
            self.facts = {**self.facts, **facts}
            files.write_json(self.folder / FACTS, self.facts)

    def _create(
        self, image: Image, mounted: list[mounts.Mount], cache: typing.Optional[Given]
    ) -> None:
        config = image.known.get("Config") or {}
        body = description(
            self.spec,
            home=self.host.home,
            image=config,
            upload=self.work if self.work.is_dir() else None,
            has_init=self.engine.has_init(),
            network=self.networks.join(self.spec),
        )
        furnish(body, mounted, cache)
        named = self.images.inspect(self.spec.image or "")
        if named is None or named["Id"] != image.known["Id"]:
            body["Image"] = image.known["Id"]  # the name means another one by now
        made = self.engine.call("POST", "/containers/create", query={"name": self.name}, body=body)
        self._note(container=made["Id"])
        if self.work.is_dir():
            owner = self.spec.user or config.get("User") or ""
            data = packed(self.work, name=UPLOAD_FOLDER.lstrip("/"), owner=owner)
            path = f"/containers/{made['Id']}/archive"
            self.engine.send(path, query={"path": "/"}, data=data)
            trees.remove(self.work)

    def start(self) -> None:
        self._note(boot_id=procs.boot_id(), started_at=time.time())
        try:
            self.engine.start(self.facts["container"])
        except (EngineAway, EngineRefused) as error:
            self._note(started_at=None)
            self.remove()
            if isinstance(error, EngineAway):
                raise EngineMissing(str(error)) from error
            said = plain(str(error), self.spec)
            raise PrepareFailed(f"the container did not start: {said}") from error

    def adopt(self) -> None:
        self._adopted = True
        for work in (self._follow, self._await_end):
            name = f"{self.spec.id}-{work.__name__}"
            threading.Thread(target=work, name=name, daemon=True).start()

    def sight(self) -> Sighting:
        started_at = self.facts.get("started_at")
        if started_at is None:
            return Sighting()
        if not self._adopted and not self._was_started():
            return Sighting()
        return Sighting(started_at, self.facts.get("pid"), self._end)

    def _was_started(self) -> bool:
        """An agent may have died between noting the start and starting: then nothing ran yet."""
        try:
            return bool(self._inspect()["State"]["Status"] != "created")
        except (EngineAway, EngineRefused):
            return True

    def _inspect(self) -> dict[str, typing.Any]:
        path = f"/containers/{self.facts['container']}/json"
        found: dict[str, typing.Any] = self.engine.call("GET", path)
        return found

    def place(self) -> Place:
        if self._address is None:
            self._address = self._published()
        return Place(address=self._address)

    def renew(self, spec: wire.WorkloadSpec) -> None:
        """There is nothing that could change while it runs."""

    def image_pin(self) -> str:
        return str(self.facts.get("image_pin") or "")

    def listens(self) -> bool:
        pid = self.facts.get("pid")
        return pid is not None and listening.is_seen(pid, self.spec.container_port)

    def why_not_reached(self) -> str:
        if self.outage.is_felt:
            return f"{wire.PHASE_ENGINE_AWAY}: none answers at {self.engine.address}"
        pid = self.facts.get("pid")
        port = self.spec.container_port
        return listening.why_not_reached(pid, port) if pid is not None else ""

    def is_cut_off(self) -> bool:
        return self.outage.is_felt

    def _published(self) -> typing.Optional[str]:
        try:
            about = self._inspect()
        except (EngineAway, EngineRefused):
            return None
        if "pid" not in self.facts and about["State"].get("Pid"):
            self._note(pid=about["State"]["Pid"])
        ports = about["NetworkSettings"]["Ports"] or {}
        published = ports.get(f"{self.spec.container_port}/tcp") or []
        return f"127.0.0.1:{published[0]['HostPort']}" if published else None

    def _follow(self) -> None:
        """Write the output down until the container has ended, also through engine restarts."""
        while not self._output_done.is_set():
            try:
                follow = self._is_running()
                self._read_output(follow=follow)
                # The stream may end before the last lines are in it: they are read once more.
                if not follow:
                    break
                self._output_done.wait(REREAD_SECONDS)
            except EngineAway:
                self._output_done.wait(PAUSE_SECONDS)
            except EngineRefused:
                break
        self._output_done.set()

    def _read_output(self, *, follow: bool) -> None:
        follower = Follower(self.output, max_bytes=self.host.max_output_bytes)
        query = {"follow": int(follow), "stdout": 1, "stderr": 1, "timestamps": 1}
        path = f"/containers/{self.facts['container']}/logs"
        try:
            with self.engine.stream(
                "GET", path, query={**query, "since": follower.since}
            ) as pieces:
                for piece in pieces:
                    if follower.feed(piece):
                        self.on_event()
        finally:
            follower.close()

    def _is_running(self) -> bool:
        try:
            return bool(self._inspect()["State"]["Running"])
        except EngineRefused:
            return False

    def _await_end(self) -> None:
        """Wait for the container's end, then for its last output; then it counts as ended."""
        about = None
        while about is None:
            try:
                self._wait()
                about = self._inspect()
                # One that is being stopped may still have answered this.
                self.engine.call("GET", "/version")
            except EngineAway:
                self._cut_off()
            except EngineRefused as error:
                if error.status == 404:
                    break
                time.sleep(PAUSE_SECONDS)
        self._output_done.wait(LAST_OUTPUT_SECONDS)
        self._output_done.set()
        self._end = self._gone() if about is None else self._ended(about["State"])
        self.on_event()

    def _cut_off(self) -> None:
        """Wait until the engine answers again; whoever probes hears of it at once."""
        self.outage.begins()
        self.on_event()
        while True:
            time.sleep(PAUSE_SECONDS)
            try:
                self.engine.call("GET", "/version")
                break
            except (EngineAway, EngineRefused):
                continue
        self.outage.ends()
        self._address = None

    def _ended(self, state: dict[str, typing.Any]) -> End:
        limit = self.spec.memory_limit_mib
        return end.ended(state, self.facts, self.outage, memory_limit_mib=limit)

    def _wait(self) -> None:
        path = f"/containers/{self.facts['container']}/wait"
        with self.engine.stream("POST", path, query={"condition": "not-running"}) as pieces:
            for _ in pieces:
                pass

    def _gone(self) -> End:
        text = "its container was removed by somebody else"
        return End(None, wire.REASON_HOST_STOPPED, text, time.time())

    def usage(self, table: procs.Table) -> typing.Optional[usage.Used]:
        """The engine's own counters; `table` is not needed."""
        path, once = f"/containers/{self.name}/stats", {"stream": "false", "one-shot": "true"}
        try:
            return stats.used(self.engine.call("GET", path, query=once))
        except (EngineAway, EngineRefused, ValueError):
            return None

    def stop(self, *, seconds: float) -> None:
        if "stop_began_at" not in self.facts:
            self._note(stop_began_at=time.time())
        # Once is enough: to many programs a second one says not to finish what they do.
        name, self._asked = ("" if self._asked else self._stop_signal()), True
        threading.Thread(target=self._stop, args=(seconds, name), daemon=True).start()

    def _stop(self, seconds: float, name: str) -> None:
        path = f"/containers/{self.facts['container']}/kill"
        give_up_at = time.monotonic() + seconds
        while self._end is None:
            left = give_up_at - time.monotonic()
            if left <= 0:
                self._note(killed=True)
            try:
                number = "SIGKILL" if left <= 0 or self._is_lost(name) else name
                if number:
                    self.engine.call("POST", path, query={"signal": number})
                if left <= 0:
                    return
            except EngineRefused:
                return  # it is not running (409) or gone (404)
            except EngineAway:
                time.sleep(PAUSE_SECONDS)
                continue
            self._sleep_until(give_up_at)

    def _is_lost(self, name: str) -> bool:
        """Whether the first process would never hear of the signal: then it is ended at once."""
        number = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
        if number is None:
            return False
        pid = int(self._inspect()["State"].get("Pid") or 0)
        return pid > 0 and procs.loses_signal(pid, int(number))

    def _sleep_until(self, give_up_at: float) -> None:
        while self._end is None and time.monotonic() < give_up_at:
            time.sleep(min(0.2, max(0.0, give_up_at - time.monotonic())))

    def _stop_signal(self) -> str:
        if self.spec.commands:
            return "SIGTERM"  # the image's own signal is for the image's own command
        try:
            return str(self._inspect()["Config"].get("StopSignal") or "SIGTERM")
        except (EngineAway, EngineRefused):
            return "SIGTERM"

    def release(self) -> None:
        self.remove()

    def remove(self) -> None:
        try:
            self.engine.call("DELETE", f"/containers/{self.name}", query={"force": 1, "v": 1})
        except EngineAway:
            pass  # it is swept when the engine is back, by its label
        except EngineRefused as error:
            if error.status not in (404, 409):
                raise
        self.networks.leave(self.spec)
        self.images.leave(self.spec.id)
        trees.remove(self.work)
