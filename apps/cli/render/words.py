"""Values as people read them: prices, ages, sizes."""

from __future__ import annotations

from datetime import datetime, timedelta

_AGES = ((60, "sec"), (3600, "min"), (86400, "hour"), (7 * 86400, "day"))


def price(usd_per_hour: float | str | None) -> str:
    """Write a price in USD per hour: 1.595 -> `$1.595`, 0 -> `$0`."""
    if usd_per_hour is None:
        return "-"
    digits = f"{float(usd_per_hour):.4f}".rstrip("0").rstrip(".")
    return f"${digits}"


def money(usd: float | str | None) -> str:
    """Write an amount of USD: 41.2 -> `$41.20`, 0.0034 -> `$0.0034`, 0 -> `$0`."""
    amount = float(usd or 0)
    if usd is None or not amount:
        return "-" if usd is None else "$0"
    return f"${amount:,.4f}" if amount < 1 else f"${amount:,.2f}"


def size(amount_bytes: int) -> str:
    """Write an amount of bytes: 1536 -> `1.5 KB`."""
    amount = float(amount_bytes)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


def moment(text: str | None) -> datetime | None:
    """Read a time of the API (RFC 3339), None where there is none."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def age(text: str | None, *, now: datetime) -> str:
    """Write how long ago a time of the API was: `6 mins ago`."""
    at = moment(text)
    if at is None or at.tzinfo is None:
        return "-"
    return span(now - at)


def length(passed: timedelta) -> str:
    """Write how long something took or takes: `40 s`, `2 m 5 s`, `1 h 3 m`."""
    seconds = max(int(passed.total_seconds()), 0)
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest} s"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} m" if hours else f"{minutes} m {rest} s"


def span(passed: timedelta) -> str:
    """Write a time that passed, in its largest unit."""
    seconds = int(passed.total_seconds())
    if seconds < 5:
        return "now"
    step, name = 1, "sec"
    for above, unit in _AGES:
        name = unit
        if seconds < above:
            break
        step = above
    else:
        name = "week"
    count = seconds // step
    return f"{count} {name}{'s' if count != 1 else ''} ago"
