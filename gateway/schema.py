"""What the control plane and a gateway say to each other: the one module that others import.

JSON over HTTP with `Authorization: Bearer dsk_g_...` (one token per gateway):

- `GET  /api/gateway/table?since=VERSION&wait=SECONDS` -> Table: the entries newer than `since`
  (all of them when `since` is 0 or unknown: then `whole` is true and what is not named is gone).
  Answers at once when there is something newer, else when there is, or after `wait` seconds.
- `POST /api/gateway/status` Status -> {}: what the gateway has applied, which replicas that left
  the table still carry requests, which services hold some; sent at each change and every 5 s.

An entry has the version at which it last changed. One that is gone is sent once more as a
tombstone (`deleted`). Identifiers, names and addresses are of few characters only, since they enter
lines of HAProxy's runtime socket; the gateway refuses a table that breaks this and keeps the last.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
# Without ":", so that the grant "KEY:p:PROJECT" can be read in one way only.
ID = r"^[A-Za-z0-9._-]+$"
Id = Annotated[str, Field(pattern=ID, max_length=64)]
ADDRESS = r"^[0-9A-Fa-f.:]+:[0-9]{1,5}$"
Host = Annotated[str, Field(pattern=r"^[a-z0-9._-]+$", max_length=253)]
OwnHost = Annotated[str, Field(pattern=r"^[a-z0-9._:-]+$", max_length=253)]
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


class Endpoint(Message):
    """A service's public side.

    `hosts` are whole host names in lower case; `paths` are prefixes without a trailing slash
    (`/services/main/hello`), served on the gateway's own names. A host or path that two endpoints
    name belongs to the one whose version is higher. `project` is the project's id: a
    key opens an endpoint by its project or by itself. `awake` is false while the run is final or
    stopping: then nothing is held for it.
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
    replicas: list[Upstream] = Field(default_factory=list)


class Key(Message):
    """A token that may call services: `hash` is the SHA-256 of the token, lower-case hex."""

    id: Id
    version: int
    deleted: bool = False
    hash: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    expires_at: float | None = None  # seconds since 1970, UTC
    projects: list[Id] = Field(default_factory=list)
    endpoints: list[Id] = Field(default_factory=list)


class Table(Message):
    schema_version: int = SCHEMA_VERSION
    version: int
    whole: bool
    gateway: Id
    domain: str = Field(default="", pattern=r"^[a-z0-9._-]*$", max_length=253)
    own_hosts: list[OwnHost] = Field(default_factory=list)
    endpoints: list[Endpoint] = Field(default_factory=list)
    keys: list[Key] = Field(default_factory=list)


class Status(Message):
    """What is so at the gateway now.

    `applied` is the table version in force; `draining` counts the requests still in flight on
    replicas that left the table (absent = none); `pending` says why a replica of the table does
    not take requests yet (nobody answers at its address); `held` counts requests waiting, by
    endpoint; `error` is one sentence, empty when all is well.
    """

    boot_id: str
    applied: int
    draining: dict[str, int] = Field(default_factory=dict)
    pending: dict[str, str] = Field(default_factory=dict)
    held: dict[str, int] = Field(default_factory=dict)
    error: str = ""
