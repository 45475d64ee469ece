"""Step `identify`: for what the cookie of a browser counts in which a service was opened."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.gateway.harness import ALICE, BOB

COOKIE = "dsk_b_browser"
HOST = "hello.localhost"
OWN, ELSEWHERE = f"http://{HOST}", "http://other.localhost"
OPENED = {"host": HOST, "cookie": f"a=1; dstack_open={COOKIE}"}
LINK = {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}
SOCKET = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("GET", {"sec-fetch-site": "none", **LINK, "sec-fetch-user": "?1"}, 200),
        ("GET", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ("GET", {"origin": OWN}, 200),
        ("GET", {"origin": OWN.upper().replace("HTTP", "http")}, 200),
        ("GET", {**SOCKET, "origin": OWN, "sec-fetch-site": "same-origin"}, 200),
        ("GET", {**SOCKET, "origin": OWN}, 200),
        ("POST", {"origin": OWN}, 200),
        ("POST", {"origin": OWN, "sec-fetch-site": "same-origin"}, 200),
        ("POST", {"sec-fetch-site": "same-origin"}, 200),
        # A link of another page leads here by reading, in a window of its own.
        ("GET", LINK, 200),
        ("GET", {**LINK, "sec-fetch-site": "same-site"}, 200),
        ("POST", LINK, 401),
        ("POST", {**LINK, "origin": ELSEWHERE}, 401),
        ("GET", {**LINK, "sec-fetch-dest": "iframe"}, 401),
        ("GET", {**LINK, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 401),
        ("GET", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 401),
        ("GET", {"sec-fetch-site": "something new"}, 401),
        ("GET", {"origin": ELSEWHERE}, 401),
        ("GET", {"origin": f"{OWN}.example.com"}, 401),
        ("GET", {"origin": f"http://example.com/{HOST}"}, 401),
        ("GET", {"origin": f"{OWN}:81"}, 401),
        ("GET", {"origin": "null"}, 401),
        ("GET", {"origin": ELSEWHERE, "sec-fetch-site": "same-origin"}, 401),
        ("POST", {}, 401),
        ("DELETE", {}, 401),
        ("GET", SOCKET, 401),
        ("GET", {**SOCKET, "origin": ELSEWHERE}, 401),
        ("GET", {**SOCKET, "sec-fetch-site": "same-site", "sec-fetch-mode": "websocket"}, 401),
    ],
)
def test_counts_for_pages_of_its_host_and_for_links(
    client: httpx.Client, method: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, "/", headers={**OPENED, **headers})

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"host": HOST, "cookie": f"dstack_open={BOB}"}, 401),
        ("/", {"host": HOST, "cookie": f"dstack_open={ALICE}"}, 401),
        ("/", {"host": HOST, "cookie": f"xdstack_open={COOKIE}"}, 401),
        ("/", {"host": HOST, "cookie": "dstack_open="}, 401),
        ("/", {"host": HOST, "authorization": f"Bearer {COOKIE}"}, 401),
        ("/", {"host": HOST, "x-api-key": COOKIE}, 401),
        ("/", {"host": HOST, "cookie": f"__Host-dstack_open={COOKIE}"}, 200),
        # It opens its own service, at its own host.
        ("/", {**OPENED, "host": "other.localhost"}, 403),
        ("/services/main/hello/", {**OPENED, "host": "localhost"}, 401),
        ("/v1/models", {**OPENED, "host": "localhost"}, 401),
        # A token in a header decides before it.
        ("/", {**OPENED, "authorization": f"Bearer {BOB}"}, 403),
        ("/", {**OPENED, "authorization": "Bearer of the application"}, 200),
    ],
)
def test_is_no_token_and_opens_one_host(
    client: httpx.Client, path: str, headers: dict[str, str], status: int
) -> None:
    assert client.get(path, headers=headers).status_code == status


@pytest.mark.parametrize("name", ["dstack_open", "__Host-dstack_open"])
def test_never_comes_to_the_service(client: httpx.Client, name: str) -> None:
    sent = {
        "host": HOST,
        "cookie": f"a=1; {name}={COOKIE}; b=2",
        "authorization": "Bearer of the application",
    }
    seen = client.get("/", headers=sent).json()["headers"]

    assert [value for key, value in seen if key.lower() == "cookie"] == ["a=1; b=2"]
    assert ["authorization", "Bearer of the application"] in seen
    assert COOKIE not in str(seen)


@pytest.mark.parametrize("name", ["dstack_open", "__Host-dstack_open"])
def test_is_not_set_by_a_service(client: httpx.Client, name: str) -> None:
    headers = {"host": "open.localhost", "x-answer": f"Set-Cookie: {name}=mine; Path=/"}

    answer = client.get("/", headers=headers)

    assert answer.headers["set-cookie"] == f"service_{name}=mine; Path=/"
