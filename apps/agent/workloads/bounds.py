"""What a process replica may have of its host, and the words for going over it."""

from __future__ import annotations

import hashlib
import typing
from pathlib import Path

from apps.agent import wire
from apps.agent.isolation import cgroups


def group_name(folder: Path) -> str:
    """Return the name of a workload's control groups on this host.

    Two agents of one host may know workloads of one id, such as those of a server and of its copy:
    neither may end what the other runs.
    """
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def make(spec: wire.WorkloadSpec, folder: Path, remarks: list[str]) -> dict[str, typing.Any]:
    """Make the workload's control groups and return what is to be noted of them.

    Where the host has none, that is a remark for whoever asked for a bound.
    """
    most_mib = cgroups.shared_memory_mib()
    bounds = cgroups.Bounds(
        memory_mib=min(spec.memory_limit_mib or most_mib, most_mib),
        processes=cgroups.most_processes(),
        cpus=spec.cpu_limit,
    )
    try:
        made = cgroups.create(name=group_name(folder), bounds=bounds)
    except cgroups.Unavailable as error:
        if spec.memory_limit_mib is not None or spec.cpu_limit is not None:
            remarks.append(f"memory and CPU are not limited on this host: {error}")
        return {"cgroups": []}
    return {
        "cgroups": [str(path) for path in made],
        "memory_mib": bounds.memory_mib,
        "processes": bounds.processes,
    }


def too_many_processes(facts: typing.Mapping[str, typing.Any]) -> str:
    """Return the sentence for a replica that was ended for that; `facts` are what `make` noted."""
    most = facts.get("processes", cgroups.MOST_PROCESSES)
    return f"killed: it had started the {most:,} processes and threads that it may have"
