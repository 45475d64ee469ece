from __future__ import annotations

import pytest

from apps.cli.errors import CliError
from apps.cli.publish.requirements import Requirements, SpotPolicy


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        (Requirements(), None),
        (Requirements(spot=True), "spot"),
        (Requirements(on_demand=True), "on-demand"),
        (Requirements(spot_auto=True), "auto"),
        (Requirements(policy=SpotPolicy.AUTO), "auto"),
        (Requirements(policy=SpotPolicy.SPOT, spot=True), "spot"),
    ],
)
def test_a_spot_policy_is_named_by_its_flag_or_its_word(
    given: Requirements, policy: str | None
) -> None:
    assert given.wishes().get("spot_policy") == policy


@pytest.mark.parametrize(
    "given",
    [
        Requirements(spot=True, on_demand=True),
        Requirements(policy=SpotPolicy.AUTO, on_demand=True),
    ],
)
def test_two_spot_policies_are_refused(given: Requirements) -> None:
    with pytest.raises(CliError, match="Choose one of --spot"):
        given.wishes()
