"""The time of a file in a zip. Pure.

A zip tells the time of a wall clock in an unknown zone; most programs add the true time beside it
(Info-ZIP's extended timestamp), and without it UTC is as good as any zone.
"""

from __future__ import annotations

import calendar
import struct
import zipfile

EXTENDED_TIMESTAMP = 0x5455
_HEAD = struct.Struct("<HH")
_TIME = struct.Struct("<Bi")
_MODIFIED = 1


def time_of(info: zipfile.ZipInfo) -> float:
    """Return seconds since 1970, 0 where the zip holds no time that exists."""
    extended = _extended(info.extra)
    if extended is not None:
        return extended
    year, month, day, hour, minute, second = info.date_time
    exists = 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60
    return float(calendar.timegm((year, month, day, hour, minute, second))) if exists else 0.0


def _extended(extra: bytes) -> float | None:
    while len(extra) >= _HEAD.size:
        kind, size = _HEAD.unpack_from(extra)
        body, extra = extra[_HEAD.size : _HEAD.size + size], extra[_HEAD.size + size :]
        if kind == EXTENDED_TIMESTAMP and len(body) >= _TIME.size and body[0] & _MODIFIED:
            return float(_TIME.unpack_from(body)[1])
    return None
