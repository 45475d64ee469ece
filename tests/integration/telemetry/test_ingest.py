from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import Settings

from apps.agent.wire import LogBatch, LogLine, WorkloadLog
from apps.runs.models import Run
from apps.telemetry.logs import queries, services
from apps.telemetry.models import LogChunk, RunLog
from tests import factories
from tests.printing import Printer, printer


def texts(run: Run) -> list[str]:
    return [line.text for line in queries.read(run=run)]


def test_stores_lines_in_one_chunk(replica: Printer) -> None:
    receipt = replica.send("one", "two")

    assert replica.next_seq(receipt) == 2
    assert texts(replica.run) == ["one", "two"]
    assert LogChunk.objects.count() == 1


def test_stores_lines_once_however_often_they_come(replica: Printer) -> None:
    replica.send("one", "two")
    again = replica.send("one", "two")
    overlapping = replica.send("two", "three", first=1)

    assert [replica.next_seq(each) for each in (again, overlapping)] == [2, 3]
    assert texts(replica.run) == ["one", "two", "three"]


def test_tells_where_lines_were_lost(replica: Printer) -> None:
    replica.send("one")
    replica.send("five", first=4)

    assert texts(replica.run) == ["one", "[dstack: 3 lines lost on the way]", "five"]


def test_answers_a_log_without_lines_with_what_comes_next(replica: Printer) -> None:
    fresh = replica.send()
    replica.send("one")

    assert (replica.next_seq(fresh), replica.next_seq(replica.send())) == (0, 1)


def test_forgets_lines_of_other_instances_and_of_nobody(replica: Printer) -> None:
    other = factories.instance(replica.run.project)
    lines = [LogLine(0, "", "stolen"), LogLine(1, "", "name")]
    strangers = [str(replica.workload.pk), str(uuid4()), "../x", ""]

    receipt = services.ingest(
        instance_id=other.pk, batch=LogBatch([WorkloadLog(each, lines) for each in strangers])
    )

    assert receipt.next_seq == dict.fromkeys(strangers, 2)
    assert texts(replica.run) == []


def test_takes_lines_of_several_workloads_at_once(run: Run) -> None:
    first, second = printer(run, num=0), printer(run, num=1)
    second.workload.instance = first.instance
    second.workload.save()
    logs = [
        WorkloadLog(str(each.workload.pk), [LogLine(0, "", name)])
        for each, name in ((first, "a"), (second, "b"))
    ]

    services.ingest(instance_id=first.instance.pk, batch=LogBatch(logs))

    found = {(line.replica, line.text) for line in queries.read(run=run)}
    assert found == {(0, "a"), (1, "b")}


def test_drops_the_oldest_and_says_so(replica: Printer, settings: Settings) -> None:
    settings.DSTACK_LOG_BYTES_PER_RUN = 1000
    for seq in range(20):
        replica.send("x" * 99, first=seq)

    found = texts(replica.run)

    assert found[0] == "[dstack: 10 older lines were dropped: the log was too long or old]"
    assert len(found) == 1 + 10
    assert RunLog.objects.get().size_bytes <= 1000


def test_keeps_the_newest_lines_even_beyond_the_limit(replica: Printer, settings: Settings) -> None:
    settings.DSTACK_LOG_BYTES_PER_RUN = 10
    replica.send("x" * 100)
    replica.send("y" * 100, first=1)

    assert texts(replica.run)[1:] == ["y" * 100]


def test_keeps_the_log_of_one_run_from_eating_another(replica: Printer, settings: Settings) -> None:
    settings.DSTACK_LOG_BYTES_PER_RUN = 1000
    quiet = printer(factories.run(replica.run.project))
    quiet.send("kept")

    replica.send(*["x" * 99] * 100)

    assert texts(quiet.run) == ["kept"]


@pytest.mark.django_db(transaction=True)
def test_stores_each_line_once_with_several_senders(run: Run) -> None:
    replica = printer(run)
    expected = [f"line {seq}" for seq in range(200)]
    start = threading.Barrier(4)

    def send_all() -> None:
        start.wait(timeout=10)
        for first in range(0, 200, 10):
            replica.send(*expected[first : first + 10], first=first)
        connection.close()

    threads = [threading.Thread(target=send_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert texts(run) == expected
