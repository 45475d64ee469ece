"""What an error of AWS means: one table from its code to kind, scope and lifetime.

The lifetimes are how long others who place machines there (Karpenter, ParallelCluster) hold an
error for true; none is "until a person has changed something", or "ask again".
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta

from botocore import exceptions
from botocore.parsers import ResponseParserError

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.meanings import (
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

CAPACITY_LASTS = timedelta(minutes=3)

NO_CAPACITY = Meaning(ErrorKind.CAPACITY, Scope.OFFER_ZONE, CAPACITY_LASTS)
NO_SPOT = Meaning(ErrorKind.SETUP, Scope.SPOT_REGION)

# `Unsupported` is what a zone says that does not have the type, or has none of it just now.
# `IncorrectInstanceState` is said of a machine that has not begun to run.
# `IdempotentParameterMismatch` says that the machine was made a moment ago: asked again, its tags
# are found.
SUBNET_IS_FULL = "InsufficientFreeAddressesInSubnet"
CODES: dict[str, Meaning] = {
    "InsufficientInstanceCapacity": NO_CAPACITY,
    "InsufficientCapacity": NO_CAPACITY,
    "InsufficientHostCapacity": NO_CAPACITY,
    "InsufficientReservedInstanceCapacity": NO_CAPACITY,
    "UnfulfillableCapacity": NO_CAPACITY,
    "Unsupported": NO_CAPACITY,
    SUBNET_IS_FULL: NO_CAPACITY,
    "MaxSpotInstanceCountExceeded": NO_SPOT_QUOTA,
    "SpotMaxPriceTooLow": Meaning(ErrorKind.CAPACITY, Scope.SPOT_REGION, CAPACITY_LASTS),
    "VcpuLimitExceeded": NO_FAMILY_QUOTA,
    "InstanceLimitExceeded": NO_FAMILY_QUOTA,
    "VolumeLimitExceeded": REGION_QUOTA,
    "MaxIOPSLimitExceeded": REGION_QUOTA,
    "AddressLimitExceeded": REGION_QUOTA,
    "VpcLimitExceeded": REGION_SETUP,
    "SubnetLimitExceeded": REGION_SETUP,
    "InternetGatewayLimitExceeded": REGION_SETUP,
    "SecurityGroupLimitExceeded": REGION_SETUP,
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": NO_SPOT,
    "PendingVerification": REGION_SETUP,
    "OptInRequired": REGION_SETUP,
    "UnauthorizedOperation": REGION_SETUP,
    "AccessDenied": REGION_SETUP,
    "AccessDeniedException": REGION_SETUP,
    "InvalidVpcID.NotFound": REGION_SETUP,
    "InvalidSubnetID.NotFound": REGION_SETUP,
    "InvalidGroup.NotFound": REGION_SETUP,
    "VPCIdNotSpecified": REGION_SETUP,
    "Blocked": SETUP,
    "AuthFailure": CREDENTIALS,
    "ExpiredToken": CREDENTIALS,
    "ExpiredTokenException": CREDENTIALS,
    "InvalidClientTokenId": CREDENTIALS,
    "UnrecognizedClientException": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "IncompleteSignature": CREDENTIALS,
    "MissingAuthenticationToken": CREDENTIALS,
    "RequestExpired": CREDENTIALS,
    "RequestLimitExceeded": THROTTLED,
    "Throttling": THROTTLED,
    "ThrottlingException": THROTTLED,
    "TooManyRequestsException": THROTTLED,
    "EC2ThrottledException": THROTTLED,
    "InternalError": UNREACHABLE,
    "InternalFailure": UNREACHABLE,
    "ServiceUnavailable": UNREACHABLE,
    "Unavailable": UNREACHABLE,
    "RequestTimeout": UNREACHABLE,
    "IdempotentParameterMismatch": UNREACHABLE,
    "IncorrectInstanceState": UNREACHABLE,
}
OF_THE_LIBRARY = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError)
NO_SUCH_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.TokenRetrievalError,
)


def code_of(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def meaning_of(error: exceptions.ClientError) -> Meaning:
    """Look the code up; of one that is not in the table the status of the answer decides."""
    known = CODES.get(code_of(error))
    if known:
        return known
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return UNREACHABLE if status >= 500 else REFUSED


def translated(error: Exception, where: str) -> ProviderError:
    """Return the error as one of ours, with a sentence that says where and what."""
    if isinstance(error, exceptions.ClientError):
        return meaning_of(error).error(_said(error, where))
    if isinstance(error, NO_SUCH_CREDENTIALS):
        return CREDENTIALS.error(f"There are no working credentials of AWS: {_short(str(error))}")
    if isinstance(error, exceptions.ParamValidationError):
        return REFUSED.error(f"AWS in {where} would not understand this: {_short(str(error))}")
    return UNREACHABLE.error(f"AWS in {where} did not answer: {type(error).__name__}")


def _said(error: exceptions.ClientError, where: str) -> str:
    said = _short(str(error.response.get("Error", {}).get("Message", "")))
    return f"AWS in {where} said {code_of(error) or 'nothing'} to {error.operation_name}: {said}"


def _short(text: str) -> str:
    """Return the beginning, without what only AWS can read: the encoded message of a refusal."""
    return shortened(text.split("Encoded authorization failure message")[0])


def told(where: str) -> AbstractContextManager[None]:
    """Turn every error of boto3 into one of ours."""
    return translating(lambda: OF_THE_LIBRARY, lambda error: translated(error, where))
