"""Probes: is a workload ready for traffic? Only the agent asks; the gateway never does."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
import typing
from dataclasses import dataclass, field

from apps.agent import wire

# While a workload starts it is asked often, less often the longer it takes: (age, every), seconds.
STARTING = ((10.0, 0.05), (60.0, 0.1), (300.0, 0.25), (float("inf"), 0.5))
# A ready workload is unready after this many failures in a row; the later ones follow quickly.
FAILURES = 3
RECHECK_SECONDS = 1.0
# A port that is forwarded (docker's proxy) accepts, then hangs up when nobody listens behind it: at
# once, or where the container has just gone, after the kernel has asked 3 s for its address.
HANG_UP_SECONDS = 0.1
DOUBTED_SECONDS = 4.0
# Enough of an answer to see its status; a service may answer a probe with a whole page.
ANSWER_BYTES = 64 * 1024


class Failed(Exception):
    """The probe failed; the text says how."""


@dataclass
class Probe:
    """One probe and what is known by it; times are of the monotonic clock.

    `forwarded` is the port inside, where what is asked is a forwarded one; `wanted` is the port of
    the service file, by which a person knows the one that is asked.
    """

    spec: wire.ProbeSpec
    forwarded: typing.Optional[int] = None
    wanted: typing.Optional[int] = None
    ready: typing.Optional[bool] = None
    message: str = ""
    due_at: float = 0.0
    successes: int = 0
    failures: int = 0
    done: bool = False

    def run(
        self, *, address: str, age_seconds: float, listens: typing.Callable[[], bool] = bool
    ) -> None:
        """Ask once, note the result and when to ask next; `listens` as for `ask`."""
        try:
            remark = ask(
                self.spec,
                address=address,
                forwarded=self.forwarded,
                wanted=self.wanted,
                listens=listens,
            )
        except Failed as error:
            self._failed(str(error))
        else:
            self._succeeded(remark)
        self.due_at = time.monotonic() + self._pause(age_seconds)

    def _succeeded(self, remark: str) -> None:
        self.successes, self.failures = self.successes + 1, 0
        if self.ready or self.successes >= self.spec.ready_after:
            self.ready, self.message = True, remark
            self.done = self.spec.until_ready
        elif self.ready is None:
            self.ready = False

    def _failed(self, message: str) -> None:
        self.successes, self.failures = 0, self.failures + 1
        if not self.ready or self.failures >= FAILURES:
            self.ready, self.message = False, message

    def _pause(self, age_seconds: float) -> float:
        if not self.ready:
            return min(starting_pause(age_seconds), self.spec.interval_seconds)
        recheck = self.failures > 0
        return (
            min(RECHECK_SECONDS, self.spec.interval_seconds)
            if recheck
            else self.spec.interval_seconds
        )


@dataclass
class Probes:
    """All probes of a workload: it is ready when all are."""

    specs: typing.Sequence[wire.ProbeSpec]
    forwarded: typing.Optional[int] = None
    wanted: typing.Optional[int] = None
    probes: list[Probe] = field(init=False)

    def __post_init__(self) -> None:
        specs = self.specs or [wire.ProbeSpec()]
        self.probes = [Probe(spec, self.forwarded, self.wanted) for spec in specs]

    @property
    def ready(self) -> typing.Optional[bool]:
        answers = [probe.ready for probe in self.probes]
        return None if None in answers else all(answers)

    @property
    def message(self) -> str:
        """What the first that fails says; where none does, what there is to remark."""
        ordered = sorted(self.probes, key=lambda probe: bool(probe.ready))
        return next((probe.message for probe in ordered if probe.message), "")

    def run(
        self, *, address: str, age_seconds: float, listens: typing.Callable[[], bool] = bool
    ) -> None:
        """Run those probes that are due; `listens` as for `ask`."""
        now = time.monotonic()
        for probe in self.probes:
            if not probe.done and probe.due_at <= now:
                probe.run(address=address, age_seconds=age_seconds, listens=listens)

    def seconds_until_due(self) -> float:
        due = [probe.due_at for probe in self.probes if not probe.done]
        return max(0.0, min(due) - time.monotonic()) if due else float("inf")


def starting_pause(age_seconds: float) -> float:
    return next(pause for until, pause in STARTING if age_seconds < until)


def port_words(wanted: int, given: typing.Union[int, str, None]) -> str:
    """Return a port by the number that the service file has, and by the one that it has here."""
    if given is None or str(given) == str(wanted):
        return str(wanted)
    return f"{wanted} ($PORT, which is {given} here)"


def ask(
    spec: wire.ProbeSpec,
    *,
    address: str,
    forwarded: typing.Optional[int] = None,
    wanted: typing.Optional[int] = None,
    listens: typing.Callable[[], bool] = bool,
) -> str:
    """Run one probe against "host:port", which stands for the port `forwarded` if given.

    `listens` tells whether somebody is seen to listen behind a forwarded one; where nobody is, it
    is waited for longer that it hangs up. Return what is worth a remark although it passed. Raise
    Failed.
    """
    host, _, asked = address.rpartition(":")
    # A forwarded port has its own number inside; a process may have another than its file says.
    port = str(forwarded or asked) if wanted is None else port_words(wanted, forwarded or asked)
    try:
        if spec.kind == "http":
            return _request(spec, host, int(asked))
        _open(host, int(asked), spec.timeout_seconds, listens if forwarded is not None else None)
        return ""
    except TimeoutError as error:
        text = f"no answer within {spec.timeout_seconds:g} s"
        raise Failed(f"{_what(spec, port)}: {text}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Failed(f"{_what(spec, port)}: {text}") from error


def _what(spec: wire.ProbeSpec, port: str) -> str:
    return f"port {port}" if spec.kind == "tcp" else f"{spec.method} {spec.url}"


def _open(
    host: str, port: int, timeout: float, listens: typing.Optional[typing.Callable[[], bool]]
) -> None:
    """Open a connection, of a forwarded port where `listens` is given."""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        if listens is None:
            return
        connection.settimeout(HANG_UP_SECONDS if listens() else DOUBTED_SECONDS)
        with contextlib.suppress(socket.timeout):
            if not connection.recv(1):
                raise ConnectionError("nothing listens in the container yet")


def _request(spec: wire.ProbeSpec, host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=spec.timeout_seconds)
    try:
        body = None if spec.body is None else spec.body.encode()
        connection.request(spec.method, spec.url, body=body, headers=dict(spec.headers))
        answer = connection.getresponse()
        answer.read(ANSWER_BYTES)
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return ""
    said = f"{spec.method} {spec.url}: answered {answer.status} {answer.reason}"
    if spec.accepts_refusal and answer.status < 500:
        return f"{said}; a server that answers counts as ready"
    raise Failed(said)
