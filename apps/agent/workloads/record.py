"""What stands on the disk of a workload's spec: all but its secrets, which the server has.

An agent that starts anew takes up what runs with this, and learns the rest from its assignment.
"""

from __future__ import annotations

import dataclasses
import typing

from apps.agent import wire

CUT = "cut"


def kept(spec: wire.WorkloadSpec) -> dict[str, typing.Any]:
    """Return the spec as it may lie on the disk, as JSON; CUT names what is missing from it."""
    bare = dataclasses.replace(
        spec,
        env={},
        registry_password=None,
        # What probes send may hold a token.
        probes=[dataclasses.replace(probe, headers=[], body=None) for probe in spec.probes],
    )
    names = ("env", "registry_password", "probes")
    cut = [name for name in names if getattr(bare, name) != getattr(spec, name)]
    return {**wire.to_json(bare), CUT: cut}


def missing(stored: typing.Any) -> frozenset[str]:
    """Return the names of the fields that were cut from what `kept` gave."""
    return frozenset(stored.get(CUT) or ()) if isinstance(stored, dict) else frozenset()


def whole_again(
    stored: wire.WorkloadSpec, told: wire.WorkloadSpec, names: typing.Iterable[str]
) -> wire.WorkloadSpec:
    """Return the stored spec with what was cut from it, from the server's."""
    return dataclasses.replace(stored, **{name: getattr(told, name) for name in names})
