"""What all pages show alike: icons, states, prices, times, copy buttons."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from django import template
from django.conf import settings
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# state -> (tone, icon, word, explanation). A tone is a colour with one meaning: green works, blue
# is on its way, grey rests, amber needs a look, red failed. Blue ones spin instead of an icon.
STATES: dict[str, tuple[str, str, str, str]] = {
    "submitted": ("blue", "", "submitted", "accepted, about to start"),
    "provisioning": ("blue", "", "provisioning", "getting a place to run"),
    "running": ("green", "circle-check-filled", "running", "takes requests"),
    "idle": ("grey", "moon", "idle", "asleep, it has no replica"),
    "updating": ("blue", "", "updating", "rolling out a new version"),
    "stopping": ("blue", "", "stopping", "finishing requests in flight"),
    "stopped": ("grey", "player-stop-filled", "stopped", "ended as asked"),
    "failed": ("red", "alert-circle-filled", "failed", "ended by an error"),
    "pending": ("blue", "", "pending", "waits for a place to run"),
    "starting": ("blue", "", "starting", "its process starts, not ready yet"),
    "unhealthy": ("amber", "alert-triangle-filled", "unhealthy", "fails its probe"),
    "draining": ("blue", "", "draining", "takes no new requests, finishes old ones"),
    "requested": ("blue", "", "requested", "about to be created"),
    "creating": ("blue", "", "creating", "the backend is making it"),
    "booting": ("blue", "", "booting", "exists, its agent has not reported yet"),
    "ready": ("green", "circle-check-filled", "ready", "its agent reports"),
    "lost": ("amber", "alert-triangle-filled", "lost", "its agent went silent"),
    "terminating": ("blue", "", "terminating", "being removed"),
    "terminated": ("grey", "player-stop-filled", "terminated", "gone"),
}
UNKNOWN = ("grey", "help", "", "")

STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


@register.simple_tag
def asset(path: str) -> str:
    """This function will return the URL of a static file, changed with its content so that a
    browser never keeps an old one."""
    return _versioned(path) if settings.DEBUG else _versioned_once(path)


def _versioned(path: str) -> str:
    found = _file(path)
    digest = hashlib.sha256(found.read_bytes()).hexdigest()[:10] if found else "0"
    return f"{static(path)}?v={digest}"


# Static files do not change below a running server, but for a developer's.
_versioned_once = lru_cache(maxsize=256)(_versioned)


def _file(path: str) -> Path | None:
    collected = Path(settings.STATIC_ROOT or "", path)
    if collected.is_file() and not settings.DEBUG:
        return collected
    found = finders.find(path)
    return Path(found) if isinstance(found, str) else None


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """This function will draw an icon of the sprite; without a label it is decoration only."""
    sprite = asset("vendor/icons.svg")
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"/></svg>',
            label, sprite, name,
        )  # fmt: skip
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', sprite, name
    )


@register.inclusion_tag("components/badge.html")
def badge(state: str, since: datetime | None = None) -> dict[str, Any]:
    """This function will show a state by colour, icon and word; blue ones with their age."""
    tone, icon_name, word, title = STATES.get(state, UNKNOWN)
    return {
        "state": state,
        "tone": tone,
        "icon_name": icon_name,
        "word": word or state,
        "title": title,
        "since": since if tone == "blue" else None,
    }


@register.inclusion_tag("components/copy.html")
def copy(text: str, label: str = "Copy") -> dict[str, str]:
    return {"text": text, "label": label}


@register.filter
def price(value: Decimal | float | None) -> str:
    """This function will write dollars per hour: `$1.595`, `$0`."""
    if value is None:
        return "—"
    return f"${float(value):,.4f}".rstrip("0").rstrip(".") if value else "$0"


@register.filter
def money(value: Decimal | float | None) -> str:
    """This function will write an amount: `$41.20`, `$1,164`, `<$0.01`."""
    amount = float(value or 0)
    if 0 < amount < 0.01:
        return "<$0.01"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


@register.filter
def duration(value: timedelta | float | None) -> str:
    """This function will write a length of time: `3.2 s`, `48 s`, `2 m 5 s`, `3 d 4 h`."""
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


def short_age(at: datetime, now: datetime) -> str:
    seconds = max((now - at).total_seconds(), 0)
    for size, unit in STEPS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "now"


@register.simple_tag
def age(at: datetime | None, suffix: str = "") -> SafeString | str:
    """This function will show how long ago something was; the exact time shows on hover."""
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
    """This function will write bytes: `812 B`, `34 KB`, `1.2 MB`."""
    amount = float(value or 0)
    for unit in ("B", "KB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} GB"
