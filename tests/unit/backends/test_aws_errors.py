"""What each error of AWS means, row by row: kind, scope, minutes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError

from apps.backends.base import ErrorKind as Kind
from apps.backends.base import ProviderError, Scope
from apps.backends.providers.aws import errors

ROWS: dict[str, tuple[Kind, Scope, int | None]] = {
    "InsufficientInstanceCapacity": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "InsufficientCapacity": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "InsufficientHostCapacity": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "InsufficientReservedInstanceCapacity": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "UnfulfillableCapacity": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "Unsupported": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "InsufficientFreeAddressesInSubnet": (Kind.CAPACITY, Scope.OFFER_ZONE, 3),
    "SpotMaxPriceTooLow": (Kind.CAPACITY, Scope.SPOT_REGION, 3),
    "MaxSpotInstanceCountExceeded": (Kind.QUOTA, Scope.SPOT_REGION, 60),
    "VcpuLimitExceeded": (Kind.QUOTA, Scope.FAMILY_REGION, 60),
    "InstanceLimitExceeded": (Kind.QUOTA, Scope.FAMILY_REGION, 60),
    "VolumeLimitExceeded": (Kind.QUOTA, Scope.REGION, 60),
    "MaxIOPSLimitExceeded": (Kind.QUOTA, Scope.REGION, 60),
    "AddressLimitExceeded": (Kind.QUOTA, Scope.REGION, 60),
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (Kind.SETUP, Scope.SPOT_REGION, None),
    "VpcLimitExceeded": (Kind.SETUP, Scope.REGION, None),
    "SubnetLimitExceeded": (Kind.SETUP, Scope.REGION, None),
    "InternetGatewayLimitExceeded": (Kind.SETUP, Scope.REGION, None),
    "SecurityGroupLimitExceeded": (Kind.SETUP, Scope.REGION, None),
    "PendingVerification": (Kind.SETUP, Scope.REGION, None),
    "OptInRequired": (Kind.SETUP, Scope.REGION, None),
    "Blocked": (Kind.SETUP, Scope.BACKEND, None),
    "UnauthorizedOperation": (Kind.SETUP, Scope.REGION, None),
    "AccessDenied": (Kind.SETUP, Scope.REGION, None),
    "AccessDeniedException": (Kind.SETUP, Scope.REGION, None),
    "InvalidVpcID.NotFound": (Kind.SETUP, Scope.REGION, None),
    "InvalidSubnetID.NotFound": (Kind.SETUP, Scope.REGION, None),
    "InvalidGroup.NotFound": (Kind.SETUP, Scope.REGION, None),
    "VPCIdNotSpecified": (Kind.SETUP, Scope.REGION, None),
    "AuthFailure": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "ExpiredToken": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "ExpiredTokenException": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "InvalidClientTokenId": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "UnrecognizedClientException": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "SignatureDoesNotMatch": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "IncompleteSignature": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "MissingAuthenticationToken": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "RequestExpired": (Kind.CREDENTIALS, Scope.BACKEND, None),
    "RequestLimitExceeded": (Kind.THROTTLED, Scope.OFFER_REGION, None),
    "Throttling": (Kind.THROTTLED, Scope.OFFER_REGION, None),
    "ThrottlingException": (Kind.THROTTLED, Scope.OFFER_REGION, None),
    "TooManyRequestsException": (Kind.THROTTLED, Scope.OFFER_REGION, None),
    "EC2ThrottledException": (Kind.THROTTLED, Scope.OFFER_REGION, None),
    "InternalError": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
    "InternalFailure": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
    "ServiceUnavailable": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
    "Unavailable": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
    "RequestTimeout": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
    "IdempotentParameterMismatch": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
    "IncorrectInstanceState": (Kind.UNREACHABLE, Scope.OFFER_REGION, None),
}


def said(code: str, *, status: int = 400, message: str = "No.") -> exceptions.ClientError:
    answer = {"Error": {"Code": code, "Message": message}}
    return exceptions.ClientError(
        {**answer, "ResponseMetadata": {"HTTPStatusCode": status}}, "RunInstances"
    )


def test_every_code_of_the_table_has_a_row_here() -> None:
    assert ROWS.keys() == errors.CODES.keys()


@pytest.mark.parametrize("code", sorted(ROWS))
def test_a_code_has_its_kind_scope_and_lifetime(code: str) -> None:
    kind, scope, minutes = ROWS[code]

    error = errors.translated(said(code), "us-east-1")

    lifetime = timedelta(minutes=minutes) if minutes else None
    assert (error.kind, error.scope, error.lifetime) == (kind, scope, lifetime)
    assert str(error) == f"AWS in us-east-1 said {code} to RunInstances: No."


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (said("InvalidParameterValue"), Kind.REFUSED),
        (said("NeverHeardOf", status=500), Kind.UNREACHABLE),
        (said("503", status=503), Kind.UNREACHABLE),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), Kind.UNREACHABLE),
        (exceptions.ConnectTimeoutError(endpoint_url="http://x"), Kind.UNREACHABLE),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), Kind.UNREACHABLE),
        (ResponseParserError("<html>"), Kind.UNREACHABLE),
        (exceptions.NoCredentialsError(), Kind.CREDENTIALS),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), Kind.CREDENTIALS),
        (exceptions.ProfileNotFound(profile="x"), Kind.CREDENTIALS),
        (exceptions.ParamValidationError(report="No such field"), Kind.REFUSED),
    ],
)
def test_an_error_without_a_row_is_told_by_what_it_is(error: Exception, kind: Kind) -> None:
    with pytest.raises(ProviderError) as told, errors.told("us-east-1"):
        raise error

    assert told.value.kind == kind
    assert (told.value.__cause__, told.value.__suppress_context__) == (None, True)


def test_what_only_aws_can_read_is_left_out() -> None:
    message = "You are not allowed. Encoded authorization failure message: " + "x" * 900

    error = errors.translated(said("UnauthorizedOperation", message=message), "us-east-1")

    assert str(error).endswith("to RunInstances: You are not allowed.")


def test_a_long_message_is_cut() -> None:
    assert len(str(errors.translated(said("Odd", message="x" * 5000), "us-east-1"))) < 400


def test_an_error_of_our_own_is_not_taken_for_one_of_aws() -> None:
    with pytest.raises(KeyError), errors.told("us-east-1"):
        raise KeyError("ours")
