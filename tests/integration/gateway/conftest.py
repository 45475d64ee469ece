"""One gateway with one service for each module of tests that does not hurt it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

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
