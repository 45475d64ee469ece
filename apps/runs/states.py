"""The machines of runs and replicas. An edge exists here or nowhere."""

from __future__ import annotations

from apps.core.state_machine import Look, Machine

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
    {
        SUBMITTED: Look("blue", "accepted, about to start"),
        PROVISIONING: Look("blue", "getting a place to run"),
        RUNNING: Look("green", "takes requests", "circle-check-filled"),
        IDLE: Look("grey", "asleep, it has no replica", "moon"),
        UPDATING: Look("blue", "rolling out a new version"),
        STOPPING: Look("blue", "finishing requests in flight"),
        STOPPED: Look("grey", "ended as asked", "player-stop-filled"),
        FAILED: Look("red", "ended by an error", "alert-circle-filled"),
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
    {
        PENDING: Look("blue", "waits for a place to run"),
        PROVISIONING: Look("blue", "getting a place to run"),
        STARTING: Look("blue", "its process starts, not ready yet"),
        RUNNING: Look("green", "takes requests", "circle-check-filled"),
        UNHEALTHY: Look("amber", "fails its probe", "alert-triangle-filled"),
        DRAINING: Look("blue", "takes no new requests, finishes old ones"),
        STOPPED: Look("grey", "ended as asked", "player-stop-filled"),
        FAILED: Look("red", "ended by an error", "alert-circle-filled"),
    },
)

# No machine: what events say of a replica that ended while it answered something.
REQUEST, UNANSWERED = "request", "unanswered"
# No machine either: events that say who brought a run from one version to another.
VERSION = "version"
