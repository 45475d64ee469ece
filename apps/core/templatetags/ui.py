"""What all pages show alike: icons, states, prices, times, copy buttons."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.models import Stateful
from apps.core.state_machine import Look

register = template.Library()

_QUOTED = re.compile(r"`([^`]+)`")
STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw an icon of the sprite; without a label it is decoration only."""
    sprite = _sprite()
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"/></svg>',
            label, sprite, name,
        )  # fmt: skip
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', sprite, name
    )


@cache
def _sprite() -> str:
    """A page has up to hundreds of icons, and to look a name up takes longer than to draw one."""
    return static("vendor/icons.svg")


@register.inclusion_tag("components/badge.html")
def badge(row: Stateful) -> dict[str, Any]:
    """Show a row's state by colour, icon and word; one that is on its way with its age."""
    look = row.state_machine.looks[row.state]
    return {
        "state": row.state,
        "look": look,
        "since": row.state_at if look.tone == "blue" else None,
    }


@register.inclusion_tag("components/badge.html")
def badge_of(state: str, look: Look) -> dict[str, Any]:
    """Show a state that is no row's own."""
    return {"state": state, "look": look}


@register.inclusion_tag("components/copy.html")
def copy(text: str, label: str = "Copy") -> dict[str, str]:
    return {"text": text, "label": label}


@register.filter
def sentence(text: object) -> SafeString:
    """Show what stands between backquotes, as messages for a terminal write it, as code."""
    parts = _QUOTED.split(str(text))
    shown = (
        format_html("<code>{}</code>", part) if n % 2 else part for n, part in enumerate(parts)
    )
    return format_html_join("", "{}", ((part,) for part in shown))


@register.filter
def without(text: str, part: str) -> str:
    """Leave out a part that is shown by itself, such as what is to be copied."""
    return text.replace(part, "").rstrip() if part else text


@register.filter
def price(value: Decimal | float | None) -> str:
    """Write dollars per hour: `$1.595`, `$0`."""
    if value is None:
        return "—"
    return f"${float(value):,.4f}".rstrip("0").rstrip(".") if value else "$0"


@register.filter
def money(value: Decimal | float | None) -> str:
    """Write an amount: `$41.20`, `$1,164`, `$0.0034`, `<$0.0001`."""
    amount = float(value or 0)
    if 0 < amount < 0.01:
        return f"${amount:.4f}" if amount >= 0.0001 else "<$0.0001"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


@register.filter
def spent(value: Decimal | None) -> str:
    """Write an amount that grows: `$0.0034`, `$3.2701`, `$41.20`; scripts count it up so."""
    amount = float(value or 0)
    return f"${amount:,.4f}" if amount < 10 else f"${amount:,.2f}"


@register.filter
def plain(value: Decimal | None) -> str:
    """Write a number for scripts."""
    return f"{value or 0:.8f}"


@register.filter
def duration(value: timedelta | float | None) -> str:
    """Write a length of time: `3.2 s`, `48 s`, `2 m 5 s`, `3 d 4 h`."""
    if value is None:
        return "—"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    parts = []
    for size, unit in STEPS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{int(count)} {unit}")
    return " ".join(parts[:2])


@register.filter
def milliseconds(value: float | None) -> str:
    """Write a short time given in milliseconds: `0.4 ms`, `84 ms`, `3.2 s`."""
    if value is None:
        return "—"
    if value >= 1000:
        return duration(value / 1000)
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def short_age(at: datetime, now: datetime) -> str:
    seconds = max((now - at).total_seconds(), 0)
    for size, unit in STEPS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "now"


@register.simple_tag
def age(at: datetime | None, suffix: str = "") -> SafeString | str:
    """Show how long ago something was; the exact time shows on hover."""
    if at is None:
        return "—"
    text = short_age(at, timezone.now())
    return format_html(
        '<time datetime="{}" title="{}" data-age="{}">{}</time>',
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC", suffix, _with(text, suffix),
    )  # fmt: skip


def _with(text: str, suffix: str) -> str:
    return f"{text} {suffix}" if suffix and text != "now" else text


@register.filter
def size(value: int | None) -> str:
    """Write bytes: `812 B`, `34 KB`, `1.2 MB`."""
    amount = float(value or 0)
    for unit in ("B", "KB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} GB"
