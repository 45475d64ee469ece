"""What the control plane and a gateway say to each other: the one module that others import.

JSON over HTTP with `Authorization: Bearer dsk_g_...` (one token per gateway):

- `GET  /api/gateway/table?since=VERSION&wait=SECONDS` -> Table: the entries newer than `since`
  (all of them when `since` is 0 or unknown: then `whole` is true and what is not named is gone).
  Answers at once when there is something newer, else when there is, or after `wait` seconds.
- `POST /api/gateway/status` Status -> {}: what the gateway has applied, which replicas that left
  the table still carry requests, which services hold some; sent at each change and every 5 s.
- `POST /api/gateway/dns` DnsAnswer -> DnsState: asked until it is there.
- `POST /api/gateway/stats` Stats -> {}: what was asked and answered, each second; every 2 s while
  nothing is.
- `POST /api/gateway/ticket` Ticket -> Opened: the cookie for a browser in which a member opens a
  service.

An entry has the version at which it last changed. One that is gone is sent once more as a
tombstone (`deleted`). Identifiers, names and addresses are of few characters only, since they enter
lines of HAProxy's runtime socket; the gateway refuses a table that breaks this and keeps the last.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
# Also the gateway's own, so that a service which keeps it costs nothing.
IDLE_TIMEOUT_SECONDS = 3600
# Without ":", so that the grant "PROJECT:p:KEY" can be read in one way only.
ID = r"^[A-Za-z0-9._-]+$"
Id = Annotated[str, Field(pattern=ID, max_length=64)]
ADDRESS = r"^[0-9A-Fa-f.:]+:[0-9]{1,5}$"
Host = Annotated[str, Field(pattern=r"^[a-z0-9._-]+$", max_length=253)]
CertificateHost = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9._-]+$", max_length=253)]
OwnHost = Annotated[str, Field(pattern=r"^[a-z0-9._:-]+$", max_length=253)]
PublicKey = Annotated[str, Field(pattern=r"^(ssh-ed25519 [A-Za-z0-9+/]{68})?$")]
# Ports of the gateway's loopback that lead through tunnels.
FIRST_TUNNEL_PORT, LAST_TUNNEL_PORT = 20000, 31999
# Port of the gateway's loopback that leads to a server which nobody can call: the server opens it.
RELAY_PORT = 19999
PathRoute = Annotated[str, Field(pattern=r"^/services/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")]


class Message(BaseModel):
    # Unknown fields are ignored: a gateway of version N understands a server of version N+1.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Upstream(Message):
    """A replica that takes requests: `id` is the replica's, `address` is `IP:port`.

    A name instead of an IP is refused: HAProxy does not resolve names of servers added live.
    """

    id: Id
    address: str = Field(pattern=ADDRESS, max_length=64)


class Model(Message):
    """What a service offers in the OpenAI API.

    `name` is any text; only its hash enters HAProxy. `prefix` is where a server of format `openai`
    has its API; the template and the tokens are for format `tgi`. `tool_template` takes the place
    of `chat_template` for requests with tools; `notice` says why no template is known.
    """

    name: str = Field(min_length=1, max_length=256)
    format: Literal["openai", "tgi"] = "openai"
    prefix: str = Field(default="/v1", pattern=r"^(/[A-Za-z0-9._:/-]*)?$", max_length=1024)
    chat_template: str | None = None
    tool_template: str | None = None
    bos_token: str | None = None
    eos_token: str | None = None
    created_at: float = 0  # seconds since 1970
    notice: str = ""


class RateLimit(Message):
    """At most `rps` requests a second below the path `prefix`, and `burst` more at once, for each
    value of `header` (lower case); for each caller's address when that is empty.

    Of several limits the one with the longest prefix counts. Callers without the header share one
    value.
    """

    prefix: str = Field(default="/", pattern=r"^/[A-Za-z0-9._:/-]*$", max_length=1024)
    rps: float = Field(gt=0)
    burst: int = Field(default=0, ge=0)
    header: str = Field(default="", pattern=r"^[a-z0-9_-]*$", max_length=64)


class Hold(Message):
    """How much waits for a replica at most, and how long; bodies in memory, or else on disk."""

    timeout_seconds: float = Field(default=600, ge=0)
    max_requests: int = Field(default=1000, ge=0)
    max_memory_mib: int = Field(default=64, ge=0)
    max_disk_mib: int = Field(default=1024, ge=0)


class Endpoint(Message):
    """A service's public side.

    `hosts` are whole host names in lower case; `paths` are prefixes without a trailing slash
    (`/services/main/hello`), served on the gateway's own names. A host or path that two endpoints
    name belongs to the one whose version is higher. `project` is the project's id: a
    key opens an endpoint by its project or by itself. `awake` is false while the run is final or
    stopping: then nothing is held for it. `https` is false where it shall be served without TLS.
    `max_concurrency` is how many requests a replica works
    on at once; more wait, within the same bounds as those for a sleeping service.
    `idle_timeout_seconds` without a byte from the replica end a request; a WebSocket too, where
    that is not the default.
    """

    id: Id
    version: int
    deleted: bool = False
    project: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", max_length=64)
    run: str = Field(default="", pattern=r"^[a-z0-9-]*$", max_length=64)
    hosts: list[Host] = Field(default_factory=list)
    paths: list[PathRoute] = Field(default_factory=list)
    strip_prefix: bool = True
    auth: bool = True
    awake: bool = True
    https: bool = True
    replicas: list[Upstream] = Field(default_factory=list)
    model: Model | None = None
    rate_limits: list[RateLimit] = Field(default_factory=list)
    hold: Hold = Hold()
    max_concurrency: int | None = Field(default=None, ge=1)
    idle_timeout_seconds: int = Field(default=IDLE_TIMEOUT_SECONDS, ge=1, le=86400)


class Key(Message):
    """A token that may call services: `hash` is the SHA-256 of the token, lower-case hex.

    `rps` and `burst` bound what it may ask of all services together; None is no bound. The token of
    a `browser` comes in a cookie, and only there.
    """

    id: Id
    version: int
    deleted: bool = False
    browser: bool = False
    hash: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    expires_at: float | None = None  # seconds since 1970, UTC
    projects: list[Id] = Field(default_factory=list)
    endpoints: list[Id] = Field(default_factory=list)
    rps: float | None = Field(default=None, gt=0)
    burst: int = Field(default=0, ge=0)


TICKET = r"^[A-Za-z0-9_-]{43}$"


class Ticket(Message):
    """What the dashboard gave a browser to open one service with, once."""

    endpoint: Id
    ticket: str = Field(pattern=TICKET, repr=False)


class Opened(Message):
    """`cookie` is a new token, a key of the table from version `version` on, and empty where the
    ticket opens nothing; with `secure` it is sent by TLS only."""

    cookie: str = Field(default="", pattern=r"^[A-Za-z0-9_]{0,128}$", repr=False)
    version: int = 0
    max_age_seconds: int = Field(default=0, ge=0)
    secure: bool = True


class Certificate(Message):
    """A certificate that somebody brought: `chain` and `key` are PEM, the key not encrypted.

    `hosts` are the names it is good for, `*.example.org` among them.
    """

    id: Id
    version: int
    deleted: bool = False
    hosts: list[CertificateHost] = Field(default_factory=list)
    chain: str = Field(default="", max_length=16_000)
    key: str = Field(default="", max_length=16_000, repr=False)
    expires_at: float | None = None  # seconds since 1970


class TunnelKey(Message):
    """A machine that the gateway cannot dial. Whoever has the private part of `public_key` may have
    `ports` of the gateway's loopback forwarded and, if it `calls_server`, connect to RELAY_PORT
    there; nothing else, and nobody while it is empty."""

    id: Id
    version: int
    deleted: bool = False
    public_key: PublicKey = ""
    ports: list[Annotated[int, Field(ge=FIRST_TUNNEL_PORT, le=LAST_TUNNEL_PORT)]] = Field(
        default_factory=list
    )
    calls_server: bool = False


class TunnelServer(Message):
    """Where machines open tunnels to the gateway, as which user, and which key it shows."""

    port: int = Field(ge=1, le=65535)
    user: str = Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    host_key: PublicKey


class CertificateState(Message):
    """How it stands with a host's certificate; `error` is why the last order failed, also while
    an earlier certificate is still good."""

    host: CertificateHost
    state: Literal["pending", "valid", "failed"]
    source: Literal["acme", "upload"] = "acme"
    expires_at: float | None = None  # seconds since 1970
    error: str = ""


class DnsAnswer(Message):
    """What the control plane shall write into the DNS, or take away: the TXT record `name` holds
    `value`, as an ACME server wants to see it."""

    name: Host
    value: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")
    is_wanted: bool = True


class DnsState(Message):
    """Whether it is seen by whoever asks; `error` is why it cannot be written."""

    is_there: bool
    error: str = ""


class Table(Message):
    """`solves_dns`: the control plane writes answers to challenges into the DNS. `request_rows`:
    how many requests of a service are told one by one, each second."""

    schema_version: int = SCHEMA_VERSION
    version: int
    whole: bool
    gateway: Id
    domain: str = Field(default="", pattern=r"^[a-z0-9._-]*$", max_length=253)
    solves_dns: bool = False
    request_rows: int = Field(default=0, ge=0)
    own_hosts: list[OwnHost] = Field(default_factory=list)
    endpoints: list[Endpoint] = Field(default_factory=list)
    keys: list[Key] = Field(default_factory=list)
    certificates: list[Certificate] = Field(default_factory=list)
    tunnels: list[TunnelKey] = Field(default_factory=list)


class Status(Message):
    """What is so at the gateway now.

    `applied` is the table version in force; `draining` counts the requests still in flight on
    replicas that left the table (absent = none); `pending` says why a replica of the table takes
    no requests yet; `held` counts requests waiting, by endpoint; `error` is one sentence, empty
    when all is well; `certificates` are those of hosts that want one; `tunnels` is None where
    nobody can open any; `cut` are ports of tunnels at which their machines do not listen now.
    """

    boot_id: str
    applied: int
    draining: dict[str, int] = Field(default_factory=dict)
    pending: dict[str, str] = Field(default_factory=dict)
    held: dict[str, int] = Field(default_factory=dict)
    error: str = ""
    certificates: list[CertificateState] = Field(default_factory=list)
    tunnels: TunnelServer | None = None
    cut: list[int] = Field(default_factory=list)


# Upper bounds of the coarse histograms that earlier servers read, in ms; one more bucket is above.
LATENCY_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000)
STEPS_A_DECADE = 30


def latency_bounds() -> tuple[int, ...]:
    """Return the upper bounds of the fine histograms' buckets in microseconds, from 0.1 ms to over
    an hour; one more bucket lies above.

    Neighbours lie at most 8.3 % apart, so that any time inside a bucket is within 10 % of what took
    so long. The coarse bounds are among them, and 2 and 5 of each decade in place of their like.
    """
    grid = {round(100 * 10 ** (step / STEPS_A_DECADE)) for step in range(229)}
    whole = {base * 10**power for base in (1, 2, 5) for power in range(2, 9)}
    near = {each for each in grid for one in whole if 0 < abs(each - one) < one / 100}
    return tuple(sorted((grid - near) | {each * 1000 for each in LATENCY_BOUNDS_MS} | whole))


LATENCY_BOUNDS_US = latency_bounds()


class Counts(Message):
    """What one key asked of one endpoint, since the counters began.

    `key` is empty for callers without one; `by_class` counts answers of 1xx to 5xx, `usages` those
    that said how many tokens they used. Without any, tokens were not measured.
    """

    endpoint: Id
    key: str = ""
    by_class: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    bytes_in: int = 0
    bytes_out: int = 0
    usages: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Load(Message):
    """What is so at one endpoint now: requests in flight (streams until their last byte, requests
    in HAProxy's queue too) and requests held for want of a replica (not among `in_flight`).

    `replicas` says on which of several replicas the requests in flight are, by id; one that is not
    named has none.
    """

    endpoint: Id
    in_flight: int = 0
    held: int = 0
    replicas: dict[Id, int] = Field(default_factory=dict)


class Latency(Message):
    """Histograms of one endpoint since the counters began: the whole request, and the time to the
    first byte of the answer. Sampled lines count for several.

    The fine ones count by index in LATENCY_BOUNDS_US, empty buckets left out. `total` and
    `first_byte` are the same by LATENCY_BOUNDS_MS, for servers of earlier versions, and all that
    gateways of earlier versions say.
    """

    endpoint: Id
    total: list[int] = Field(default_factory=list)
    first_byte: list[int] = Field(default_factory=list)
    fine_total: dict[int, int] | None = None
    fine_first_byte: dict[int, int] | None = None


class Unanswered(Message):
    """A request that a replica closed without an answer, `at` seconds since 1970.

    `path` is the service's own, without the query, and may be cut off. It is visible ASCII.
    """

    replica: Id
    at: float = Field(allow_inf_nan=False)
    method: str
    path: str


class Request(Message):
    """A request that was over `at`, seconds since 1970; `path` in visible ASCII, without query.

    `status` is 499 where the caller left before an answer. `ended`: who broke off ("caller",
    "replica", "gateway", "timeout"). `held_ms`: its wait for a replica or its turn. It stands for
    `weight` requests; 0 where others do so for it.
    """

    endpoint: Id
    at: float = Field(allow_inf_nan=False)
    id: str = Field(default="", max_length=128)
    method: str = Field(default="", max_length=16)
    path: str = Field(default="", max_length=200)
    status: int = 0
    ended: str = Field(default="", max_length=16)
    key: str = Field(default="", max_length=64)
    replica: str = Field(default="", max_length=64)
    held_ms: float = Field(default=0, allow_inf_nan=False)
    first_byte_ms: float | None = Field(default=None, allow_inf_nan=False)
    total_ms: float = Field(default=0, allow_inf_nan=False)
    tokens_in: int | None = None
    tokens_out: int | None = None
    weight: int = 1


class Stats(Message):
    """One scrape of the counters. `boot_id` changes whenever they begin again at zero; `at` is in
    seconds since 1970.

    `sequence` grows with each scrape of one boot, so that one that comes twice or late is known.
    `counts` and `latency` are cumulative and may leave out what did not change since the scrape
    before; `load` names every endpoint where something is in flight or held, others have nothing.
    `unanswered` are events, each try of a request; the same may come again. `requests` are new.
    """

    boot_id: str
    sequence: int
    at: float
    counts: list[Counts] = Field(default_factory=list)
    load: list[Load] = Field(default_factory=list)
    latency: list[Latency] = Field(default_factory=list)
    unanswered: list[Unanswered] = Field(default_factory=list)
    requests: list[Request] = Field(default_factory=list)
