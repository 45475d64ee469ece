"""The machines of instances and workloads. An edge exists here or nowhere."""

from __future__ import annotations

from apps.core.state_machine import Look, Machine

REQUESTED, CREATING, BOOTING = "requested", "creating", "booting"
READY, IDLE, LOST = "ready", "idle", "lost"
TERMINATING, TERMINATED, FAILED = "terminating", "terminated", "failed"

# requested: wanted, no call made yet. creating: the provider is being asked. booting: it exists,
# its agent has not reported. lost: the agent was heard and is silent. failed: never came to be,
# or never called.
INSTANCE = Machine(
    "instance",
    {
        REQUESTED: frozenset({CREATING, TERMINATING, FAILED}),
        CREATING: frozenset({BOOTING, TERMINATING, FAILED}),
        BOOTING: frozenset({READY, TERMINATING}),
        READY: frozenset({IDLE, LOST, TERMINATING}),
        IDLE: frozenset({READY, LOST, TERMINATING}),
        LOST: frozenset({READY, TERMINATING, TERMINATED}),
        TERMINATING: frozenset({TERMINATED, FAILED}),
        TERMINATED: frozenset(),
        FAILED: frozenset(),
    },
    {
        REQUESTED: Look("blue", "about to be created"),
        CREATING: Look("blue", "the backend is making it"),
        BOOTING: Look("blue", "exists, its agent has not reported yet"),
        READY: Look("green", "its agent reports", "circle-check-filled"),
        IDLE: Look("grey", "has nothing to run", "moon"),
        LOST: Look("amber", "its agent went silent", "alert-triangle-filled"),
        TERMINATING: Look("blue", "being removed"),
        TERMINATED: Look("grey", "gone", "player-stop-filled"),
        FAILED: Look("red", "ended by an error", "alert-circle-filled"),
    },
)

ASSIGNED, PULLING, RUNNING, EXITED = "assigned", "pulling", "running", "exited"

WORKLOAD = Machine(
    "workload",
    {
        ASSIGNED: frozenset({PULLING, RUNNING, EXITED}),
        PULLING: frozenset({RUNNING, EXITED}),
        RUNNING: frozenset({EXITED}),
        EXITED: frozenset(),
    },
    {
        ASSIGNED: Look("blue", "its agent has not taken it yet"),
        PULLING: Look("blue", "its files are being fetched"),
        RUNNING: Look("green", "its process lives", "circle-check-filled"),
        EXITED: Look("grey", "its process is over", "player-stop-filled"),
    },
)
