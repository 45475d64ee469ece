"""What a container uses, as the engine says."""

from __future__ import annotations

import typing

from apps.agent.host.usage import Used

NANOSECONDS = 1e9


def used(stats: typing.Any) -> typing.Optional[Used]:
    """Read one answer of the engine's stats; None for one that does not run.

    Files that the kernel could forget are no memory of the container's, as in `docker stats`: they
    are called inactive_file with control groups of version 2, total_inactive_file with version 1.
    """
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    memory = stats.get("memory_stats") or {}
    if not cpu.get("total_usage"):
        return None
    details = memory.get("stats") or {}
    files = details.get("inactive_file", details.get("total_inactive_file", 0))
    return Used(
        cpu_seconds=cpu["total_usage"] / NANOSECONDS,
        memory_bytes=max(memory.get("usage", 0) - files, 0),
        memory_limit_bytes=memory.get("limit"),
    )
