"""One workload's life: prepare, start, probe, watch, end. One thread each.

What must survive `kill -9` of the agent stands in FOLDER/record.json and in the executor's own
files; a thread that starts anew looks there first and goes on from what it finds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import time
import traceback
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.host import disk, files, trees, usage
from apps.agent.workloads import output, probe, record
from apps.agent.workloads.executor import Cancelled, End, Executor, Place, PrepareFailed

RECORD = "record.json"
LAST_LINES = 20
LINE_CHARACTERS = 4000
# A host that goes down waits this long for its workloads.
SHUTDOWN_SECONDS = 7.0
# What fills the disk goes on doing so until it ends.
DISK_STOP_SECONDS = 3.0
# A shim that was killed tells nobody: look at least this often.
LOOK_SECONDS = 5.0
# How long output that speaks of a taken port may be about something that passes.
TAKEN_SECONDS = 3.0
# How long a command that never names PORT may take to listen while its port is another's.
SILENT_SECONDS = 60.0
ADDRESS_IN_USE = re.compile(
    r"address already in use|EADDRINUSE|errno 98|port \S+ is (already )?in use", re.I
)


class Workload:
    def __init__(
        self,
        *,
        spec: wire.WorkloadSpec,
        folder: Path,
        executor: Executor,
        on_change: typing.Callable[[], None],
        forwarded: typing.Optional[int] = None,
        missing: typing.AbstractSet[str] = frozenset(),
    ) -> None:
        self.spec = spec
        self.missing = missing  # fields of the spec, until the server says them
        self.folder = folder
        self.executor = executor
        self.on_change = on_change
        self.record: dict[str, typing.Any] = files.read_json(folder / RECORD) or {}
        self.report = wire.WorkloadReport(id=spec.id)
        self.forwarded = forwarded
        self.probes = probe.Probes(spec.probes, forwarded, spec.container_port)
        self.thread = threading.Thread(target=self._run, name=spec.id, daemon=True)
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._noting = threading.Lock()
        self._abandoned = False
        self._running = False
        self._stop_seconds: typing.Optional[float] = None
        self._taken_since: typing.Optional[float] = None
        self._checked_at = 0.0

    @property
    def has_ended(self) -> bool:
        return self.report.state == wire.EXITED

    def begin(self) -> None:
        self.folder.mkdir(mode=0o711, exist_ok=True)
        self.thread.start()

    def wake(self) -> None:
        self._woken.set()

    def update(self, spec: wire.WorkloadSpec) -> None:
        """Take over what the server wants now: only stopping can be new, or what was cut."""
        if self.missing:
            self._complete(spec)
        self.spec = dataclasses.replace(
            self.spec, desired=spec.desired, stop_seconds=spec.stop_seconds
        )
        if spec.desired == "stop":
            self.stop(reason=wire.REASON_STOPPED, seconds=spec.stop_seconds)
        else:
            self.executor.renew(spec)

    def _complete(self, spec: wire.WorkloadSpec) -> None:
        self.spec = record.whole_again(self.spec, spec, self.missing)
        if "probes" in self.missing:
            self.probes = probe.Probes(spec.probes, self.forwarded, spec.container_port)
        self.missing = frozenset()
        self.wake()

    def stop(self, *, reason: str, seconds: float) -> None:
        """Begin to stop it; asked again, the shorter time counts."""
        with self._lock:
            if self.has_ended or self._stop_seconds is not None and self._stop_seconds <= seconds:
                return
            self._stop_seconds = seconds
            self._note(stop_reason=self.record.get("stop_reason") or reason)
            if self._running:
                self.executor.stop(seconds=seconds)
        self.wake()

    def measured(self) -> usage.Measured:
        """Return what is measured of it, and what ends it when it takes too much of the disk."""
        limit = disk.bound(self.spec, self.folder, setting=os.environ.get(disk.SETTING, ""))
        return usage.Measured(
            self.spec, self.folder, self.executor.usage, limit, self.end_for_its_disk
        )

    def end_for_its_disk(self, why: str) -> None:
        """End it, because it or its project has too much there."""
        if "stop_reason" not in self.record:
            self._note(stop_message=why)
            self.stop(reason=wire.REASON_OVER_BOUND, seconds=DISK_STOP_SECONDS)

    def abandon(self) -> None:
        """End the thread and leave everything as it is."""
        self._abandoned = True
        self.wake()

    def _run(self) -> None:
        try:
            self._live()
        except Exception:  # the outermost loop of this thread: the person must see it
            text = traceback.format_exc().strip().splitlines()[-1]
            self._end(
                End(None, wire.REASON_PREPARE_FAILED, f"the agent failed: {text}", time.time())
            )
            raise

    def _live(self) -> None:
        if self.record.get("exit"):
            self._say_exit()
            self.executor.release()
            return
        if not self.executor.sight().started_at and not self._prepared():
            return
        self.executor.adopt()
        with self._lock:
            self._running = True
            if self.record.get("stop_reason") == wire.REASON_HOST_STOPPED:
                # An earlier agent was told to stop everything and did not get that far.
                self._stop_seconds = SHUTDOWN_SECONDS
            if self._stop_seconds is not None:
                self.executor.stop(seconds=self._stop_seconds)
        self._watch()

    def _prepared(self) -> bool:
        """Prepare and start; False when that was the end."""
        try:
            self._check()
            self._note(spec=record.kept(self.spec))
            self._change(state=wire.PULLING)
            remarks = self.executor.prepare(say=self._say, check=self._check)
            self._remark(remarks)
            self._say("starting")
            self._check()
            self.executor.start()
        except Cancelled:
            if not self._abandoned:
                self._end(self._cancelled())
            return False
        except PrepareFailed as error:
            self._end(End(None, error.reason, str(error), time.time()))
            return False
        return True

    def _check(self) -> None:
        if self._abandoned or self.record.get("stop_reason") or self.spec.desired == "stop":
            raise Cancelled

    def _cancelled(self) -> End:
        reason = self.record.get("stop_reason") or wire.REASON_STOPPED
        return End(None, reason, "stopped before it started", time.time())

    def _remark(self, remarks: list[str]) -> None:
        if remarks:
            writer = output.Writer(self.executor.output)
            writer.append([(time.time_ns(), f"[agent] {remark}") for remark in remarks])
            writer.close()

    def _watch(self) -> None:
        while not self._abandoned:
            self._woken.clear()
            sighting = self.executor.sight()
            if sighting.end is not None:
                self._end(sighting.end)
                return
            self._change(
                state=wire.RUNNING,
                image_pin=self.executor.image_pin(),
                pid=sighting.pid,
                started_at=_written(sighting.started_at),
            )
            self._woken.wait(self._look(time.time() - (sighting.started_at or 0.0)))

    def _look(self, age_seconds: float) -> float:
        """Probe what is due; return the seconds until the next look."""
        if self._stop_seconds is not None:
            return LOOK_SECONDS
        if self.report.address is None or not self.probes.ready:
            place = self.executor.place()
            if place.address is None:
                self._not_listening(place, age_seconds)
                return min(probe.starting_pause(age_seconds), LOOK_SECONDS)
            self._change(address=place.address)
        assert self.report.address is not None
        if "probes" in self.missing:
            return LOOK_SECONDS
        self.probes.run(
            address=self.report.address, age_seconds=age_seconds, listens=self.executor.listens
        )
        self._note_readiness()
        return min(self.probes.seconds_until_due(), LOOK_SECONDS)

    def _note_readiness(self) -> None:
        ready = self.probes.ready
        # What listens where says more than that a request failed.
        why = "" if ready is not False else self.executor.why_not_reached()
        if ready and "ready_at" not in self.record:
            self._note(ready_at=time.time())
        self._change(
            ready=ready,
            probe_message=why or self.probes.message,
            phase="" if ready else self._waiting(),
            ready_at=_written(self.record.get("ready_at")),
        )

    def _waiting(self) -> str:
        """The phase of one that is not ready."""
        if self.executor.is_cut_off():
            return wire.PHASE_ENGINE_AWAY
        before = self.report.phase
        return before if before not in ("", wire.PHASE_ENGINE_AWAY) else "starting"

    def _not_listening(self, place: Place, age_seconds: float) -> None:
        wanted = probe.port_words(self.spec.container_port, place.port)
        text = f"nothing listens on port {wanted} yet"
        text = f"{text}: {place.hint}" if place.hint else text
        if place.taken_port is not None:
            text = (
                f"nothing of this replica listens yet; port {place.taken_port} belongs to another "
                "program of this host, so the command must listen on $PORT"
            )
        if self.executor.is_cut_off():
            text = self.executor.why_not_reached()
        self._change(ready=False, phase=self._waiting(), probe_message=text)
        self._judge_port(place, age_seconds)

    def _judge_port(self, place: Place, age_seconds: float) -> None:
        """End what can never be reached. A slow start is no reason, so it takes some proof."""
        now = time.monotonic()
        if place.taken_port is None:
            self._taken_since = None
            return
        self._taken_since = self._taken_since or now
        if now - self._taken_since < TAKEN_SECONDS or now - self._checked_at < 1.0:
            return
        self._checked_at = now
        silent = age_seconds > SILENT_SECONDS and not self._names_port()
        if silent or self._complains():
            self.stop(reason=wire.REASON_PORT_TAKEN, seconds=1.0)

    def _names_port(self) -> bool:
        if "env" in self.missing:
            return True  # it may
        texts = [*self.spec.commands, self.spec.entrypoint or "", *self.spec.env.values()]
        return any("PORT" in text for text in texts)

    def _complains(self) -> bool:
        lines = output.tail(self.executor.output, LAST_LINES)
        return any(ADDRESS_IN_USE.search(line) for line in lines)

    def _port_taken(self) -> tuple[str, str]:
        return wire.REASON_PORT_TAKEN, (
            f"port {self.spec.container_port} is in use by another program of this host; replicas "
            "that share a host must listen on the port in $PORT: write $PORT in `commands`"
        )

    def _end(self, end: End) -> None:
        reason, message = self._reason(end)
        lines = output.tail(self.executor.output, LAST_LINES)
        exit_ = {
            "code": end.code,
            "reason": reason,
            "message": message,
            "at": end.at,
            "started_at": self.executor.sight().started_at,
            "last_lines": [line[:LINE_CHARACTERS] for line in lines],
        }
        # On a full disk it is told all the same.
        with contextlib.suppress(OSError):
            self._note(exit=exit_)
        self._say_exit()
        self.executor.release()

    def _reason(self, end: End) -> tuple[str, str]:
        asked = self.record.get("stop_reason")
        if asked == wire.REASON_PORT_TAKEN:
            return self._port_taken()
        if asked == wire.REASON_OVER_BOUND:
            return asked, self.record["stop_message"]
        if asked == wire.REASON_HOST_STOPPED:
            said = wire.AGENT_STOPPED
            return asked, said if end.message == "stopped" else f"{said} ({end.message})"
        never_ready = end.reason == wire.REASON_EXITED and "ready_at" not in self.record
        if never_ready and end.code and self._complains() and self._is_held():
            return self._port_taken()
        return end.reason, end.message

    def _is_held(self) -> bool:
        return self.executor.place().taken_port is not None

    def _say_exit(self) -> None:
        exit_ = self.record["exit"]
        self._change(
            state=wire.EXITED,
            pid=None,
            address=None,
            ready=False,
            phase="",
            probe_message="",
            started_at=_written(exit_["started_at"]),
            ready_at=_written(self.record.get("ready_at")),
            exited_at=_written(exit_["at"]),
            exit_code=exit_["code"],
            reason=exit_["reason"],
            message=exit_["message"],
            last_lines=exit_["last_lines"],
        )

    def _say(self, phase: str) -> None:
        self._change(phase=phase)

    def _note(self, **facts: typing.Any) -> None:
        with self._noting:
            self.record = {**self.record, **facts}
            files.write_json(self.folder / RECORD, self.record)

    def _change(self, **fields: typing.Any) -> None:
        changed = dataclasses.replace(self.report, **fields)
        if changed != self.report:
            self.report = changed
            self.on_change()

    def remove(self) -> None:
        """Remove what is left of an ended workload, its folder too."""
        self.executor.remove()
        trees.remove(self.folder)


def _written(seconds: typing.Optional[float]) -> typing.Optional[str]:
    return None if seconds is None else files.rfc3339(seconds)


def never_started(workload_id: str, message: str) -> wire.WorkloadReport:
    """Return the report of a workload that cannot even be taken in."""
    return wire.WorkloadReport(
        id=workload_id,
        state=wire.EXITED,
        ready=False,
        exited_at=files.rfc3339(time.time()),
        reason=wire.REASON_PREPARE_FAILED,
        message=message,
    )
