"""How it stands with the certificate of a host; a gateway says which (`CertificateState` of its
schema), so that there is no table of edges."""

from __future__ import annotations

from collections.abc import Mapping

from apps.core.state_machine import Look

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
