"""From the lines that an agent sends to what is stored. Pure: time is an argument.

The text is the user's program's: any length, any character, any time. Here it becomes text that the
database can hold, and times that pruning can rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.agent.wire import LogLine

# The agent cuts at 64 KB and says so in a few words of its own.
MAX_LINE_BYTES = 65 * 1024
MAX_SEQ = 2**62
# Clocks of hosts are off now and then; further off than this, the time of arrival is better.
MAX_AHEAD = timedelta(hours=1)
MAX_BEHIND = timedelta(days=20)


@dataclass(frozen=True)
class Packed:
    """Lines as a chunk holds them; `next_seq` is the number that should come after them."""

    first_seq: int
    next_seq: int
    text: str
    size_bytes: int
    first_at: datetime
    last_at: datetime
    offsets_ms: list[int]


def pack(lines: Sequence[LogLine], *, next_seq: int, at: datetime) -> Packed | None:
    """Pack the lines from `next_seq` on; None when there is none.

    Lines that came before are left out; a gap is told by a line of its own in its place.
    """
    wanted = fresh(lines, next_seq=next_seq)
    if not wanted:
        return None
    texts, times = _told(wanted, next_seq=next_seq, at=at)
    text = "\n".join(texts)
    if _is_unclean(text, texts):
        text = "\n".join(_clean(each) for each in texts)
    first_at = min(times)
    offsets = [round((time - first_at).total_seconds() * 1000) for time in times]
    return Packed(
        first_seq=wanted[0].seq,
        next_seq=wanted[-1].seq + 1,
        text=text,
        size_bytes=len(text.encode()) + 1,
        first_at=first_at,
        last_at=max(times),
        offsets_ms=offsets,
    )


def fresh(lines: Sequence[LogLine], *, next_seq: int) -> Sequence[LogLine]:
    """Return the lines from `next_seq` on, in order, each once."""
    if all(line.seq == next_seq + index for index, line in enumerate(lines)):
        return lines
    known = {line.seq: line for line in lines if next_seq <= line.seq < MAX_SEQ}
    return [known[seq] for seq in sorted(known)]


def _told(
    lines: Sequence[LogLine], *, next_seq: int, at: datetime
) -> tuple[list[str], list[datetime]]:
    texts, times = [], []
    expected, time = next_seq, at
    for line in lines:
        time = _time(line.at, at=at, otherwise=time)
        if line.seq != expected:
            texts.append(_gap(line.seq - expected))
            times.append(time)
        texts.append(line.text)
        times.append(time)
        expected = line.seq + 1
    return texts, times


def _gap(count: int) -> str:
    return f"[dstack: {count:,} line{'s' if count > 1 else ''} lost on the way]"


def _time(text: str, *, at: datetime, otherwise: datetime) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return time if at - MAX_BEHIND < time < at + MAX_AHEAD else otherwise
    except (ValueError, OverflowError):
        return otherwise


def _is_unclean(text: str, texts: Sequence[str]) -> bool:
    return (
        "\0" in text
        or not text.isascii()
        or text.count("\n") >= len(texts)
        or len(max(texts, key=len)) > MAX_LINE_BYTES
    )


def _clean(text: str) -> str:
    # Half a surrogate pair becomes "?", a line that grows too long ends in the middle.
    data = text.replace("\0", "\ufffd").replace("\n", "\r").encode("utf-8", "replace")
    return data[:MAX_LINE_BYTES].decode("utf-8", "ignore")
