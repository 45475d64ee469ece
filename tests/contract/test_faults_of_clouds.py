"""What clouds do to us, and that each provider tells it as what it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.backends import base
from apps.backends.connecting import asking
from tests.contract.test_providers import (
    CATALOG,
    CLOUDS,
    LIVING,
    SERVER,
    Case,
    Faults,
    boot,
    case,
    kind,
    provider,
    spec,
)

__all__ = ["case", "kind", "provider"]


@pytest.fixture
def faults(case: Case) -> Faults:
    assert case.faults is not None, "a cloud says here what can go wrong with it"
    return case.faults


of_clouds = pytest.mark.parametrize("kind", CLOUDS, indirect=True)


@of_clouds
def test_an_answer_that_was_lost_makes_no_second_machine(provider: Any, faults: Faults) -> None:
    """As when a worker is killed between the call and the note of it."""
    faults.lose()
    with pytest.raises(base.ProviderError) as lost:
        provider.create(spec(provider))
    orphans = provider.list_owned(SERVER)

    ref = provider.create(spec(provider))

    assert lost.value.is_passing
    assert orphans == provider.list_owned(SERVER) == [base.OwnedInstance(ref, boot().name)]


@of_clouds
def test_what_is_full_now_may_be_had_later(provider: Any, faults: Faults) -> None:
    faults.refuse("create", faults.code(base.ErrorKind.CAPACITY))
    with pytest.raises(base.ProviderError) as full:
        provider.create(spec(provider))
    faults.heal()

    assert full.value.kind == base.ErrorKind.CAPACITY
    assert provider.list_owned(SERVER) == []
    assert provider.inspect(provider.create(spec(provider))).state in LIVING


@of_clouds
def test_each_error_of_its_table_is_what_the_table_says(provider: Any, faults: Faults) -> None:
    """So a quota, wrong credentials or a fault of the set-up are never a want of capacity."""
    told = {}
    for code in faults.codes:
        faults.refuse("create", code)
        with pytest.raises(base.ProviderError) as refused:
            provider.create(spec(provider))
        told[code] = refused.value.kind

    assert told == dict(faults.codes)
    assert set(told.values()) >= set(base.ErrorKind) - {base.ErrorKind.REFUSED}
    faults.heal()
    assert provider.list_owned(SERVER) == []


@of_clouds
@pytest.mark.parametrize("error", [base.ErrorKind.THROTTLED, base.ErrorKind.CREDENTIALS])
@pytest.mark.parametrize("method", ["offers", "inspect", "list_owned", "terminate"])
def test_who_is_not_answered_is_not_told_that_there_is_nothing(
    provider: Any, faults: Faults, method: str, error: base.ErrorKind
) -> None:
    """No offers, a machine that is gone, none that is ours: each would be acted on."""
    ref = provider.create(spec(provider))
    faults.refuse(method, faults.code(error))
    ask: dict[str, Callable[[], object]] = {
        "offers": lambda: list(
            provider.offers() or provider.catalog(CATALOG[provider.kind].region, spot=False)
        ),
        "inspect": lambda: provider.inspect(ref),
        "list_owned": lambda: provider.list_owned(SERVER),
        "terminate": lambda: provider.terminate(ref),
    }

    with pytest.raises(base.ProviderError) as refused:
        ask[method]()

    assert refused.value.kind == error


@of_clouds
def test_wrong_credentials_are_told_by_a_check(provider: Any, faults: Faults) -> None:
    faults.refuse("check", faults.code(base.ErrorKind.CREDENTIALS))

    try:
        said = [problem.message for problem in provider.check()]
    except base.ProviderError as error:
        assert error.kind == base.ErrorKind.CREDENTIALS
        said = [str(error)]

    assert all(said) and len(said) > 0


@of_clouds
def test_a_machine_that_somebody_else_ended_is_gone(provider: Any, faults: Faults) -> None:
    ref = provider.create(spec(provider))
    faults.vanish(provider, ref)

    assert provider.inspect(ref).state == base.InstanceState.GONE
    assert provider.list_owned(SERVER) == []
    provider.terminate(ref)


@of_clouds
def test_one_that_hangs_holds_nobody_up(provider: Any, faults: Faults) -> None:
    ref = provider.create(spec(provider))
    faults.hang()
    began = time.monotonic()

    with pytest.raises(base.ProviderError) as refused:
        asking.ask(provider, lambda asked: asked.inspect(ref), seconds=0.2)

    assert refused.value.kind == base.ErrorKind.UNREACHABLE
    assert time.monotonic() - began < 3


# What is allowed is said for each region, but by TensorDock, whose accounts know no such thing.
DENIED = {
    "aws": ("UnauthorizedOperation", base.Scope.REGION),
    "gcp": ("forbidden", base.Scope.REGION),
    "azure": ("AuthorizationFailed", base.Scope.REGION),
    "tensordock": ("402", base.Scope.BACKEND),
    # Where no scope is said, what a person has to mend is the backend's.
    "cloud": ("setup", base.Scope.OFFER_REGION),
}


@of_clouds
def test_what_is_not_allowed_in_one_region_says_nothing_of_others(
    provider: Any, faults: Faults
) -> None:
    code, scope = DENIED[provider.kind]
    faults.refuse("create", code)

    with pytest.raises(base.ProviderError) as refused:
        provider.create(spec(provider))

    assert (refused.value.kind, refused.value.scope) == (base.ErrorKind.SETUP, scope)
    assert refused.value.is_of_backend is (scope is not base.Scope.REGION)
