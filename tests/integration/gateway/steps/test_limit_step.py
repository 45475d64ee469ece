"""Steps `limit` and `charge`: how often one may ask."""

from __future__ import annotations

import httpx

HURRIED = "dsk_u_hurried"


def asked(client: httpx.Client, path: str, **headers: str) -> list[int]:
    return [client.get(path, headers=headers).status_code for _ in range(3)]


def test_refuses_more_than_a_service_allows(client: httpx.Client) -> None:
    assert asked(client, "/", host="limited.localhost") == [200, 200, 429]

    refused = client.get("/", headers={"host": "limited.localhost"})
    assert 0 < int(refused.headers["retry-after"]) <= 100
    assert refused.json()["error"]["code"] == "rate_limited"


def test_counts_each_value_of_a_header_below_the_prefix(client: httpx.Client) -> None:
    headed = "headed.localhost"

    assert asked(client, "/slow/", host=headed, **{"x-user": "a"}) == [200, 200, 429]
    assert asked(client, "/slow/", host=headed, **{"x-user": "b"}) == [200, 200, 429]
    assert asked(client, "/quick", host=headed, **{"x-user": "a"}) == [200, 200, 200]
    # However it is spelt, and below the mount of a path route, too.
    assert client.get("/%73low/x", headers={"host": headed, "x-user": "a"}).status_code == 429
    mounted = client.get("/services/main/headed/slow/", headers={"x-user": "a"})
    assert mounted.status_code == 429


def test_counts_a_key_over_all_services(client: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {HURRIED}"}
    hosts = ("hello.localhost", "other.localhost", "hello.localhost")

    statuses = [client.get("/", headers={"host": host, **headers}).status_code for host in hosts]

    assert statuses == [200, 200, 429]
