"""The machines of runs and replicas. An edge exists here or nowhere."""

from __future__ import annotations

from apps.core.machine import Machine

SUBMITTED, PROVISIONING, RUNNING, IDLE = "submitted", "provisioning", "running", "idle"
UPDATING, STOPPING, STOPPED, FAILED = "updating", "stopping", "stopped", "failed"

# A run's state is derived from its replicas (decide.run_state). idle: no replica, by intent.
RUN = Machine(
    "run",
    {
        SUBMITTED: frozenset({PROVISIONING, RUNNING, IDLE, STOPPING, STOPPED, FAILED}),
        PROVISIONING: frozenset({RUNNING, IDLE, UPDATING, STOPPING, STOPPED, FAILED}),
        RUNNING: frozenset({PROVISIONING, IDLE, UPDATING, STOPPING, STOPPED, FAILED}),
        IDLE: frozenset({PROVISIONING, RUNNING, UPDATING, STOPPING, STOPPED, FAILED}),
        UPDATING: frozenset({PROVISIONING, RUNNING, IDLE, STOPPING, STOPPED, FAILED}),
        STOPPING: frozenset({STOPPED, FAILED}),
        STOPPED: frozenset(),
        FAILED: frozenset(),
    },
)

PENDING, STARTING, UNHEALTHY, DRAINING = "pending", "starting", "unhealthy", "draining"

# pending: wants a place (now, or after its backoff). provisioning: has one that is not ready to
# run it. starting: its process lives or is being prepared. running: takes requests. unhealthy: was
# running and fails its probe. draining: takes no new requests; ends when those in flight are done.
REPLICA = Machine(
    "replica",
    {
        PENDING: frozenset({PROVISIONING, STARTING, STOPPED, FAILED}),
        PROVISIONING: frozenset({PENDING, STARTING, RUNNING, DRAINING, STOPPED, FAILED}),
        STARTING: frozenset({RUNNING, DRAINING, STOPPED, FAILED}),
        RUNNING: frozenset({UNHEALTHY, DRAINING, STOPPED, FAILED}),
        UNHEALTHY: frozenset({RUNNING, DRAINING, STOPPED, FAILED}),
        DRAINING: frozenset({STOPPED, FAILED}),
        STOPPED: frozenset(),
        FAILED: frozenset(),
    },
)
