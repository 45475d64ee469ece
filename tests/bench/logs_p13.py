"""P13: lines taken in per second, and the search in 1,000,000 lines.

    pytest tests/bench/logs_p13.py -s

A private PostgreSQL without fsync, client and server on the same cores. Batches have 1,000 lines of
about 110 characters, as an agent sends them, and come one after the other.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from datetime import UTC, datetime

import pytest
from django.db import connection

from apps.agent import wire
from apps.telemetry import agent_api
from apps.telemetry.logs import queries, services
from tests import factories
from tests.printing import Printer, numbered, printer

LINES, BATCHES, ROUNDS = 1000, 40, 5
COPIES = 1_000_000 // (LINES * BATCHES * ROUNDS)
WORDS = ["info", "error", "request", "GET", "/v1/models", "200", "latency", "tokens", "prompt"]
COLUMNS = "run_id, workload_id, replica_num, text, size_bytes, first_at, last_at, offsets_ms"


@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_p13() -> None:
    replica = printer(factories.run(factories.project()))

    rates = [taken_in(replica, number) for number in range(ROUNDS)]
    copy_until_a_million()
    found = {text: searched(replica, text) for text in ("no such text", "id=777", "ERROR")}

    print(f"\nlines taken in: {statistics.median(rates):,.0f}/s")
    for text, seconds in found.items():
        print(f"search for {text!r} in 1,000,000 lines: {seconds:.2f} s")


def taken_in(replica: Printer, number: int) -> float:
    """Lines per second, from the request's body to the commit."""
    bodies = [body(replica, number * BATCHES + each) for each in range(BATCHES)]
    started_at = time.perf_counter()
    for each in bodies:
        services.ingest(instance_id=replica.instance.pk, batch=agent_api.parse(each))
    return LINES * BATCHES / (time.perf_counter() - started_at)


def body(replica: Printer, number: int) -> bytes:
    rng = random.Random(number)
    texts = [
        f"{rng.choice(WORDS)} id={rng.getrandbits(48):x} {' '.join(rng.choices(WORDS, k=10))}"
        for _ in range(LINES)
    ]
    lines = numbered(texts, first=number * LINES, at=datetime.now(UTC))
    batch = wire.LogBatch([wire.WorkloadLog(str(replica.workload.pk), lines)])
    return json.dumps(wire.to_json(batch)).encode()


def copy_until_a_million() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO telemetry_logchunk ({COLUMNS}, first_seq, last_seq) "
            f"SELECT {COLUMNS}, first_seq + n * 1000000, last_seq + n * 1000000 "
            "FROM telemetry_logchunk, generate_series(1, %s) AS n",
            [COPIES - 1],
        )
        cursor.execute("ANALYZE telemetry_logchunk")
        cursor.execute("SELECT sum(last_seq - first_seq + 1) FROM telemetry_logchunk")
        assert cursor.fetchone() == (1_000_000,)


def searched(replica: Printer, text: str) -> float:
    """Median seconds until the first 1,000 lines that hold the text are there."""
    seconds = []
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        queries.read(run=replica.run, grep=text, limit=1000)
        seconds.append(time.perf_counter() - started_at)
    return statistics.median(seconds)
