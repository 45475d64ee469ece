"""A control plane that a gateway can talk to: its table by long poll, its status reports."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from aiohttp import web

from gateway.schema import (
    Certificate,
    Counts,
    DnsAnswer,
    DnsState,
    Endpoint,
    Key,
    Latency,
    Request,
    Stats,
    Status,
    Table,
    TunnelKey,
    Upstream,
)

E = TypeVar("E", Endpoint, Key, Certificate, TunnelKey)

Entry = Endpoint | Key | Certificate | TunnelKey


class ControlPlane:
    """Holds the entries of one gateway; `put` and `drop` change them, each to a new version."""

    def __init__(self, *, token: str) -> None:
        self.token = token
        self.version = 0
        self.domain = "localhost"
        self.own_hosts = ["localhost", "127.0.0.1"]
        self.endpoints: dict[str, Endpoint] = {}
        self.keys: dict[str, Key] = {}
        self.certificates: dict[str, Certificate] = {}
        self.tunnels: dict[str, TunnelKey] = {}
        self.statuses: list[Status] = []
        # What writes records of the DNS, where it does, and what was asked of it.
        self.write_dns: Callable[[DnsAnswer], Awaitable[DnsState]] | None = None
        self.answers: list[DnsAnswer] = []
        self.stats: list[Stats] = []
        # How many requests a second it wants to hear of, of each service.
        self.request_rows = 20
        # Text sent instead of a table, to see that a bad one is refused.
        self.instead: str | None = None
        self.polls = 0
        self.url = ""
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/gateway/table", self._table)
        app.router.add_post("/api/gateway/status", self._status)
        app.router.add_post("/api/gateway/stats", self._stats)
        app.router.add_post("/api/gateway/dns", self._dns)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        # The same port after a stop, since the gateway keeps calling it.
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def put(self, *entries: Entry) -> int:
        """Put entries into the table as one version; returns that version."""
        self.version += 1
        for entry in entries:
            changed = entry.model_copy(update={"version": self.version})
            if isinstance(changed, Endpoint):
                self.endpoints[changed.id] = changed
            elif isinstance(changed, Certificate):
                self.certificates[changed.id] = changed
            elif isinstance(changed, TunnelKey):
                self.tunnels[changed.id] = changed
            else:
                self.keys[changed.id] = changed
        await self.tell()
        return self.version

    async def drop(self, *entries: Entry) -> int:
        """Leave tombstones of entries; returns the version."""
        return await self.put(*(each.model_copy(update={"deleted": True}) for each in entries))

    async def tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def wait_status(
        self, accept: Callable[[Status], bool], *, seconds: float = 20.0, since: int = 0
    ) -> Status:
        """Return the first report, from number `since` on, that `accept` takes."""
        async with asyncio.timeout(seconds), self._news:
            while True:
                for status in self.statuses[since:]:
                    if accept(status):
                        return status
                since = len(self.statuses)
                await self._news.wait()

    async def applied(self, version: int, *, seconds: float = 20.0) -> Status:
        """Return the first report that has `version` in force and every replica connected."""
        return await self.wait_status(
            lambda status: status.applied >= version and not status.pending, seconds=seconds
        )

    def table(self, since: int) -> Table:
        whole = since == 0 or since > self.version
        return Table(
            version=self.version,
            whole=whole,
            gateway="g1",
            domain=self.domain,
            solves_dns=self.write_dns is not None,
            request_rows=self.request_rows,
            own_hosts=self.own_hosts,
            endpoints=entries_of(self.endpoints.values(), since, whole),
            keys=entries_of(self.keys.values(), since, whole),
            certificates=entries_of(self.certificates.values(), since, whole),
            tunnels=entries_of(self.tunnels.values(), since, whole),
        )

    async def _table(self, request: web.Request) -> web.Response:
        self._check(request)
        self.polls += 1
        since = int(request.query["since"])
        if self.instead is None and since == self.version != 0:
            await self._wait(float(request.query["wait"]), since)
        text = self.instead or self.table(since).model_dump_json()
        return web.Response(text=text, content_type="application/json")

    async def _wait(self, seconds: float, since: int) -> None:
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self.version != since or self.instead is not None)
        except TimeoutError:
            return

    async def _status(self, request: web.Request) -> web.Response:
        self._check(request)
        self.statuses.append(Status.model_validate_json(await request.read()))
        await self.tell()
        return web.json_response({})

    async def _stats(self, request: web.Request) -> web.Response:
        self._check(request)
        self.stats.append(Stats.model_validate_json(await request.read()))
        await self.tell()
        return web.json_response({})

    async def _dns(self, request: web.Request) -> web.Response:
        self._check(request)
        asked = DnsAnswer.model_validate_json(await request.read())
        self.answers.append(asked)
        assert self.write_dns is not None
        state = await self.write_dns(asked)
        return web.Response(text=state.model_dump_json(), content_type="application/json")

    def counts(self, endpoint: str, token: str = "") -> Counts:
        """The newest sums of one endpoint and the key of a token, over all boots of HAProxy."""
        name = key(token).id if token else ""
        newest: dict[str, Counts] = {}
        for look in self.stats:
            for each in look.counts:
                if (each.endpoint, each.key) == (endpoint, name):
                    newest[look.boot_id] = each
        return add_counts(endpoint, name, newest.values())

    def in_flight(self, endpoint: str) -> int:
        """The requests in flight at an endpoint, in the newest look that there is."""
        newest = self.stats[-1].load if self.stats else []
        return sum(each.in_flight for each in newest if each.endpoint == endpoint)

    def latency(self, endpoint: str) -> Latency | None:
        """The newest histograms of an endpoint."""
        found = (each for look in reversed(self.stats) for each in look.latency)
        return next((each for each in found if each.endpoint == endpoint), None)

    def requests(self, endpoint: str) -> list[Request]:
        """All requests of an endpoint that were told one by one."""
        return [each for look in self.stats for each in look.requests if each.endpoint == endpoint]

    def _check(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized


def add_counts(endpoint: str, key_id: str, found: Iterable[Counts]) -> Counts:
    each = [*found, Counts(endpoint=endpoint, key=key_id)]
    one, two, three, four, five = (sum(c.by_class[place] for c in each) for place in range(5))
    return Counts(
        endpoint=endpoint,
        key=key_id,
        by_class=(one, two, three, four, five),
        bytes_in=sum(c.bytes_in for c in each),
        bytes_out=sum(c.bytes_out for c in each),
        usages=sum(c.usages for c in each),
        tokens_in=sum(c.tokens_in for c in each),
        tokens_out=sum(c.tokens_out for c in each),
    )


def entries_of(entries: Iterable[E], since: int, whole: bool) -> list[E]:
    if whole:
        return [entry for entry in entries if not entry.deleted]
    return [entry for entry in entries if entry.version > since]


def service(name: str, *addresses: str, project: str = "p1", **fields: Any) -> Endpoint:
    """An endpoint `e-NAME` at NAME.localhost, with a replica at each address."""
    return Endpoint(
        id=f"e-{name}",
        version=0,
        project=project,
        run=name,
        hosts=[f"{name}.localhost"],
        paths=[f"/services/main/{name}"],
        replicas=[replica(address) for address in addresses],
        **fields,
    )


def replica(address: str) -> Upstream:
    """The replica at `127.0.0.1:PORT`; its id is `r-PORT`."""
    return Upstream(id=f"r-{address.rpartition(':')[2]}", address=address)


def key(
    token: str,
    *,
    projects: Iterable[str] = (),
    endpoints: Iterable[str] = (),
    expires_at: float | None = None,
    rps: float | None = None,
    burst: int = 0,
    browser: bool = False,
) -> Key:
    """A key whose id is made of its token's hash."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return Key(
        id=f"k-{digest[:8]}",
        version=0,
        hash=digest,
        projects=list(projects),
        endpoints=list(endpoints),
        expires_at=expires_at,
        rps=rps,
        burst=burst,
        browser=browser,
    )
