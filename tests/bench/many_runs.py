"""Services in numbers, written as rows: nothing runs, and nothing looks at them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.runs.models import Replica, Run


def like(first: Run, *, count: int) -> list[UUID]:
    """Make `count` services of the first one, each with a running replica; return all their ids."""
    far = timezone.now() + timedelta(days=1)
    fields = {f.attname: getattr(first, f.attname) for f in Run._meta.fields if f.name != "id"}
    more = (f"bench-{n}" for n in range(count - 1))
    runs = [Run(**{**fields, "name": name, "next_check_at": far}) for name in more]
    Run.objects.bulk_create(runs, batch_size=1000)
    ids = [first.pk, *(run.pk for run in runs)]
    Replica.objects.bulk_create(
        (Replica(run_id=pk, num=0, state="running", next_check_at=far) for pk in ids),
        batch_size=1000,
    )
    return ids


def analyze() -> None:
    """Let PostgreSQL look at what there is, as it does itself within a minute of such a change."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
