"""Chats with models in the dashboard: who may, by which key, and what the page gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client
from django.utils import timezone

from apps.accounts.models import Member, Token
from apps.core import crypto
from apps.core.errors import Unavailable
from apps.gateways.models import Gateway
from apps.routing import retention, services
from apps.routing.models import ChatKey
from apps.routing.playground import answer, destination
from apps.runs.models import Run
from apps.specs.parse import parse
from gateway import schema
from tests import factories
from tests import people as peoples
from tests.people import People, signed_in

MODEL = "type: service\ncommands: [serve]\nport: 8000\nmodel: org/m\n"
HERE = "/projects/main/models/playground/"
CALL = {"model": "org/m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = b'data: {"choices": [{"delta": {"content": "hel"}}]}\n\ndata: [DONE]\n\n'


def offer(people: People) -> Run:
    gateway = factories.gateway(people.project, preset=True)
    spec = parse(MODEL).to_json()
    run = factories.run(people.project, name="chat", spec=spec, gateway=gateway, state="running")
    services.publish_all(gateway_ids=[gateway.pk])
    return run


def keys(run: Run) -> list[schema.Key]:
    assert run.gateway is not None
    services.publish_all(gateway_ids=[run.gateway.pk])
    table = services.table(gateway=run.gateway, since=0)
    return [each for each in table.keys if each.id.startswith("chat-")]


def post(client: Client, page: str, **fields: Any) -> Any:
    return client.post(f"{HERE}{page}", {**CALL, **fields}, content_type="application/json")


@pytest.mark.django_db
class TestKeys:
    def test_a_chat_has_one_key_for_its_service_alone(self, people: People) -> None:
        run, browser = offer(people), signed_in(people.bob)

        assert post(browser, "chat/").status_code == 200
        assert post(browser, "chat/").status_code == 200

        (key,) = keys(run)
        assert (key.endpoints, key.projects, key.browser) == ([str(run.pk)], [], False)
        row = ChatKey.objects.get()
        text = crypto.decrypt(row.sealed)
        assert text.startswith("dsk_b_") and text not in row.sealed
        assert not Token.objects.filter(user=people.bob).exists()

    def test_one_that_ends_soon_is_made_anew(self, people: People) -> None:
        run, browser = offer(people), signed_in(people.bob)
        post(browser, "chat/")
        (before,) = keys(run)
        ChatKey.objects.update(expires_at=timezone.now() + timedelta(seconds=30))

        post(browser, "chat/")

        (after,) = keys(run)
        assert after.hash != before.hash

    def test_one_that_no_key_of_ours_decrypts_is_made_anew(self, people: People) -> None:
        run, browser = offer(people), signed_in(people.bob)
        post(browser, "chat/")
        ChatKey.objects.update(sealed="gone")

        assert post(browser, "chat/").status_code == 200
        assert len(keys(run)) == 1

    @pytest.mark.parametrize(
        "end",
        [
            lambda: Session.objects.all().delete(),
            lambda: Member.objects.filter(user__username="bob").delete(),
            lambda: ChatKey.objects.update(password_stamp="another"),
            lambda: ChatKey.objects.update(expires_at=timezone.now()),
        ],
    )
    def test_it_ends_with_the_right_to_chat(self, people: People, end: Callable[[], Any]) -> None:
        run = offer(people)
        post(signed_in(people.bob), "chat/")
        assert len(keys(run)) == 1

        end()

        assert keys(run) == []

    def test_one_that_is_over_is_forgotten(self, people: People) -> None:
        offer(people)
        post(signed_in(people.bob), "chat/")
        at = timezone.now() + timedelta(days=1)

        retention.prune(at=at)

        assert ChatKey.objects.count() == 0


@pytest.mark.django_db
class TestPage:
    def test_says_what_to_do_while_there_is_no_model(self, people: People) -> None:
        assert "No service offers a model yet" in signed_in(people.bob).get(HERE).content.decode()

    @pytest.mark.parametrize(
        ("asked", "chosen"),
        [({}, 1), ({"model": "gone"}, 1), ({"model": "org/m", "beside": "org/m"}, 2)],
    )
    def test_offers_the_models(self, people: People, asked: dict[str, str], chosen: int) -> None:
        offer(people)

        text = signed_in(people.bob).get(HERE, asked).content.decode()

        assert text.count('<option value="org/m" selected>') == chosen
        assert ('aria-pressed="true"' in text) == (chosen == 2)

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"model": "other"}, 404),
            ({"model": "nul\0"}, 404),
            ({"messages": []}, 422),
            ({"temperature": 9}, 422),
            ({"messages": [{"role": "user", "content": "x" * 2**21}]}, 413),
        ],
    )
    @pytest.mark.parametrize("page", ["chat/", "code/"])
    def test_says_what_cannot_be_asked(
        self, people: People, page: str, fields: dict[str, Any], status: int
    ) -> None:
        offer(people)
        # A model of the same name elsewhere is none of this project's.
        other = factories.project("other")
        spec = {**parse(MODEL).to_json(), "model": {"name": "other"}}
        factories.run(other, name="far", spec=spec, state="running")

        found = post(signed_in(people.bob), page, **fields)

        assert found.status_code == status
        assert found.json()["message"].endswith(".")

    def test_writes_the_call_in_code_and_makes_a_key(self, people: People) -> None:
        offer(people)
        browser = signed_in(people.bob)

        made = browser.post(f"{HERE}key/?model=org/m")
        code = browser.post(f"{HERE}code/?key=1", CALL, content_type="application/json").json()

        assert made.status_code == 201
        row = Token.objects.get(user=people.bob)
        assert (row.run_names, row.scope) == (["chat"], "call")
        assert made.json()["key"].startswith(row.prefix)
        assert all(code["stands_for_key"] in each["code"] for each in code["snippets"])
        assert all("org/m" in each["code"] for each in code["snippets"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"address": "203.0.113.7"}, ("https", "203.0.113.7", 443, "gateway.x.example.com")),
        (
            {"address": "203.0.113.7", "scheme": "http", "port": None, "secured": []},
            ("http", "203.0.113.7", 80, "gateway.x.example.com"),
        ),
        ({"address": "203.0.113.7", "secured": []}, None),
        ({"address": ""}, None),
        ({"address": "203.0.113.7", "state": "provisioning"}, None),
    ],
)
def test_knows_where_a_gateway_on_a_machine_is(
    people: People, fields: dict[str, Any], where: tuple[Any, ...] | None
) -> None:
    secured = [{"host": "gateway.x.example.com", "state": "valid"}]
    gateway: Gateway = factories.gateway(people.project, domain="x.example.com")
    usual = {"scheme": "https", "port": 443, "secured": secured, "preset": False}
    for name, value in {**usual, **fields}.items():
        setattr(gateway, name, value)

    if where is None:
        with pytest.raises(Unavailable):
            destination.of(gateway)
        return
    found = destination.of(gateway)
    assert (found.scheme, found.dialled, found.port, found.host) == where
    assert not found.is_ours


class Model:
    """A gateway's OpenAI API on loopback: answers in turn, and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Callable[[web.Request], Any]] = []
        self.asked: list[tuple[str, str, Any]] = []
        self.left = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        said = request.headers
        self.asked.append((said["Host"], said["Authorization"], await request.json()))
        try:
            found: web.StreamResponse = await self.answers.pop(0)(request)
        except asyncio.CancelledError:
            self.left.set()
            raise
        return found


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    await response.write(STREAM)
    return response


async def broken(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(STREAM[:20])
    assert request.transport is not None
    await asyncio.sleep(0)
    request.transport.close()
    return response


def says(status: int, body: Any) -> Callable[[web.Request], Any]:
    async def respond(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return respond


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@contextlib.asynccontextmanager
async def serving(settings: Any) -> AsyncIterator[Model]:
    model = Model()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        settings.DSTACK_GATEWAY_URL = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield model
    finally:
        await runner.cleanup()


async def chat(people: People) -> Any:
    client = AsyncClient()
    await client.aforce_login(people.bob)
    found = await client.post(f"{HERE}chat/", CALL, content_type="application/json")
    assert found.status_code == 200
    return found


async def heard(found: Any) -> list[tuple[str, dict[str, Any]]]:
    text = b"".join([piece async for piece in found]).decode()
    events = [block.strip().split("\n") for block in text.split("\n\n") if "event:" in block]
    return [(name[7:], json.loads(data[6:])) for name, data in events]


@pytest.fixture
def there(transactional_db: None) -> tuple[People, Run]:
    people = peoples.make()
    return people, offer(people)


async def test_passes_a_models_stream_on(there: tuple[People, Run], settings: Any) -> None:
    people, _ = there
    async with serving(settings) as model:
        # A gateway that has not heard of the key yet.
        model.answers = [says(401, {}), stream]
        found = await chat(people)
        text = b"".join([piece async for piece in found])

    assert text == b"event: began\ndata: {}\n\n" + STREAM
    key = crypto.decrypt((await ChatKey.objects.aget()).sealed)
    assert {asked[:2] for asked in model.asked} == {("127.0.0.1", f"Bearer {key}")}
    assert model.asked[-1][2] == {
        **CALL,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("answers", "events"),
    [
        (
            [says(404, {"error": {"message": "No model."}})],
            [("failed", {"message": "No model."})],
        ),
        ([says(200, {"choices": []})], [("began", {})]),
        ([says(302, {})], [("failed", {"message": "The service answered 302. See its logs."})]),
        (
            [broken],
            [
                ("began", {}),
                ("failed", {"message": "The answer broke off. See the logs of the service."}),
            ],
        ),
    ],
)
async def test_says_how_an_answer_ended(
    there: tuple[People, Run], settings: Any, answers: list[Any], events: list[Any]
) -> None:
    async with serving(settings) as model:
        model.answers = list(answers)
        assert await heard(await chat(there[0])) == events


async def test_says_that_no_gateway_answers(there: tuple[People, Run], settings: Any) -> None:
    async with serving(settings):
        pass

    ((name, said),) = await heard(await chat(there[0]))

    assert (name, said["message"]) == (
        "failed",
        f"Gateway {there[1].gateway} does not answer this server.",
    )


async def test_says_whether_it_waits_for_a_sleeper_and_ends_with_the_page(
    there: tuple[People, Run], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(answer, "WAITING_SECONDS", 0.01)
    people, run = there
    async with serving(settings) as model:
        model.answers = [silent]
        pieces = aiter(await chat(people))
        asleep = await anext(pieces)
        await sync_to_async(factories.replica)(run)
        awake = [await anext(pieces) for _ in range(3)][-1]
        assert answer.under_way[people.bob.pk] == 1
        await pieces.aclose()
        async with asyncio.timeout(5):
            await model.left.wait()

    assert asleep == b'event: waiting\ndata: {"asleep": true}\n\n'
    assert awake == b'event: waiting\ndata: {"asleep": false}\n\n'
    assert answer.under_way[people.bob.pk] == 0


async def test_a_person_has_so_many_answers_under_way(
    there: tuple[People, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MOST_AT_ONCE", 0)

    assert [name for name, _ in await heard(await chat(there[0]))] == ["failed"]
