"""What the routes of agents and gateways share: token, body, errors."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.test import RequestFactory
from pydantic import BaseModel

from apps.core.errors import AppError, Detail, DiskFull, Invalid, TooLarge, TooManyRequests
from apps.core.http import bodies, long_poll
from apps.core.http.bearer import token_of
from apps.core.http.error_answers import answer_of, answer_of_away
from apps.core.http.internal_routes import internal_route


class Said(BaseModel):
    count: int


def asked(**headers: str) -> HttpRequest:
    return RequestFactory().get("/", headers=headers)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer dsk_a_1", "dsk_a_1"),
        ("bearer dsk_a_1", "dsk_a_1"),
        ("BEARER   dsk_a_1 ", "dsk_a_1"),
        ("Basic dsk_a_1", ""),
        ("dsk_a_1", ""),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("", ""),
    ],
)
def test_reads_the_token_that_a_request_bears(header: str, token: str) -> None:
    assert token_of(asked(Authorization=header)) == token


def test_bears_no_token_without_the_header() -> None:
    assert token_of(asked()) == ""


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (AppError("Text."), 400, "bad_request", None),
        (Invalid("Text.", details=[Detail("a.b", "is odd", line=3)]), 422, "invalid", None),
        (DiskFull("Text."), 507, "disk_full", None),
        (TooManyRequests("Text."), 429, "too_many_requests", "2"),
    ],
)
def test_answers_an_error_in_the_one_shape(
    error: AppError, status: int, code: str, retry_after: str | None
) -> None:
    answer = answer_of(error)

    said = json.loads(answer.content)["error"]
    assert (answer.status_code, said["code"], said["message"]) == (status, code, "Text.")
    assert [each["path"] for each in said["details"]] == [each.path for each in error.details]
    assert answer.headers.get("Retry-After") == retry_after


def test_says_when_to_try_again_while_the_database_is_away() -> None:
    answer = answer_of_away(OperationalError("no connection"))

    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert json.loads(answer.content)["error"]["code"] == "unavailable"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_refuses_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Invalid, match="not JSON"):
        bodies.parsed(body)


@pytest.mark.parametrize(
    ("body", "words"), [(b'{"count": "x"}', "count: "), (b"{}", "count: "), (b"{", "body: ")]
)
def test_says_where_a_body_is_wrong(body: bytes, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        bodies.validated(body, Said.model_validate_json)

    assert refused.value.message.startswith(words)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(("length", "fits"), [(2**20, True), (2**20 + 1, False)])
def test_reads_no_more_than_a_body_may_have(length: int, fits: bool) -> None:
    request = RequestFactory().post("/", b"x" * length, content_type="application/json")

    if fits:
        assert len(bodies.read(request, most_bytes=2**20, what="A batch")) == length
    else:
        with pytest.raises(TooLarge, match="A batch has 1 MB at most"):
            bodies.read(request, most_bytes=2**20, what="A batch")


@pytest.mark.parametrize(
    ("query", "number"), [("", 0), ("?since=-1", -1), ("?since=12", 12), ("?since=1e3", 1000)]
)
def test_reads_which_revision_the_caller_has(query: str, number: int) -> None:
    assert long_poll.since(RequestFactory().get(f"/{query}")) == number


@pytest.mark.parametrize("word", ["x", "-2", "nan", "inf", "1e30"])
def test_refuses_a_revision_that_is_no_number(word: str) -> None:
    with pytest.raises(Invalid, match="since"):
        long_poll.since(RequestFactory().get(f"/?since={word}"))


@internal_route("POST")
async def echo(request: HttpRequest) -> HttpResponseBase:
    return JsonResponse(bodies.parsed(request.body))


@pytest.mark.parametrize(
    ("method", "body", "status"), [("POST", b"{}", 200), ("POST", b"{", 422), ("GET", b"", 405)]
)
async def test_a_route_takes_one_method_and_answers_errors(
    method: str, body: bytes, status: int
) -> None:
    request = RequestFactory().generic(method, "/", body, content_type="application/json")

    assert (await echo(request)).status_code == status
