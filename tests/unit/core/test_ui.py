from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils.safestring import SafeString

from apps.core.templatetags import ui


@pytest.mark.parametrize(
    ("value", "text"),
    [(Decimal("1.595"), "$1.595"), (0, "$0"), (12, "$12"), (1164.5, "$1,164.5"), (None, "—")],
)
def test_writes_a_price(value: Decimal | float | None, text: str) -> None:
    assert ui.price(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "$0.00"),
        (0.00001, "<$0.0001"),
        (0.0034, "$0.0034"),
        (41.2, "$41.20"),
        (1164.35, "$1,164"),
    ],
)
def test_writes_an_amount(value: float, text: str) -> None:
    assert ui.money(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (48, "48 s"), (125, "2 m 5 s"), (273_600, "3 d 4 h")],
)
def test_writes_a_duration(seconds: float, text: str) -> None:
    assert ui.duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(812, "812 B"), (1500, "1.5 KB"), (34_000, "33 KB"), (5 * 2**30, "5.0 GB")]
)
def test_writes_a_size(value: int, text: str) -> None:
    assert ui.size(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(-5, "now"), (9, "9s"), (240, "4m"), (7300, "2h")])
def test_writes_an_age(seconds: float, text: str) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)

    assert ui.short_age(now - timedelta(seconds=seconds), now) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        (
            "Leave `gpu` out; see `dstack offer`.",
            "Leave <code>gpu</code> out; see <code>dstack offer</code>.",
        ),
        ("one ` alone", "one ` alone"),
        ("``", "``"),
        ("<b>`<i>`</b>", "&lt;b&gt;<code>&lt;i&gt;</code>&lt;/b&gt;"),
        ("`a` `b", "<code>a</code> `b"),
        ("", ""),
    ],
)
def test_shows_what_is_quoted_as_code_and_nothing_as_markup(text: str, shown: str) -> None:
    assert ui.sentence(text) == shown
    assert isinstance(ui.sentence(text), SafeString)
