"""A project on one cloud in two regions, of which the first is cheaper; and what is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.offers.models import CatalogOffer, CatalogSource
from apps.runs import queries
from apps.runs.models import Run
from tests import factories
from tests.fakes import azure_world, gcp_keys

YAML = "type: service\nname: hello\nimage: web\ncommands: [serve]\nport: 8000\ngateway: false\n"
YAML += "resources: {cpu: 2.., memory: 8GB.., disk: 100GB..}\n"


@dataclass(frozen=True)
class Ground:
    """A kind of cloud with what one connects it by, a size of 2 CPUs and 8 GB, and two regions."""

    kind: str
    config: dict[str, Any]
    size: str
    regions: tuple[str, str]
    zones: tuple[str, ...] = ()


KEY = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "k" * 40}
AWS = Ground(
    "aws",
    {"creds": KEY, "regions": ["us-east-1", "us-west-2"]},
    "m5.large",
    ("us-east-1", "us-west-2"),
    ("a", "b"),
)
AZURE = Ground("azure", azure_world.CONFIG, "Standard_D2s_v5", ("westus2", "westeurope"))
GOOGLE = Ground(
    "gcp", gcp_keys.CONFIG, "e2-standard-2", ("us-central1", "europe-west4"), ("a", "b")
)


def connect(ground: Ground, settings: Any) -> Project:
    """Return a project that `alice` administers, with the one backend."""
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "https://dstack.example.com"
    source = CatalogSource.objects.create(
        key="test", kind=ground.kind, words="the test", priced_on=date(2026, 11, 1)
    )
    near, far = ground.regions
    CatalogOffer.objects.bulk_create(
        CatalogOffer(
            kind=ground.kind, region=region, zones=list(ground.zones), instance_type=ground.size,
            cpus=2, memory_mib=8192, arch="x86", usd_per_hour=price, spot=spot, source=source,
        )
        for region, price, spot in (
            (near, "0.067", False),
            (far, "0.074", False),
            (near, "0.020", True),
            (far, "0.022", True),
        )
    )  # fmt: skip
    found = factories.project("cloudy", admin=factories.user("alice"))
    backends.connect(project=found, kind=ground.kind, config=ground.config)
    return found


def alice_of(project: Project) -> Access:
    return Access(user=project.members.get(username="alice"))


def living(project: Project) -> list[str]:
    """Return what the cloud itself says that this server has there, by our names."""
    provider = backends.provider_of(project.backends.get())
    return [each.name for each in provider.list_owned(backends.server_id())]


def told(run: Run) -> dict[str, Any]:
    (replica,) = queries.run_json(queries.find_run(run.project, run.name))["replicas"]
    return dict(replica)
