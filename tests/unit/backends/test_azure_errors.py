"""How far an error of Azure reaches, and how its codes are found in what Azure says."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import requests
import urllib3
from azure.core import exceptions
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azure.mgmt.core.exceptions import ARMErrorFormat

from apps.backends.base import ErrorKind, Scope
from apps.backends.providers.azure import errors
from apps.backends.providers.azure.provider import AzureProvider
from apps.offers.catalog import snapshot

SENTENCE = "results in exceeding approved {} quota. Current Limit: 0"


def refused(status: int, error: Any, kind: Any = exceptions.HttpResponseError) -> Any:
    """What Microsoft's library raises for such an answer."""
    answer = requests.Response()
    body = io.BytesIO(json.dumps({"error": error}).encode())
    answer.status_code = status
    answer.raw = urllib3.HTTPResponse(body=body, preload_content=False)
    answer.headers["Content-Type"] = "application/json"
    request = requests.Request("PUT", "https://management.azure.com/x").prepare()
    transport: Any = RestRequestsTransportResponse
    found = transport(request=request, internal_response=answer)
    found.read()
    return kind(response=found, error_format=ARMErrorFormat)


@pytest.mark.parametrize(
    ("status", "error", "code", "kind"),
    [
        # A quota and a size without room come as conflicts, what was accepted fails with 200.
        (409, {"code": "SkuNotAvailable"}, "SkuNotAvailable", ErrorKind.CAPACITY),
        (200, {"code": "AllocationFailed"}, "AllocationFailed", ErrorKind.CAPACITY),
        (403, {"code": "ReadOnlyDisabledSubscription"}, None, ErrorKind.SETUP),
        (409, {"code": "ReadOnlyDisabledSubscription"}, None, ErrorKind.SETUP),
        (401, {"code": "ExpiredAuthenticationToken"}, None, ErrorKind.CREDENTIALS),
        (404, {"code": "SubscriptionNotFound"}, None, ErrorKind.SETUP),
        (403, {"code": "SomethingNew"}, "SomethingNew", ErrorKind.SETUP),
        (429, {"code": "SomethingNew"}, "SomethingNew", ErrorKind.THROTTLED),
        (502, {}, "502", ErrorKind.UNREACHABLE),
        (400, {"code": "BadRequest"}, "BadRequest", ErrorKind.REFUSED),
        (400, "odd", "400", ErrorKind.REFUSED),
    ],
)
def test_a_refused_call_is_known_by_its_code_else_by_its_status(
    status: int, error: Any, code: str | None, kind: str
) -> None:
    said = {"message": "No way", **error} if isinstance(error, dict) else error
    fault = errors.of_call(refused(status, said))

    assert (fault.code, fault.meaning.kind) == (code or error["code"], kind)


@pytest.mark.parametrize(
    ("message", "kind", "scope"),
    [
        (SENTENCE.format("standardDSv5Family Cores"), ErrorKind.QUOTA, Scope.FAMILY_REGION),
        (SENTENCE.format("Total Regional Cores"), ErrorKind.QUOTA, Scope.FAMILY_REGION),
        (SENTENCE.format("LowPriorityCores"), ErrorKind.QUOTA, Scope.SPOT_REGION),
        ("The VM size does not support Azure Spot.", ErrorKind.REFUSED, Scope.OFFER_REGION),
        ("Managed disk is not allowed for this VM.", ErrorKind.REFUSED, Scope.OFFER_REGION),
    ],
)
def test_whose_quota_it_is_says_the_sentence(message: str, kind: ErrorKind, scope: Scope) -> None:
    meaning = errors.of("OperationNotAllowed", message, status=409).meaning

    assert (meaning.kind, meaning.scope) == (kind, scope)


def test_credentials_that_are_refused_are_no_silence() -> None:
    gone = exceptions.ClientAuthenticationError(message="AADSTS7000215: Invalid client secret.")

    error = errors.translated(gone, "the subscription")

    assert error.kind == ErrorKind.CREDENTIALS
    assert "AADSTS7000215" in str(error)


def test_what_is_unknown_is_a_resource_and_no_subscription() -> None:
    kind = exceptions.ResourceNotFoundError
    known = {
        code: errors.is_unknown(refused(404, {"code": code, "message": "No"}, kind))
        for code in ("ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound", "New")
    }

    assert known == {
        "ResourceNotFound": True,
        "ResourceGroupNotFound": True,
        "SubscriptionNotFound": False,
        "New": False,
    }


def test_sizes_with_a_common_quota_are_of_one_family() -> None:
    names = {str(row[3]) for row in snapshot.rows() if row[0] == "azure"}

    of_gpus = {name for name in names if "_N" in name and "_NV" not in name and "MI300" not in name}
    lost = {name for name in of_gpus if AzureProvider.family_of(name) not in errors.FAMILIES}

    assert of_gpus and lost == set()
    assert AzureProvider.family_of("Standard_NC96ads_A100_v4") == "NCads A100 v4"
    assert AzureProvider.family_of("Standard_D2s_v5") == AzureProvider.family_of("Standard_D64s_v5")
    assert AzureProvider.family_of("Standard_M128s") == "Standard_M128s"
