"""Several backends of one kind in a project: each by its name, all by their kind."""

from __future__ import annotations

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.core.errors import Conflict
from apps.instances.models import Instance
from apps.runs.planning import backend_in_use
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


@pytest.mark.parametrize(
    ("asked", "taken"), [("second", "second"), ("Second", "second"), ("cloud", "cloud")]
)
def test_a_service_names_one_of_them(
    world: World, owner: Access, cloudy: Project, asked: str, taken: str
) -> None:
    backends.connect(project=cloudy, kind="cloud", name="second", config={})

    run = submit(owner, cloudy, f"{YAML}backends: [{asked}]\n")

    instance, replica = Instance.objects.get(), run.replicas.get()
    assert (instance.backend.name, instance.backend_kind) == (taken, "cloud")
    assert replica.backend == taken


def test_only_the_one_that_is_used_is_kept_open(
    world: World, owner: Access, cloudy: Project
) -> None:
    second = backends.connect(project=cloudy, kind="cloud", name="second", config={})
    submit(owner, cloudy, f"{YAML}backends: [second]\n")

    backend_in_use.refuse_while_used(cloudy.backends.get(name="cloud"))
    with pytest.raises(Conflict, match="still need second: hello"):
        backend_in_use.refuse_while_used(second)
