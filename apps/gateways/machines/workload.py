"""The workload that a gateway is on its machine: what its agent is told to run there."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from apps.agent import wire
from apps.gateways.models import Gateway
from apps.instances import states
from apps.instances.boot import gateway_wheel
from apps.instances.boot.machine_spec import HTTP, HTTPS, TUNNELS
from apps.instances.models import GATEWAY, Workload
from apps.instances.services import NewWorkload

STOP_SECONDS = 15.0
HEALTH = wire.ProbeSpec(kind="http", url="/-/healthz", timeout_seconds=5, interval_seconds=10)
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def wanted_version() -> str:
    """Return the version that gateways are to run: that of this very server."""
    return gateway_wheel.wheel().sha256


def live_of(gateway: Gateway) -> Workload | None:
    """Return the one that is there now."""
    if gateway.instance is None:
        return None
    mine = gateway.instance.workloads.filter(owner_id=gateway.uid)
    return mine.exclude(state=states.EXITED).order_by("-pk").first()


def is_current(gateway: Gateway) -> bool:
    """Tell whether it runs this server's own version; the server's own gateway always does."""
    return gateway.connection_id is None or gateway.version == wanted_version()


def of(gateway: Gateway, *, token: str) -> NewWorkload:
    """Return what a new machine of a gateway is to run; `token` is the gateway's from now on."""
    assert gateway.made_for is not None
    spec = {
        "kind": wire.KIND_GATEWAY,
        "wheel_sha256": wanted_version(),
        "project": gateway.made_for.name,
        "run_name": f"gateway {gateway.name}",
        "container_port": HTTP,
        "stop_seconds": STOP_SECONDS,
        "probes": [wire.to_json(HEALTH)],
    }
    return NewWorkload(
        run_id=gateway.uid,
        owner_id=gateway.uid,
        owner_kind=GATEWAY,
        name=gateway.name,
        spec=spec,
        secrets={"env": {"TOKEN": token, **_environment()}},
        idle_seconds=0,
    )


def _environment() -> dict[str, str]:
    authority = settings.DSTACK_GATEWAY_ACME_CA
    tunnels = HTTPS if settings.DSTACK_GATEWAY_MACHINES_SHARE_PORT else TUNNELS
    return {
        "DSTACK_GATEWAY_BIND": "0.0.0.0",
        "DSTACK_GATEWAY_PORT": str(HTTP),
        "DSTACK_GATEWAY_TLS_PORT": str(HTTPS),
        "DSTACK_GATEWAY_SSH_PORT": str(tunnels),
        "DSTACK_GATEWAY_ACME_URL": settings.DSTACK_GATEWAY_ACME_URL or LETS_ENCRYPT,
        "DSTACK_GATEWAY_ACME_EMAIL": settings.DSTACK_GATEWAY_ACME_EMAIL,
        "ACME_CA": Path(authority).read_text() if authority else "",
    }
