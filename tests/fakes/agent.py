"""An agent without processes: takes the real assignment, reports what a test tells it to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from django.utils import timezone

from apps.agent import wire
from apps.instances.agents import assignments, reports
from apps.instances.models import Instance


@dataclass
class FakeAgent:
    """Speaks for one instance. `sync` takes over what is new and ends what should stop."""

    instance: Instance
    workloads: dict[str, wire.WorkloadReport] = field(default_factory=dict)
    specs: dict[str, wire.WorkloadSpec] = field(default_factory=dict)
    stops: bool = True
    spot_notice: str = ""

    def sync(self) -> None:
        """Fetch the assignment, act on it at once, report."""
        assigned = {w.id: w for w in assignments.assignment(instance=self.instance).workloads}
        self.specs = assigned
        self.workloads = {pk: w for pk, w in self.workloads.items() if pk in assigned}
        for pk, spec in assigned.items():
            known = self.workloads.setdefault(pk, wire.WorkloadReport(id=pk, state=wire.PULLING))
            if spec.desired == "stop" and self.stops and known.state != wire.EXITED:
                self._set(pk, state=wire.EXITED, reason=wire.REASON_STOPPED, exit_code=143)
        self.report()

    def serve(self) -> None:
        """Let every workload run and be ready, each at an address of its own."""
        for number, (pk, workload) in enumerate(self.workloads.items()):
            if workload.state != wire.EXITED:
                address = f"127.0.0.1:{20000 + number}"
                self._set(pk, state=wire.RUNNING, ready=True, address=address)
        self.report()

    def exit_all(self, *, code: int = 1, reason: str = wire.REASON_EXITED, line: str = "") -> None:
        for pk in self.workloads:
            self._exit(pk, code, reason, line)
        self.report()

    def exit_one(self, pk: str, *, code: int = 1, at: str | None = None) -> None:
        self._exit(pk, code, wire.REASON_EXITED, "")
        self._set(pk, exited_at=at)
        self.report()

    def _exit(self, pk: str, code: int, reason: str, line: str) -> None:
        self._set(
            pk,
            state=wire.EXITED,
            ready=False,
            exit_code=code,
            reason=reason,
            message=f"exited with code {code}",
            last_lines=[line] if line else [],
        )

    def report(self) -> None:
        said = wire.Report(
            boot_id="boot-1",
            hostname="host",
            workloads=[*self.workloads.values()],
            spot_notice=self.spot_notice,
        )
        self.instance.refresh_from_db()
        reports.take(instance=self.instance, report=said, at=timezone.now())

    def _set(self, pk: str, **changes: object) -> None:
        self.workloads[pk] = replace(self.workloads[pk], **changes)  # type: ignore[arg-type]
