"""What can go wrong here; each text is one sentence for the person who runs the gateway."""

from __future__ import annotations


class GatewayError(Exception):
    """The root of all errors that the gateway raises by itself."""


class BadConfig(GatewayError):
    """A setting is missing or not of its form."""


class BadTable(GatewayError):
    """The control plane's table breaks its contract; the last good one stays in force."""


class ControlPlaneError(GatewayError):
    """The control plane did not answer as agreed; the last table stays in force."""


class HaproxyFailed(GatewayError):
    """HAProxy did not start, or does not answer on its runtime socket."""


class RuntimeRefused(GatewayError):
    """HAProxy refused a command of its runtime socket."""


class BadCertificate(GatewayError):
    """A certificate or its key cannot be used."""


class TunnelsUnavailable(GatewayError):
    """Nobody can open a tunnel here."""


class OrderFailed(GatewayError):
    """The ACME server gave no certificate."""
