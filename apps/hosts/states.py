"""The machine of a host. An edge exists here or nowhere."""

from __future__ import annotations

from apps.core.state_machine import Look, Machine

CHECKING, INSTALLING, STARTING = "checking", "installing", "starting"
ACTIVE, FAILED, REMOVING, REMOVED = "active", "failed", "removing", "removed"

# starting: its agent is installed and has not reported. active: it did; how it does now is what its
# instance says. removing: what is ours there is being taken away.
HOST = Machine(
    "host",
    {
        CHECKING: frozenset({INSTALLING, FAILED, REMOVING}),
        INSTALLING: frozenset({STARTING, FAILED, REMOVING}),
        STARTING: frozenset({ACTIVE, FAILED, REMOVING}),
        ACTIVE: frozenset({CHECKING, FAILED, REMOVING}),
        FAILED: frozenset({CHECKING, REMOVING}),
        REMOVING: frozenset({REMOVED}),
        REMOVED: frozenset(),
    },
    {
        CHECKING: Look("blue", "is being looked at over ssh"),
        INSTALLING: Look("blue", "gets its agent"),
        STARTING: Look("blue", "its agent has not reported yet"),
        ACTIVE: Look("green", "services can run there", "circle-check-filled"),
        FAILED: Look("red", "something is missing there", "alert-circle-filled"),
        REMOVING: Look("blue", "our agent is being taken away"),
        REMOVED: Look("grey", "is no host of the project any more", "player-stop-filled"),
    },
)
