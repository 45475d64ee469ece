"""Amounts of money in words. Pure."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

CENT, HUNDREDTH_OF_A_CENT = Decimal("0.01"), Decimal("0.0001")


def dollars(amount: Decimal) -> str:
    """Write dollars: `$5`, `$1.20`, `$3.673`."""
    whole, _, cents = f"${amount:,.4f}".partition(".")
    cents = cents.rstrip("0")
    return f"{whole}.{cents.ljust(2, '0')}" if cents else whole


def dollars_spent(amount: Decimal) -> str:
    """Write an amount that came about by the second: `$41.20`, `$0.0034`; never more than it is."""
    step = CENT if amount >= 1 else HUNDREDTH_OF_A_CENT
    return dollars(amount.quantize(step, ROUND_DOWN))
