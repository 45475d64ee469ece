"""What an error of Azure means: one table from its code to kind, scope and lifetime.

The code is that in the body: what Microsoft's library raises goes by the status, and a failed
operation has the status 200. How far an error reaches, and for how long, is as in Karpenter, which
places machines there; a lifetime of none is "until a person has changed something", or "ask again".
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, NamedTuple

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.azure import library
from apps.backends.providers.meanings import (
    BACKEND_QUOTA,
    CREDENTIALS,
    NO_FAMILY_QUOTA,
    NO_SPOT_QUOTA,
    REFUSED,
    REGION_QUOTA,
    REGION_SETUP,
    SETUP,
    THROTTLED,
    UNREACHABLE,
    Meaning,
    shortened,
    translating,
)

CAPACITY_LASTS = timedelta(hours=1)

# Which machines share a quota, by what stands for the number of CPUs in their names. Of others,
# each size is one of its own.
SERIES = (
    *("NC#s_v3", "NC#rs_v3", "NC#as_T4_v3", "NC#ads_A100_v4", "NC#ads_H100_v5", "NC#adis_H100_v5"),
    *("NCC#ads_H100_v5", "ND#rs_v2", "ND#asr_v4", "ND#amsr_A100_v4", "ND#isr_H100_v5"),
    *("ND#is_H100_v5", "ND#isr_H200_v5", "D#s_v5", "D#s_v6", "D#as_v5", "D#as_v6", "D#ds_v5"),
    *("D#ds_v6", "D#ads_v5", "D#ads_v6", "E#s_v5", "E#s_v6", "E#as_v5", "E#as_v6", "E#ds_v5"),
    *("E#ds_v6", "E#ads_v5", "E#ads_v6", "F#s_v2", "F#as_v6"),
)
FAMILIES: Mapping[str, str] = {
    series.replace("#", "").replace("_", " "): f"^Standard_{series.replace('#', '[0-9]+')}$"
    for series in SERIES
}

NO_CAPACITY = Meaning(ErrorKind.CAPACITY, Scope.OFFER_REGION, CAPACITY_LASTS)
FAMILY_IS_FULL = Meaning(ErrorKind.CAPACITY, Scope.FAMILY_REGION, CAPACITY_LASTS)

# What the making of a machine ends with after it was accepted: the failed machine stays.
OF_OPERATIONS: dict[str, Meaning] = {
    "AllocationFailed": NO_CAPACITY,
    "AllocationTimeout": NO_CAPACITY,
    "ZonalAllocationFailed": FAMILY_IS_FULL,
    "OverconstrainedAllocationRequest": NO_CAPACITY,
    "OverconstrainedZonalAllocationRequest": NO_CAPACITY,
    "SpotMaxPriceTooLow": NO_CAPACITY,
    "PreemptedDueToSpotEviction": NO_CAPACITY,
    "InternalExecutionError": UNREACHABLE,
    "InternalOperationError": UNREACHABLE,
    "NetworkingInternalOperationError": UNREACHABLE,
    "OperationPreempted": UNREACHABLE,
    "VMStartTimedOut": UNREACHABLE,
    "OSProvisioningTimedOut": REFUSED,
    "OSProvisioningInternalError": REFUSED,
    "OSProvisioningClientError": REFUSED,
}
OF_CALLS: dict[str, Meaning] = {
    "SkuNotAvailable": NO_CAPACITY,
    "CapacityNotAvailable": NO_CAPACITY,
    # Only where the sentence is of a quota: see `_meaning`.
    "OperationNotAllowed": NO_FAMILY_QUOTA,
    "QuotaExceeded": NO_FAMILY_QUOTA,
    "PublicIPCountLimitReached": REGION_QUOTA,
    "ResourceQuotaExceeded": BACKEND_QUOTA,
    "SubscriptionQuotaExceeded": BACKEND_QUOTA,
    "ResourceGroupQuotaExceeded": BACKEND_QUOTA,
    "AuthorizationFailed": REGION_SETUP,
    "LinkedAuthorizationFailed": REGION_SETUP,
    "DisallowedProvider": SETUP,
    "InvalidSubscriptionId": SETUP,
    "MissingSubscriptionRegistration": SETUP,
    "NoRegisteredProviderFound": SETUP,
    "ReadOnlyDisabledSubscription": SETUP,
    "ScopeLocked": REGION_SETUP,
    "SubscriptionDisabled": SETUP,
    "SubscriptionNotFound": SETUP,
    "SubscriptionNotRegistered": SETUP,
    "LocationNotAvailableForResourceGroup": REGION_SETUP,
    "LocationNotAvailableForResourceType": REGION_SETUP,
    "RequestDisallowedByAzure": REGION_SETUP,
    "RequestDisallowedByPolicy": REGION_SETUP,
    "AuthenticationFailed": CREDENTIALS,
    "AuthenticationFailedInvalidHeader": CREDENTIALS,
    "AuthenticationFailedMissingToken": CREDENTIALS,
    "ExpiredAuthenticationToken": CREDENTIALS,
    "InvalidAuthenticationToken": CREDENTIALS,
    "InvalidAuthenticationTokenAudience": CREDENTIALS,
    "InvalidAuthenticationTokenTenant": CREDENTIALS,
    "OperationThrottled": THROTTLED,
    "ResourceCollectionRequestsThrottled": THROTTLED,
    "ResourceRequestsThrottled": THROTTLED,
    "SubscriptionRequestsThrottled": THROTTLED,
    "TooManyRequests": THROTTLED,
    "AnotherOperationInProgress": UNREACHABLE,
    "Conflict": UNREACHABLE,
    "GatewayTimeout": UNREACHABLE,
    "InternalServerError": UNREACHABLE,
    "ResourceGroupBeingDeleted": UNREACHABLE,
    "RetryableError": UNREACHABLE,
    "RetryableErrorDueToAnotherOperation": UNREACHABLE,
    "ServerTimeout": UNREACHABLE,
    "ServiceUnavailable": UNREACHABLE,
    "ImageNotFound": REFUSED,
    "InvalidParameter": REFUSED,
    "PlatformImageNotFound": REFUSED,
}
CODES = {**OF_OPERATIONS, **OF_CALLS}
OF_STATUS = {401: CREDENTIALS, 403: REGION_SETUP, 429: THROTTLED}
# 404 is said of a subscription too that these credentials do not see: that is no empty one.
UNKNOWN = ("ResourceNotFound", "ResourceGroupNotFound", "NotFound")
EXISTS = ("PreconditionFailed", "ConditionNotMet")


class Fault(NamedTuple):
    """What went wrong: with a call that was refused, or with an operation that failed."""

    code: str
    message: str
    meaning: Meaning

    def told(self, where: str) -> ProviderError:
        text = f"Azure in {where} said {self.code or 'nothing'}: {shortened(self.message)}"
        return self.meaning.error(text)


def of(code: str, message: str, *, status: int = 0) -> Fault:
    """Look the code up; of one that is not in the table the status of the answer decides."""
    otherwise = OF_STATUS.get(status, UNREACHABLE if status >= 500 else REFUSED)
    known = CODES.get(code, otherwise)
    return Fault(code or str(status), message, _meaning(known, message))


def of_call(error: Any) -> Fault:
    """Read a call that was refused."""
    said = error.error
    message = str((said and said.message) or error.message or "")
    return of(code_of(error), message, status=int(error.status_code or 0))


def code_of(error: Any) -> str:
    return str((error.error and error.error.code) or "")


def is_unknown(error: Any) -> bool:
    """Tell whether Azure says that there is no such resource."""
    return error.status_code == 404 and code_of(error) in UNKNOWN


def _meaning(known: Meaning, message: str) -> Meaning:
    """Whose quota it is says the sentence alone; not every operation that is not allowed is one."""
    if known is not NO_FAMILY_QUOTA:
        return known
    said = message.lower()
    if "quota" not in said and "limit" not in said:
        return REFUSED
    return NO_SPOT_QUOTA if "lowpriority" in said or "spot" in said else known


def translated(error: Exception, where: str) -> ProviderError:
    """Return the error as one of ours, with a sentence that says where and what."""
    known = library.exceptions()
    if isinstance(error, known.ClientAuthenticationError) and not code_of(error):
        said = f"There are no working credentials of Azure: {shortened(str(error.message))}"
        return CREDENTIALS.error(said)
    if isinstance(error, known.HttpResponseError) and error.status_code:
        return of_call(error).told(where)
    return UNREACHABLE.error(f"Azure in {where} did not answer: {type(error).__name__}")


def told(where: str) -> AbstractContextManager[None]:
    """Turn every error of Microsoft's libraries into one of ours."""
    return translating(library.errors, lambda error: translated(error, where))
