"""What tests of counting and telling share: services, what to ask them, what was told."""

from __future__ import annotations

import json
from typing import Any

from gateway.schema import Load, Model, RateLimit
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.integration.gateway.harness import ALICE, Answer, Gateway


async def same_target(gateway: Gateway, name: str, *limits: RateLimit) -> None:
    """A service NAME with the replicas of `hello`."""
    hello = gateway.control.endpoints["e-hello"]
    made = service(name, *(each.address for each in hello.replicas))
    made = made.model_copy(update={"rate_limits": list(limits)})
    await gateway.control.applied(await gateway.control.put(made))


async def model(gateway: Gateway, name: str, *limits: RateLimit) -> None:
    """A service of the model NAME, with the replicas of `hello`."""
    hello = gateway.control.endpoints["e-hello"]
    made = service(
        name,
        *(each.address for each in hello.replicas),
        model=Model(name=name, prefix="/usage"),
        rate_limits=list(limits),
    )
    await gateway.control.applied(await gateway.control.put(made))


async def ask(gateway: Gateway, name: str, *, filler: int = 0, **fields: Any) -> Answer:
    """A chat with a model that the body names last."""
    body = json.dumps({"messages": "x" * filler, **fields, "model": name}).encode()
    return await gateway.call(
        "/v1/chat/completions",
        host="gateway.localhost",
        token=ALICE,
        method="POST",
        data=body,
        headers={"Content-Type": "application/json"},
    )


def classes(control: ControlPlane, endpoint: str, token: str = "") -> tuple[int, ...]:
    return control.counts(endpoint, token).by_class


def load_of(control: ControlPlane, endpoint: str) -> Load:
    loads = control.stats[-1].load if control.stats else []
    return next((each for each in loads if each.endpoint == endpoint), Load(endpoint=endpoint))
