"""The machine of gateways; and how it stands with the certificate of a host, which a gateway says
(`CertificateState` of its schema), so that there is no table of edges for that."""

from __future__ import annotations

from collections.abc import Mapping

from apps.core.state_machine import Look, Machine

CREATING, PROVISIONING, RUNNING = "creating", "provisioning", "running"
DELETING, DELETED, GAVE_UP = "deleting", "deleted", "failed"

# creating: wanted, its address is asked for and its machine chosen. provisioning: it has a machine,
# which does not serve yet, or not any more. running: it serves, as the server's own does from the
# start. failed: there is no machine for it, until somebody deletes it or has it tried again.
GATEWAY = Machine(
    "gateway",
    {
        CREATING: frozenset({PROVISIONING, GAVE_UP, DELETING}),
        PROVISIONING: frozenset({RUNNING, CREATING, GAVE_UP, DELETING}),
        RUNNING: frozenset({CREATING, PROVISIONING, DELETING}),
        GAVE_UP: frozenset({CREATING, DELETING}),
        DELETING: frozenset({DELETED}),
        DELETED: frozenset(),
    },
    {
        CREATING: Look("blue", "its address and its machine are asked for"),
        PROVISIONING: Look("blue", "its machine does not serve yet"),
        RUNNING: Look("green", "serves", "circle-check-filled"),
        GAVE_UP: Look("red", "there is no machine for it", "alert-circle-filled"),
        DELETING: Look("blue", "its machine and its address are given back"),
        DELETED: Look("grey", "gone", "player-stop-filled"),
    },
)

PENDING, VALID, FAILED = "pending", "valid", "failed"

CERTIFICATE: Mapping[str, Look] = {
    PENDING: Look("amber", "its first certificate is being ordered"),
    VALID: Look("green", "has a good certificate", "circle-check-filled"),
    FAILED: Look("red", "has no certificate, the last order failed", "alert-triangle-filled"),
}
# A certificate that is still good, though the order of the next one failed.
NOT_RENEWED = Look("amber", "has a good certificate, the last order failed", "circle-check-filled")


def certificate_look(state: str, *, error: str) -> Look:
    """Return how a host's certificate is shown; `error` is why the last order failed."""
    return NOT_RENEWED if error and state == VALID else CERTIFICATE.get(state, CERTIFICATE[FAILED])
