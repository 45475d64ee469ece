"""Following a run until it is published, or until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from apps.cli import answers
from apps.cli.answers import Run
from apps.cli.errors import CliError, Unreachable
from apps.cli.http.client import Client
from apps.cli.render.console import clean, is_live, say
from apps.cli.render.runs_table import attempt_text, standing

# Fast at first, since a service on this machine starts in a second; a cloud takes minutes.
_FAST_SECONDS, _SLOW_SECONDS, _FAST_FOR_SECONDS = 0.2, 1.0, 20.0
# A server that restarts is back before this.
PATIENCE_SECONDS = 60.0
LONGEST_STOP_SECONDS = 1200.0

OnRun = Callable[[Run], None]


def until_published(client: Client, name: str) -> Run:
    """Show the phases of a starting run and return it once it answers.

    Raise CliError with the reason and the last output lines when it ends instead.
    """
    with _status(f"Provisioning {name}...") as show:
        for run in states(client, name):
            if run.is_published:
                return run
            if run.has_ended or run.state == "stopping":
                raise failure(run)
            show(run)
    raise AssertionError("states() ends only by an exception")


def until_updated(client: Client, submitted: Run) -> None:
    """Wait until a new version serves instead of the one before.

    Raise CliError when it was given up; the one before serves on then.
    """
    name = submitted.name
    with _status(f"Updating {name} to version {submitted.version}...") as show:
        for run in states(client, name):
            if run.version < submitted.version:
                raise CliError(clean(run.notice) or f"Version {submitted.version} was given up.")
            if run.has_ended or run.state == "stopping":
                raise failure(run)
            if run.fallback_version is None or run.state == "idle":
                return
            show(run)


def until_ended(client: Client, name: str) -> Run:
    """Wait for a stopping run to end."""
    started_at = time.monotonic()
    with _status(f"Stopping {name}...") as show:
        for run in states(client, name):
            if run.has_ended:
                return run
            if time.monotonic() - started_at > LONGEST_STOP_SECONDS:
                raise CliError(f"Run {name} is still stopping; see dstack ps.")
            show(run)
    raise AssertionError("states() ends only by an exception")


def states(client: Client, name: str) -> Iterator[Run]:
    """Yield what a run is, again and again; a restarting server is waited for.

    Raise Unreachable when the server stays away for a minute.
    """
    started_at = seen_at = time.monotonic()
    while True:
        try:
            run = answers.run(client.get(client.within("runs", name)))
        except Unreachable:
            if time.monotonic() - seen_at > PATIENCE_SECONDS:
                raise
        else:
            seen_at = time.monotonic()
            yield run
        fast = time.monotonic() - started_at < _FAST_FOR_SECONDS
        time.sleep(_FAST_SECONDS if fast else _SLOW_SECONDS)


def failure(run: Run) -> CliError:
    """Return why a run is not there any more, with its last lines.

    A process that is still being ended has not told them yet: then its log is named.
    """
    if run.state == "failed":
        reason = clean(run.error).rstrip(".") or "no reason is known"
        notes = list(run.last_lines) or [f"What it wrote: dstack logs {run.name}"]
        return CliError(f"Run {run.name} failed: {reason}.", notes=notes)
    return CliError(f"Run {run.name} was stopped.")


def _phases(run: Run, *, now: datetime | None) -> str:
    replicas = [
        f"replica {one.num}: {standing(one, now=now) or one.state}"
        for one in run.replicas
        # One that is over, but whose machine still ends, says so.
        if one.phase or one.state not in answers.FINAL
    ]
    return clean("; ".join([f"{run.name} is {run.state}", *replicas[:4]]))


def _tried(run: Run) -> list[str]:
    return [
        clean(f"replica {replica.num} tried {attempt_text(attempt)}")
        for replica in run.replicas
        for attempt in replica.tried
    ]


@contextmanager
def _status(title: str) -> Iterator[OnRun]:
    """One line that changes on a terminal; elsewhere a line for each new text. What was tried in
    vain has a line of its own in both."""
    shown = {""}

    def new(texts: list[str]) -> list[str]:
        found = [text for text in dict.fromkeys(texts) if text not in shown]
        shown.update(found)
        return found

    if is_live():
        with Console().status(title) as status:

            def show(run: Run) -> None:
                for text in new(_tried(run)):
                    status.console.print(f"  {text}", markup=False, highlight=False)
                line = _phases(run, now=datetime.now(UTC))
                status.update(Text(line, no_wrap=True, overflow="ellipsis"))

            yield show
        return
    say(title)

    def tell(run: Run) -> None:
        for text in new([*_tried(run), _phases(run, now=None)]):
            say(f"  {text}")

    yield tell
