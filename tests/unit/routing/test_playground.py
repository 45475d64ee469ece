"""What a chat may ask, where its gateway may be, and what is said of an answer that is an error."""

from __future__ import annotations

import json
import ssl
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from apps.routing.playground import answer, asked, destination

SAID = [{"role": "user", "content": "hi"}]


def test_a_call_is_streamed_and_counted() -> None:
    wanted = asked.read({"model": "a/b", "messages": SAID, "temperature": 0, "max_tokens": 5})

    assert json.loads(asked.as_json(wanted.call())) == {
        "model": "a/b",
        "messages": SAID,
        "temperature": 0.0,
        "max_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"model": "x" * 257},
        {"model": None},
        {"messages": []},
        {"messages": SAID * 1001},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"messages": [{"role": "user", "content": "x", "name": "y"}]},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"temperature": "1"},
        {"top_p": 0},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_tokens": 1.5},
        {"n": 4},
        {"stream": False},
        {"url": "http://169.254.169.254/"},
    ],
)
def test_nothing_else_is_asked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        asked.read({"model": "m", "messages": SAID, **wrong})


@pytest.mark.parametrize("found", [None, [], "x", 1])
def test_what_is_no_call_is_refused(found: Any) -> None:
    with pytest.raises(ValidationError):
        asked.read(found)


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("203.0.113.7", True),
        ("10.1.2.3", True),
        ("2001:4860::7", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        # What clouds tell machines, elsewhere than on their link.
        ("fd00:ec2::254", False),
        ("168.63.129.16", False),
        ("64:ff9b::7f00:1", False),
        # Private, where no host may be either: somebody's behind a jump host, or in its own cloud.
        ("10.2.0.1", False),
        ("fd00::7", False),
    ],
)
def test_only_another_machine_is_dialled(address: str, may: bool) -> None:
    assert (destination.why_not(address, [ip_network("10.1.0.0/16")]) == "") is may


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such\\n model"}}', "no such model"),
        (b'{"error": "too long"}', "too long"),
        (b'{"detail": "asleep"}', "asleep"),
        (b'{"message": "' + b"x" * 600 + b'"}', "x" * 500),
        (b'{"error": {"message": 7}}', "The service answered 503. See its logs."),
        (b"<html>", "The service answered 503. See its logs."),
        (b"[1]", "The service answered 503. See its logs."),
        (b"", "The service answered 503. See its logs."),
    ],
)
def test_an_error_is_told_in_a_sentence(body: bytes, words: str) -> None:
    assert answer.reason(503, body) == words


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_certificate_is_always_asked_for_a_name(scheme: str) -> None:
    found = await answer._trusted(scheme)

    assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, True)
    # A store is read from a folder one by one, when it is asked.
    assert scheme == "https" or not found.cert_store_stats()["x509"]
