"""How far an error of Google Cloud reaches, and how its codes are found in what Google says."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import requests

from apps.backends.base import ErrorKind, Scope
from apps.backends.providers.gcp import errors, library
from apps.backends.providers.gcp.errors import FAMILIES
from apps.backends.providers.gcp.provider import GcpProvider
from apps.offers.catalog import snapshot


def refused(status: int, error: dict[str, Any]) -> Any:
    """What Google's library raises for such an answer."""
    answer = requests.Response()
    answer.status_code, answer._content = status, json.dumps({"error": error}).encode()
    answer.request = requests.Request("POST", "https://compute.googleapis.com/x").prepare()
    return library.exceptions().from_http_response(answer)


def operation(code: str, message: str = "No.", **details: Any) -> Any:
    made = library.compute()
    each = {"code": code, "message": message, "error_details": [details] if details else []}
    return made.Operation(error={"errors": [each]})


@pytest.mark.parametrize(
    ("status", "error", "code", "kind"),
    [
        (403, {"errors": [{"reason": "quotaExceeded"}]}, "quotaExceeded", ErrorKind.QUOTA),
        (403, {"errors": [{"reason": "rateLimitExceeded"}]}, "rateLimitExceeded", "throttled"),
        (503, {"errors": [{"reason": "stockout"}]}, "stockout", ErrorKind.CAPACITY),
        (403, {"errors": [{"reason": "new"}]}, "new", ErrorKind.SETUP),
        (401, {}, "401", ErrorKind.CREDENTIALS),
        (429, {}, "429", ErrorKind.THROTTLED),
        (502, {}, "502", ErrorKind.UNREACHABLE),
        (400, {"errors": [{"reason": "invalid"}]}, "invalid", ErrorKind.REFUSED),
        (400, {"errors": ["odd"], "details": []}, "400", ErrorKind.REFUSED),
    ],
)
def test_a_refused_call_is_known_by_its_reason_else_by_its_status(
    status: int, error: dict[str, Any], code: str, kind: str
) -> None:
    fault = errors.of_call(refused(status, {"code": status, "message": "No way", **error}))

    assert (fault.code, fault.meaning.kind, fault.message) == (code, kind, "No way")


def test_the_gate_before_all_apis_says_its_reason_in_capitals() -> None:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
    }
    said = {"code": 403, "message": "Off", "errors": [{"reason": "forbidden"}], "details": [info]}

    assert errors.of_call(refused(403, said)).code == "SERVICE_DISABLED"


@pytest.mark.parametrize(
    ("found", "scope", "lifetime"),
    [
        (operation("ZONE_RESOURCE_POOL_EXHAUSTED"), Scope.OFFER_ZONE, timedelta(minutes=3)),
        (operation("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded"), Scope.FAMILY_REGION, None),
        (operation("QUOTA_EXCEEDED", "Quota 'CPUS_ALL_REGIONS'"), Scope.BACKEND, None),
        (operation("QUOTA_EXCEEDED", "Quota 'GPUS_ALL_REGIONS'"), Scope.FAMILY_REGION, None),
        (
            operation("QUOTA_EXCEEDED", quota_info={"metric_name": "PREEMPTIBLE_CPUS"}),
            Scope.SPOT_REGION,
            None,
        ),
        (operation("VPC_NOT_FOUND"), Scope.BACKEND, None),
        (operation("SOMETHING_NEW"), Scope.OFFER_REGION, None),
    ],
)
def test_an_error_reaches_as_far_as_it_holds(
    found: Any, scope: Scope, lifetime: timedelta | None
) -> None:
    fault = errors.of_operation(found)

    assert fault is not None and fault.meaning.scope == scope
    assert lifetime is None or fault.meaning.lifetime == lifetime


def test_where_there_is_room_is_read_from_the_error() -> None:
    details = {"metadatas": {"zonesAvailable": "us-central1-a, us-central1-f"}}

    fault = errors.of_operation(operation("ZONE_RESOURCE_POOL_EXHAUSTED", error_info=details))

    assert fault is not None
    assert fault.zones_available == ("us-central1-a", "us-central1-f")


def test_an_operation_without_errors_has_none() -> None:
    assert errors.of_operation(library.compute().Operation()) is None


def test_credentials_that_are_refused_are_no_silence() -> None:
    gone = library.auth_exceptions().RefreshError("invalid_grant: Invalid JWT Signature.")

    error = errors.translated(gone, "the project")

    assert error.kind == ErrorKind.CREDENTIALS
    assert "invalid_grant" in str(error)


def test_every_machine_of_the_catalog_is_of_a_family() -> None:
    names = {str(row[3]) for row in snapshot.rows() if row[0] == "gcp"}

    lost = {name for name in names if GcpProvider.family_of(name) not in FAMILIES}

    assert names and lost == set()
    assert GcpProvider.family_of("n1-standard-8-t4x2") == "n1 with T4"
    assert GcpProvider.family_of("n1-standard-8") == "e2 and n1"
