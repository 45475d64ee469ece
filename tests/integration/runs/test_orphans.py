"""One machine or backend with which something is wrong keeps no other orphan alive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import base
from apps.backends import services as backends
from apps.backends.registry import PROVIDERS
from apps.instances.models import Instance
from apps.instances.strays import orphans
from tests import factories
from tests.fakes.cloud import Cloud, World

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
REFUSED = base.ProviderError(
    "You may not end it.", kind=base.ErrorKind.SETUP, scope=base.Scope.BACKEND
)


class Stubborn(Cloud):
    """It does not end what is in `kept`."""

    kept: str = ""

    def terminate(self, ref: str) -> None:
        if ref == self.kept:
            raise REFUSED
        super().terminate(ref)


def orphan(world: World, ref: str, project: Project, **fields: Any) -> Instance:
    over = timezone.now() - orphans.GRACE - timedelta(seconds=1)
    row = factories.instance(project, state="terminated", state_at=over, **fields)
    world.machines[ref] = row.boot_name
    world.owners[ref], world.tags[ref] = backends.server_id(), {}
    return row


def test_one_that_its_cloud_does_not_end_keeps_no_other(
    world: World, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "cloud", Stubborn)
    (backend,) = cloudy.backends.all()
    rows = [orphan(world, f"i-{number}", cloudy, backend=backend) for number in range(3)]
    first = Instance.objects.filter(pk__in=[row.pk for row in rows])[0]
    monkeypatch.setattr(
        Stubborn, "kept", next(r for r, name in world.machines.items() if name == first.boot_name)
    )

    ended = orphans.collect_orphans(at=timezone.now())

    assert list(world.machines) == [Stubborn.kept]
    assert {row.pk for row in ended} == {row.pk for row in rows} - {first.pk}


def test_a_deleted_backend_is_not_forgotten_while_its_cloud_ends_nothing(
    world: World, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROVIDERS, "cloud", Stubborn)
    monkeypatch.setattr(Stubborn, "kept", "i-1")
    (backend,) = cloudy.backends.all()
    orphan(world, "i-1", cloudy, backend=backend)
    at = timezone.now()
    cloudy.backends.update(closed_at=at - timedelta(hours=1))

    orphans.collect_orphans(at=at)

    assert cloudy.backends.get().config != backends.FORGOTTEN


def test_a_backend_whose_list_cannot_be_kept_keeps_no_other(
    world: World, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Cloud):
        kind = "other"

    monkeypatch.setattr(Other, "world", World(), raising=False)
    monkeypatch.setitem(PROVIDERS, "other", Other)
    # The first that is asked.
    (backend,) = cloudy.backends.all()
    stray = orphan(world, "i-\0", cloudy, backend=backend)
    stray.delete()
    second = backends.connect(project=cloudy, kind="other", config={})
    mine = orphan(Other.world, "i-good", cloudy, backend=second)

    with pytest.raises(DataError, match="NUL"):
        orphans.collect_orphans(at=timezone.now())

    assert Other.world.machines == {}
    assert Instance.objects.get(pk=mine.pk).error.endswith("found still there and ended.")
