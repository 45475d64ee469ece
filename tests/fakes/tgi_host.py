"""The least that an adapter needs around it: a server that hands it requests, and a plain way to
one replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from gateway.schema import Endpoint, Model
from gateway.tgi.service import Adapter
from tests.fakes.tgi import BOS, EOS

CHATML = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass
class Plain:
    """Asks one address directly."""

    session: aiohttp.ClientSession
    url: str

    async def post(
        self, path: str, *, json: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        return await self.session.post(self.url + path, data=json, headers=headers)


@dataclass
class Host:
    """Serves `model` at `replica_url`; a test may change it."""

    replica_url: str
    model: Model | None = field(
        default_factory=lambda: Model(
            name="m", format="tgi", chat_template=CHATML, bos_token=BOS, eos_token=EOS
        )
    )
    adapter: Adapter = field(default_factory=Adapter)
    port: int = 0
    runner: web.AppRunner | None = None
    session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Host:
        await self.adapter.start()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        app = web.Application(client_max_size=2**27)
        app.router.add_route("*", "/{path:.*}", self.serve)
        self.runner = web.AppRunner(
            app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True
        )
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        if self.session is not None:
            await self.session.close()
        await self.adapter.stop()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        assert self.session is not None
        endpoint = Endpoint(id="e-1", version=1, model=self.model)
        way = Plain(self.session, self.replica_url)
        return await self.adapter.handle(request, endpoint=endpoint, upstream=way)
