"""What was read of a repository is forgotten once no run needs it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.chat_templates import retention
from apps.chat_templates.models import ModelSource, Repository
from tests import factories

pytestmark = pytest.mark.django_db

NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=91)
LATELY = NOW - timedelta(days=89)


@pytest.fixture
def project() -> Any:
    return factories.project("main", admin=factories.user("alice"))


@pytest.mark.parametrize(
    ("fields", "read_by_a_run", "forgotten"),
    [
        ({"read_at": LONG_AGO}, False, True),
        ({"read_at": None, "next_try_at": None}, False, True),
        ({"read_at": LONG_AGO}, True, False),
        ({"read_at": LATELY}, False, False),
        ({"read_at": None, "next_try_at": NOW}, False, False),
    ],
)
def test_forgets_repositories_that_no_run_reads(
    project: Any, fields: dict[str, Any], read_by_a_run: bool, forgotten: bool
) -> None:
    repository = Repository.objects.create(
        project=project, hub_url="https://hub.example", name="org/model", revision="main", **fields
    )
    if read_by_a_run:
        ModelSource.objects.create(run=factories.run(project), repository=repository)

    retention.prune(at=NOW)

    assert Repository.objects.filter(pk=repository.pk).exists() != forgotten
