"""The agent: what should be on this host (from the server) against what is, in three loops.

Assignment: a long poll says what should run. Report: what is, at each change and every 10 seconds.
Logs: output lines until they are acknowledged. While the server is away everything keeps running.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import traceback
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.caches.keeper import Caches, User
from apps.agent.config import Config
from apps.agent.docker.shared import TIDY_SECONDS, Containers
from apps.agent.gateways.executor import GatewayProcess
from apps.agent.host import files, hardware, interpreters, ports, pulse, spot_notice, trees, usage
from apps.agent.host.home import Home
from apps.agent.host.journal import say
from apps.agent.isolation import check
from apps.agent.isolation.network import Network
from apps.agent.processes.process import Process
from apps.agent.server.backoff import Backoff
from apps.agent.server.client import Client, Refused, ServerAway
from apps.agent.server.log_shipping import Shipment, send_batch
from apps.agent.server.upload_fetch import Fetching
from apps.agent.tunnels.keeper import Keeper
from apps.agent.workloads import output, record
from apps.agent.workloads.executor import Executor
from apps.agent.workloads.host import Host
from apps.agent.workloads.workload import RECORD, SHUTDOWN_SECONDS, Workload, never_started

VERSION = "0.1.0"
POLL_SECONDS = 20.0
REPORT_SECONDS = 10.0
# The first change is reported at once, those that follow so soon together.
GATHER_SECONDS = 0.03
# After a refusal nothing gets better soon.
REFUSED_SECONDS = 5.0
# Output whose notice got lost is found at least this often.
SHIP_SECONDS = 5.0
# How long the folder of a workload that is not wanted any more waits for its last lines to be sent.
LOG_DRAIN_SECONDS = 60.0
LAST_REPORT_SECONDS = 1.0


class Agent:
    def __init__(
        self,
        *,
        home: Home,
        config: Config,
        max_output_bytes: int = output.DEFAULT_MAX_BYTES,
        network: typing.Optional[Network] = None,
    ) -> None:
        self.home = home
        self._network = network
        self.client = Client(config)
        self.isolation = wire.Isolation()
        self.wrong_instance = False  # the server speaks of another instance than the workloads here
        self.workloads: dict[str, Workload] = {}
        self._shipments: dict[str, Shipment] = {}
        self._leaving: set[str] = set()
        self._refused: dict[str, wire.WorkloadReport] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._again = threading.Condition()
        self._changed = threading.Event()
        self._written = threading.Event()
        self._said = ""
        self._spot = spot_notice.Watch(config.metadata, config.metadata_url)
        self._containers = Containers(home, known=self.workloads, log=say)
        self._caches = Caches(home, users=self._users)
        named = self._containers.image_names
        self._hardware = hardware.Watch(home.base, named, is_wanted=config.is_lent)
        self._tunnels = Keeper(home.root / "ssh", self._address)
        self._revision = -1
        self._host = Host(
            home=home,
            ports=ports.Ports(),
            interpreters=interpreters.Interpreters(os.environ.get("PATH", "")),
            fetch=Fetching(self.client, self._say).fetch,
            max_output_bytes=max_output_bytes,
            caches=self._caches,
        )

    def begin(self) -> None:
        """Take up what runs already and start the loops."""
        self._open_network()
        self.load()
        loops = (self._poll, self._report, self._ship, self._listen, self._look_around)
        more = (self._measure, self._watch_spot, self._watch_hardware, self._mind_caches)
        for loop in (*loops, *more):
            threading.Thread(target=self._keep, args=(loop,), daemon=True).start()

    def _open_network(self) -> None:
        network, self.isolation = check.begin(self.home, self._network, log=say)
        self._host = self._host._replace(network=network)

    def beat(self) -> None:
        """Send a pulse, unless a loop keeps the others from what all of them need."""
        with self._lock:
            pulse.beat()

    def _keep(self, loop: typing.Callable[[], None]) -> None:
        """Run a loop to its end; a mistake of ours must not silence it for good."""
        while not self._closing.is_set():
            try:
                loop()
                return
            except Exception:  # the outermost loop of this thread
                say(traceback.format_exc())
                self._pause(REFUSED_SECONDS)

    def load(self) -> None:
        """Take up the workloads that an earlier agent left on the disk."""
        for workload_id in self.home.known():
            stored = files.read_json(self.home.folder(workload_id) / RECORD) or {}
            try:
                spec = wire.from_json(wire.WorkloadSpec, stored.get("spec"))
            except ValueError:
                # It was never prepared: it begins anew if it is still wanted.
                spec = wire.WorkloadSpec(id=workload_id, name=workload_id, desired="stop")
                if not (self.home.folder(workload_id) / "state.json").exists():
                    trees.remove(self.home.folder(workload_id))
                    continue
            workload = self._made(spec, missing=record.missing(stored.get("spec")))
            if not stored.get("exit") and workload.executor.sight().started_at is None:
                # Its secrets are the server's to say: it begins anew if it is still wanted.
                workload.remove()
                continue
            self._begin(workload)

    def _add(self, spec: wire.WorkloadSpec) -> None:
        try:
            self.home.folder(spec.id)
        except ValueError as error:
            self._refused[spec.id] = never_started(spec.id, str(error))
            return
        self._begin(self._made(spec))

    def _made(
        self, spec: wire.WorkloadSpec, *, missing: typing.AbstractSet[str] = frozenset()
    ) -> Workload:
        folder = self.home.folder(spec.id)
        return Workload(
            spec=spec,
            folder=folder,
            executor=self._executor(spec, folder),
            on_change=self._changed.set,
            forwarded=spec.container_port if spec.executor == "docker" else None,
            missing=missing,
        )

    def _begin(self, workload: Workload) -> None:
        self.workloads[workload.spec.id] = workload
        workload.begin()
        self._shipments[workload.spec.id] = Shipment(workload.spec.id, workload.folder)

    def _executor(self, spec: wire.WorkloadSpec, folder: Path) -> Executor:
        if spec.kind == wire.KIND_GATEWAY:
            return GatewayProcess(spec=spec, folder=folder, host=self._host, client=self.client)
        if spec.executor != "docker":
            return Process(spec=spec, folder=folder, host=self._host)
        return self._containers.executor(
            spec, folder=folder, host=self._host, on_event=lambda: self._heard(spec.id)
        )

    def _heard(self, workload_id: str) -> None:
        workload = self.workloads.get(workload_id)
        if workload is not None:
            workload.wake()
        self._written.set()

    def apply(self, assignment: wire.Assignment) -> None:
        """Make what is into what should be; called again it changes nothing."""
        wanted = {spec.id: spec for spec in assignment.workloads}
        with self._lock:
            self._refused = {i: said for i, said in self._refused.items() if i in wanted}
            for spec in wanted.values():
                self._leaving.discard(spec.id)
                if spec.id in self.workloads:
                    self.workloads[spec.id].update(spec)
                elif spec.id not in self._refused:
                    self._add(spec)
            for workload in list(self.workloads.values()):
                if workload.spec.id not in wanted and workload.spec.id not in self._leaving:
                    self._remove(workload)
        self._tunnels.apply(assignment.tunnels)
        self._caches.apply(assignment.caches)
        self._changed.set()

    def _address(self, workload_id: str) -> typing.Optional[str]:
        workload = self.workloads.get(workload_id)
        return workload.report.address if workload else None

    def _remove(self, workload: Workload) -> None:
        self._leaving.add(workload.spec.id)
        workload.stop(reason=wire.REASON_STOPPED, seconds=workload.spec.stop_seconds)
        threading.Thread(target=self._clean_up, args=(workload,), daemon=True).start()

    def _clean_up(self, workload: Workload) -> None:
        """Remove a workload that nobody wants, once it has ended and its last lines were sent."""
        workload.thread.join()
        shipment = self._shipments[workload.spec.id]
        give_up_at = time.monotonic() + LOG_DRAIN_SECONDS
        # A look that was under way when the last lines came may have missed them: two more.
        enough = shipment.empty_looks + 2
        while shipment.empty_looks < enough and time.monotonic() < give_up_at:
            self._written.set()
            if self._closing.wait(0.1):
                return
        with self._lock:
            if workload.spec.id not in self._leaving or not workload.has_ended:
                return
            self._leaving.discard(workload.spec.id)
            del self.workloads[workload.spec.id], self._shipments[workload.spec.id]
        workload.remove()

    def _poll(self) -> None:
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                # The first time the answer is wanted at once, whatever the revision is.
                assignment = self.client.assignment(
                    since=self._revision, wait_seconds=POLL_SECONDS if self._revision >= 0 else 0
                )
            except (ServerAway, Refused) as error:
                self._trouble(error, backoff)
                # A server that is back wants to hear at once what there is.
                self._changed.set()
                continue
            backoff.reset()
            self._say("connected")
            if not self.home.is_for(assignment.instance_id):
                self.wrong_instance = True
                return
            if assignment.revision != self._revision:
                self._revision = assignment.revision
                self.apply(assignment)

    def _trouble(self, error: Exception, backoff: Backoff) -> None:
        is_refused = isinstance(error, Refused)
        said = str(error) if is_refused else f"the server is away ({error})"
        self._say(f"{said}; everything keeps running, trying again")
        self._pause(REFUSED_SECONDS if is_refused else backoff.next())

    def _pause(self, seconds: float) -> None:
        with self._again:
            if not self._closing.is_set():
                self._again.wait(seconds)

    def connect_anew(self, config: Config) -> None:
        """Go on with another address or token; the workloads stay."""
        self.client.replace(config)
        with self._again:
            self._again.notify_all()

    def _say(self, text: str) -> None:
        """Say it once: repeated it would fill a disk in a long night."""
        with self._lock:
            if text != self._said:
                self._said = text
                say(text)

    def _report(self) -> None:
        backoff, reported_at = Backoff(), -GATHER_SECONDS
        while not self._closing.is_set():
            if self._changed.wait(REPORT_SECONDS):
                time.sleep(max(0.0, reported_at + GATHER_SECONDS - time.monotonic()))
            self._changed.clear()
            reported_at = time.monotonic()
            try:
                report = self.report()
                self.client.report(report)
                self._hardware.told(report.hardware)
                backoff.reset()
            except (ServerAway, Refused) as error:
                self._changed.set()
                self._trouble(error, backoff)

    def report(self, *, stopping: bool = False) -> wire.Report:
        with self._lock:
            reports = [w.report for i, w in self.workloads.items() if i not in self._leaving]
            reports += self._refused.values()
        return wire.Report(
            boot_id=self.home.boot_id,
            agent_version=VERSION,
            hostname=socket.gethostname(),
            workloads=reports,
            stopping=stopping,
            isolation=self.isolation,
            ssh_public_key=self._tunnels.public_key,
            spot_notice=self._spot.ends_at,
            caches=self._caches.report(),
            hardware=self._hardware.news,
        )

    def _mind_caches(self) -> None:
        self._caches.mind(is_over=self._closing.wait)

    def _watch_spot(self) -> None:
        self._spot.watch(tell=self._changed.set, is_over=self._closing.wait)

    def _watch_hardware(self) -> None:
        self._hardware.watch(tell=self._changed.set, is_over=self._closing.wait)

    def _ship(self) -> None:
        backoff = Backoff()
        while not self._closing.is_set():
            self._written.wait(SHIP_SECONDS)
            self._written.clear()
            try:
                while self.ship_once():
                    backoff.reset()
            except (ServerAway, Refused) as error:
                self._written.set()
                self._trouble(error, backoff)

    def ship_once(self) -> bool:
        """Send one batch; False when there was nothing, or nothing was taken."""
        with self._lock:
            shipments = dict(self._shipments)
        return send_batch(shipments, self.client.logs)

    def _measure(self) -> None:
        usage.measure(running=self._running, send=self._send_usage, is_over=self._closing.wait)

    def _living(self) -> list[Workload]:
        with self._lock:
            return [each for each in self.workloads.values() if not each.has_ended]

    def _running(self) -> list[usage.Measured]:
        return [each.measured() for each in self._living()]

    def _users(self) -> list[User]:
        return [User(each.spec, each.end_for_its_disk) for each in self._living()]

    def _send_usage(self, batch: wire.UsageBatch) -> bool:
        """A server of an older version refuses them, one that is away may come back."""
        with contextlib.suppress(ServerAway, Refused):
            self.client.usage(batch)
            return True
        return False

    def _listen(self) -> None:
        """Hear from the shims that something happened, instead of looking all the time."""
        self.home.listen(self._heard, is_over=self._closing.is_set)

    def _look_around(self) -> None:
        """Find the usual Python before the first workload asks for it; then keep house."""
        with contextlib.suppress(interpreters.NotFound):
            self._host.interpreters.find(version=None, for_all=self.home.isolate)
        while True:
            self._containers.tidy()
            if self._host.network is not None:
                self._host.network.let_pass()
            if self._closing.wait(TIDY_SECONDS):
                return

    def shut_down(self, *, tell: bool = True) -> None:
        """Stop every workload, report that and end the loops, in 8 seconds."""
        with self._lock:
            workloads = list(self.workloads.values())
        for workload in workloads:
            workload.stop(
                reason=wire.REASON_HOST_STOPPED,
                seconds=min(workload.spec.stop_seconds, SHUTDOWN_SECONDS),
            )
        give_up_at = time.monotonic() + SHUTDOWN_SECONDS + 0.5
        for workload in workloads:
            workload.thread.join(max(0.0, give_up_at - time.monotonic()))
        self._close()
        self._tunnels.end()
        check.end(self.home)
        if tell:
            with contextlib.suppress(ServerAway, Refused):
                self.client.report(self.report(stopping=True), timeout=LAST_REPORT_SECONDS)

    def _close(self) -> None:
        with self._again:
            self._closing.set()
            self._again.notify_all()
        self._changed.set()
        self._written.set()
        self.home.rouse()

    def wipe(self) -> None:
        """Remove all workloads from the disk, after `shut_down`."""
        for workload in self.workloads.values():
            workload.remove()
        self.workloads.clear()
        self._containers.tidy()
        self._caches.wipe()
