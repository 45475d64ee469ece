"""One gateway with one service for each module of tests that does not hurt it; one that sleeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import Gateway, hello


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path_factory.mktemp("gateway")) as (gateway, targets):
        yield gateway, targets[0]


@pytest.fixture
def gateway(served: tuple[Gateway, Target]) -> Gateway:
    return served[0]


@pytest.fixture
def target(served: tuple[Gateway, Target]) -> Target:
    return served[1]


@pytest_asyncio.fixture
async def asleep(tmp_path: Path) -> AsyncIterator[tuple[Gateway, ControlPlane, Target]]:
    """The service `hello` sleeps; its replica runs and is not in the table."""
    async with hello(tmp_path) as (gateway, targets):
        control = gateway.control
        await control.applied(await control.put(service("hello")))
        yield gateway, control, targets[0]
