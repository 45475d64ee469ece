"""What an error of Google Cloud means: one table from its code to kind, scope and lifetime.

Codes of operations are in capitals, reasons of refused calls are not; those of the gate before all
of Google's APIs are in capitals too. The scopes are those of SkyPilot, which places machines there;
a lifetime of none is "until a person has changed something", or "ask again".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, NamedTuple

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.gcp import library
from apps.backends.providers.meanings import (
    BACKEND_QUOTA,
    CREDENTIALS,
    NO_FAMILY_QUOTA,
    NO_SPOT_QUOTA,
    REFUSED,
    REGION_SETUP,
    SETUP,
    THROTTLED,
    UNREACHABLE,
    Meaning,
    shortened,
    translating,
)

CAPACITY_LASTS = timedelta(minutes=3)

# Which machines share a quota: https://cloud.google.com/compute/resource-usage. Those with GPUs are
# counted by their GPUs, all others by their CPUs, mostly for each series alone.
SERIES = (
    *("a2-ultragpu", "a2", "a3-ultragpu", "a3-megagpu", "a3", "a4x", "a4", "g2", "g4"),
    *("n2d", "n2", "n4d", "n4a", "n4", "c2d", "c2", "c3d", "c3", "c4a", "c4d", "c4"),
    *("h3", "h4d", "m1", "m2", "m3", "m4", "t2d", "t2a", "x4", "z3"),
)
FAMILIES: Mapping[str, str] = {
    **{
        f"n1 with {card.upper()}": f"^n1-.+-{card}x[0-9]+$" for card in ("t4", "p4", "v100", "p100")
    },
    "e2 and n1": "^(e2|n1|f1|g1)-",
    **{series: f"^{series}-" for series in SERIES},
}

NO_CAPACITY = Meaning(ErrorKind.CAPACITY, Scope.OFFER_ZONE, CAPACITY_LASTS)

# RESOURCE_NOT_FOUND is what a zone says that lacks the type, UNSUPPORTED_OPERATION what comes of a
# spot machine that is taken back while it is made.
OF_OPERATIONS: dict[str, Meaning] = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": NO_CAPACITY,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": NO_CAPACITY,
    "RESOURCE_NOT_READY": NO_CAPACITY,
    "RESOURCE_OPERATION_RATE_EXCEEDED": NO_CAPACITY,
    "RESOURCE_NOT_FOUND": NO_CAPACITY,
    "UNSUPPORTED_OPERATION": NO_CAPACITY,
    "QUOTA_EXCEEDED": NO_FAMILY_QUOTA,
    "SUBNET_NOT_FOUND_FOR_VPC": REGION_SETUP,
    "VPC_NOT_FOUND": SETUP,
    "IAM_PERMISSION_DENIED": REGION_SETUP,
    "PERMISSIONS_ERROR": REGION_SETUP,
    "CONDITION_NOT_MET": REGION_SETUP,
    "RATE_LIMIT_EXCEEDED": THROTTLED,
    "INTERNAL_ERROR": UNREACHABLE,
}
OF_CALLS: dict[str, Meaning] = {
    "insufficientCapacity": NO_CAPACITY,
    "stockout": NO_CAPACITY,
    "quotaExceeded": NO_FAMILY_QUOTA,
    "limitExceeded": BACKEND_QUOTA,
    "SERVICE_DISABLED": SETUP,
    "accessNotConfigured": SETUP,
    "BILLING_DISABLED": SETUP,
    "billingNotEnabled": SETUP,
    "CONSUMER_INVALID": SETUP,
    "CONSUMER_SUSPENDED": SETUP,
    "USER_PROJECT_DENIED": SETUP,
    "forbidden": REGION_SETUP,
    "conditionNotMet": REGION_SETUP,
    "authError": CREDENTIALS,
    "ACCESS_TOKEN_EXPIRED": CREDENTIALS,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": CREDENTIALS,
    "ACCOUNT_STATE_INVALID": CREDENTIALS,
    "CREDENTIALS_MISSING": CREDENTIALS,
    "rateLimitExceeded": THROTTLED,
    "userRateLimitExceeded": THROTTLED,
    "backendError": UNREACHABLE,
    "internalError": UNREACHABLE,
}
CODES = {**OF_OPERATIONS, **OF_CALLS}
OF_STATUS = {401: CREDENTIALS, 403: REGION_SETUP, 429: THROTTLED}
EXISTS = ("alreadyExists", "RESOURCE_ALREADY_EXISTS")


class Fault(NamedTuple):
    """What went wrong with a machine: by a refused call, or by an operation that failed."""

    code: str
    message: str
    meaning: Meaning
    zones_available: tuple[str, ...] = ()

    def told(self, where: str) -> ProviderError:
        said = shortened(self.message)
        text = f"Google Cloud in {where} said {self.code or 'nothing'}: {said}"
        return self.meaning.error(text)


def of_call(error: Any) -> Fault:
    """Read a call that was refused: the reason that is known, else its status decides."""
    reasons = [str(error.reason or "")]
    reasons += [str(each.get("reason") or "") for each in error.errors if isinstance(each, dict)]
    named = [reason for reason in reasons if reason]
    code = next((reason for reason in named if reason in CODES), "".join(named[:1]))
    status = int(error.code or 0)
    otherwise = OF_STATUS.get(status, UNREACHABLE if status >= 500 else REFUSED)
    message = re.sub(r"^[A-Z]+ https?://\S+: ", "", str(error.message))
    return Fault(code or str(status), message, _meaning(code, message, otherwise))


def of_operation(operation: Any) -> Fault | None:
    """Return the first error of an operation, None where it has none."""
    for each in operation.error.errors:
        infos = [dict(detail.error_info.metadatas) for detail in each.error_details]
        zones = ",".join(info.get("zonesAvailable", "") for info in infos)
        quotas = " ".join(detail.quota_info.metric_name for detail in each.error_details)
        message = str(each.message or operation.http_error_message)
        return Fault(
            str(each.code),
            message,
            _meaning(str(each.code), f"{message} {quotas}", REFUSED),
            tuple(zone.strip() for zone in zones.split(",") if zone.strip()),
        )
    return None


def _meaning(code: str, message: str, otherwise: Meaning) -> Meaning:
    """A quota that all regions share or that spot machines have for themselves is told by name."""
    known = CODES.get(code, otherwise)
    if known is NO_FAMILY_QUOTA and "CPUS_ALL_REGIONS" in message:
        return BACKEND_QUOTA
    if known is NO_FAMILY_QUOTA and "PREEMPTIBLE" in message:
        return NO_SPOT_QUOTA
    return known


def translated(error: Exception, where: str) -> ProviderError:
    """Return the error as one of ours, with a sentence that says where and what."""
    if isinstance(error, library.exceptions().GoogleAPICallError):
        return of_call(error).told(where)
    refused = library.auth_exceptions()
    if isinstance(error, refused.TransportError):
        return UNREACHABLE.error(f"Google Cloud gave {where} no token: {type(error).__name__}")
    if isinstance(error, refused.GoogleAuthError):
        said = shortened(str(error.args[0]) if error.args else type(error).__name__)
        return CREDENTIALS.error(f"There are no working credentials of Google Cloud: {said}")
    return UNREACHABLE.error(f"Google Cloud in {where} did not answer: {type(error).__name__}")


def told(where: str) -> AbstractContextManager[None]:
    """Turn every error of Google's libraries into one of ours."""
    return translating(library.errors, lambda error: translated(error, where))
