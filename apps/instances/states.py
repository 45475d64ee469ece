"""The machines of instances and workloads. An edge exists here or nowhere."""

from __future__ import annotations

from apps.core.machine import Machine

REQUESTED, CREATING, BOOTING = "requested", "creating", "booting"
READY, IDLE, LOST = "ready", "idle", "lost"
TERMINATING, TERMINATED, FAILED = "terminating", "terminated", "failed"

# requested: wanted, no call made yet. creating: the provider is being asked. booting: it exists,
# its agent has not reported. lost: the agent was heard and is silent. failed: never came to be.
INSTANCE = Machine(
    "instance",
    {
        REQUESTED: frozenset({CREATING, TERMINATING, FAILED}),
        CREATING: frozenset({BOOTING, TERMINATING, FAILED}),
        BOOTING: frozenset({READY, TERMINATING}),
        READY: frozenset({IDLE, LOST, TERMINATING}),
        IDLE: frozenset({READY, LOST, TERMINATING}),
        LOST: frozenset({READY, TERMINATING}),
        TERMINATING: frozenset({TERMINATED}),
        TERMINATED: frozenset(),
        FAILED: frozenset(),
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
)
