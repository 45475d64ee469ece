"""Who may call a service, and what a caller reads who may not."""

from __future__ import annotations

import json
import time

import pytest

from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, BOB, Gateway, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_lets_a_token_of_the_project_in(gateway: Gateway) -> None:
    answer = await gateway.call("/a?b=c", token=ALICE)

    assert (answer.status, answer.json["path"]) == (200, "/a?b=c")


@pytest.mark.parametrize(
    "value", [f"Bearer {ALICE}", f'"Bearer {ALICE}"', f"bearer  {ALICE}", f'" Bearer {ALICE}" ']
)
async def test_reads_the_seeds_header_with_and_without_quotes(gateway: Gateway, value: str) -> None:
    answer = await gateway.call(headers={"Authentication": value})

    assert answer.status == 200
    assert answer.header_of_request("authentication") == []


async def test_asks_for_a_token(gateway: Gateway) -> None:
    answer = await gateway.call()

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json["error"]["code"] == "unauthorized"
    # Who reads it in a terminal has their prompt on a line of its own.
    assert answer.body.endswith(b"}\n")


@pytest.mark.parametrize(
    "value",
    ["Bearer wrong", "Bearer ", "Bearer", f"Basic {ALICE}", f"Bearer {ALICE}x", ALICE, '"', ""],
)
@pytest.mark.parametrize("header", ["Authorization", "Authentication"])
async def test_refuses_what_is_no_token_of_ours(gateway: Gateway, header: str, value: str) -> None:
    assert (await gateway.call(headers={header: value})).status == 401


async def test_refuses_a_token_of_another_project(gateway: Gateway) -> None:
    answer = await gateway.call(token=BOB)

    assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden")


async def test_says_404_before_it_asks_for_a_token(gateway: Gateway) -> None:
    answer = await gateway.call(host="unknown.localhost")

    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


async def test_opens_one_service_to_a_service_key(gateway: Gateway, target: Target) -> None:
    other = service("other", target.address)
    await gateway.control.applied(
        await gateway.control.put(other, key("dsk_s_1", endpoints=["e-other"]))
    )

    assert (await gateway.call(token="dsk_s_1", host="other.localhost")).status == 200
    assert (await gateway.call(token="dsk_s_1")).status == 403


@pytest.mark.parametrize("project", ["p", "p11", "P1", "e-hello"])
async def test_compares_grants_as_whole_values(gateway: Gateway, project: str) -> None:
    token = f"dsk_u_near_{project}"
    await gateway.control.applied(await gateway.control.put(key(token, projects=[project])))

    assert (await gateway.call(token=token)).status == 403


async def test_keeps_projects_and_endpoints_apart_that_share_an_id(gateway: Gateway) -> None:
    await gateway.control.applied(await gateway.control.put(key("dsk_s_2", endpoints=["p1"])))

    assert (await gateway.call(token="dsk_s_2")).status == 403


async def test_closes_to_a_revoked_key(gateway: Gateway) -> None:
    carol = key("dsk_u_carol", projects=["p1"])
    await gateway.control.applied(await gateway.control.put(carol))
    assert (await gateway.call(token="dsk_u_carol")).status == 200

    await gateway.control.applied(await gateway.control.drop(carol))

    assert (await gateway.call(token="dsk_u_carol")).status == 401


async def test_lets_a_key_expire_while_the_control_plane_is_away(gateway: Gateway) -> None:
    dave = key("dsk_u_dave", projects=["p1"], expires_at=time.time() + 3)
    await gateway.control.applied(await gateway.control.put(dave))
    assert (await gateway.call(token="dsk_u_dave")).status == 200
    await gateway.control.stop()

    async def is_refused() -> bool:
        return (await gateway.call(token="dsk_u_dave")).status == 401

    await until(is_refused)
    keys = (gateway.home / "data" / "maps" / "keys.map").read_text()
    await gateway.control.start()

    assert dave.id not in keys


async def test_hides_the_credential_from_the_service(gateway: Gateway) -> None:
    answer = await gateway.call(token=ALICE, headers={"Authentication": f'"Bearer {ALICE}"'})

    assert answer.status == 200
    assert ALICE.encode() not in answer.body


async def test_needs_no_token_for_an_open_service(gateway: Gateway, target: Target) -> None:
    opened = service("opened", target.address, auth=False)
    await gateway.control.applied(await gateway.control.put(opened))

    answer = await gateway.call(host="opened.localhost", headers={"Authorization": "Basic YTpi"})
    with_ours = await gateway.call(host="opened.localhost", token=ALICE)

    assert answer.header_of_request("authorization") == ["Basic YTpi"]
    assert (with_ours.status, with_ours.header_of_request("authorization")) == (200, [])


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("dstack_session=a", []),
        ("dstack_session=a; dstack_csrf=b", []),
        ("a=1; dstack_session=x; b=2", ["a=1; b=2"]),
        ("a=1; dstack_csrf=x", ["a=1"]),
        ("dstack_csrf=x; a=1", ["a=1"]),
        ("my_dstack_session=1; a=dstack_csrf", ["my_dstack_session=1; a=dstack_csrf"]),
        ("dstack_session=1; dstack_session=2; a=1", ["a=1"]),
        ("a=1;  b=2", ["a=1;  b=2"]),
    ],
)
async def test_hides_the_dashboards_cookies(gateway: Gateway, sent: str, seen: list[str]) -> None:
    answer = await gateway.call(token=ALICE, headers={"Cookie": sent})

    assert answer.header_of_request("cookie") == seen


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (["a=1; dstack_session=S; b=2", "dstack_csrf=T; c=3"], ["a=1; b=2", "c=3"]),
        (["a=1", "dstack_session=S"], ["a=1"]),
        (["dstack_session=S", "a=1"], ["a=1"]),
        (["dstack_session=S", "dstack_csrf=T"], []),
        (["dstack_session=S; dstack_session=S; x=1; dstack_csrf=T", "y=2"], ["x=1", "y=2"]),
        (["a=1; b=2", "c=3;  d=4"], ["a=1; b=2", "c=3;  d=4"]),
        (["a=1", "", "dstack_csrf=T; b=2"], ["a=1", "b=2"]),
        (["a=1", ""], ["a=1", ""]),
        (["a=1, dstack_session=S", "dstack_session = T"], ["a=1, dstack_session=S"]),
        (
            ["dstack_session", "a=dstack_session=1; Expires=1, 2", "b"],
            ["dstack_session", "a=dstack_session=1; Expires=1, 2", "b"],
        ),
        (
            ["dstack_sessions=1; xdstack_session=2", "dstack_csrf=;c"],
            ["dstack_sessions=1; xdstack_session=2", "c"],
        ),
        (
            [f"a{at}=1; dstack_session={at}; b=2" for at in range(20)],
            [f"a{at}=1; b=2" for at in range(20)],
        ),
    ],
)
async def test_hides_them_in_each_of_several_headers(
    gateway: Gateway, sent: list[str], seen: list[str]
) -> None:
    head = f"GET / HTTP/1.1\r\nHost: hello.localhost\r\nAuthorization: Bearer {ALICE}\r\n"
    head += "".join(f"Cookie: {each}\r\n" for each in sent) + "Connection: close\r\n\r\n"

    body = (await gateway.raw(head.encode())).partition(b"\r\n\r\n")[2]

    assert [value for key, value in json.loads(body)["headers"] if key == "cookie"] == seen


# What a key is part of is no key, whoever parts it.
PARTED = [f"{ALICE},x", f"{ALICE}, x", f"{ALICE},", f"{ALICE} x", f"{ALICE}\tx", f"{ALICE};x"]
PARTED += [f"{ALICE},{ALICE}", f"{ALICE} {ALICE}", f"x,{ALICE}", f"x {ALICE}", f",{ALICE}"]
PARTED += [f'{ALICE}" x', f"{ALICE}, Bearer {ALICE}", f"{ALICE}=", f"{ALICE}%20"]


@pytest.mark.parametrize("header", ["Authorization", "Authentication", "X-Api-Key", "Api-Key"])
async def test_takes_a_token_as_a_whole(gateway: Gateway, header: str) -> None:
    shapes = [f"Bearer {word}" for word in PARTED] + [f"Basic x, Bearer {ALICE}"]
    shapes += PARTED if header.endswith("Key") else []

    found = [(each, (await gateway.call(headers={header: each})).status) for each in shapes]

    assert found == [(each, 401) for each in shapes]


async def test_takes_the_first_of_two_headers(gateway: Gateway) -> None:
    async def ask(*values: str) -> bytes:
        head = "GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n"
        head += "".join(f"Authorization: {value}\r\n" for value in values) + "\r\n"
        return (await gateway.raw(head.encode())).split(b" ", 2)[1]

    token = f"Bearer {ALICE}"
    assert await ask(token, "Digest a=b, c=d") == b"200"
    assert await ask(f"{token},x", token) == b"401"


@pytest.mark.parametrize(
    ("host", "token", "status"),
    [
        ("nowhere.localhost", None, 404),
        ("hello.localhost", None, 401),
        ("hello.localhost", BOB, 403),
    ],
)
async def test_shows_people_a_page(
    gateway: Gateway, host: str, token: str | None, status: int
) -> None:
    accept = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    answer = await gateway.call(host=host, token=token, headers=accept)

    assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert b"prefers-color-scheme: dark" in answer.body


async def test_answers_head_requests_without_a_body(gateway: Gateway) -> None:
    answer = await gateway.raw(
        b"HEAD / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.endswith(b"\r\n\r\n")


async def test_writes_no_token_anywhere(gateway: Gateway) -> None:
    await gateway.call(f"/?token={ALICE}", token=ALICE)
    files = [path for path in (gateway.home / "data").rglob("*") if path.is_file()]

    assert len(files) > 10
    assert ALICE not in gateway.log_text()
    assert not [path for path in files if b"dsk_u" in path.read_bytes()]
