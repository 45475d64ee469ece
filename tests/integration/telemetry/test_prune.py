from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from pytest_django import Settings

from apps.telemetry import tasks
from apps.telemetry.logs import queries, services
from apps.telemetry.models import LogChunk, LogSource, RunLog
from tests.printing import Printer

LONG_AGO = timezone.now() - timedelta(days=8)


def test_prunes_old_lines_and_says_so(replica: Printer, settings: Settings) -> None:
    settings.DSTACK_LOG_DAYS = 7
    replica.send("old", "older", at=LONG_AGO)
    replica.send("new", first=2)

    tasks.prune()

    found = [line.text for line in queries.read(run=replica.run)]
    assert found == ["[dstack: 2 older lines were dropped: the log was too long or old]", "new"]


def test_goes_on_counting_after_a_long_silence(replica: Printer) -> None:
    replica.send("old", at=LONG_AGO)
    tasks.prune()

    receipt = replica.send("old", "new")

    assert replica.next_seq(receipt) == 2
    assert [line.text for line in queries.read(run=replica.run)][1:] == ["new"]


def test_forgets_finished_runs_whose_lines_are_gone(replica: Printer) -> None:
    replica.send("old", at=LONG_AGO)
    replica.run.state = "stopped"
    replica.run.save()

    tasks.prune()

    assert not LogChunk.objects.exists()
    assert not LogSource.objects.exists()
    assert not RunLog.objects.exists()


def test_prunes_in_batches(replica: Printer, settings: Settings) -> None:
    for seq in range(5):
        replica.send("old", first=seq, at=LONG_AGO)

    assert services.prune(at=timezone.now()) == 5
    assert services.prune(at=timezone.now()) == 0
