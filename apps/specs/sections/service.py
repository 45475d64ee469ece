"""`type: service` as a whole: the keys (`ServiceKeys`) and the normalised spec (`ServiceSpec`).

A spec is what the rest of the project works with: every default filled, every amount in one unit.
It remembers which keys a person wrote, since a profile gives way to the file and since a default
that nobody wrote must not exclude a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError

from apps.specs.errors import Misfit, SpecError, SpecProblem
from apps.specs.fields import foreign_keys
from apps.specs.fields.durations import DURATION, seconds
from apps.specs.fields.env import ENV, read_env
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.ranges import MEMORY, memory_mib
from apps.specs.fields.scalars import ANY_WHOLE, FLAG, choice, flag, line, matching, whole
from apps.specs.sections.container import Container, Router, ServiceContainer
from apps.specs.sections.model import MODEL, Model, read_model
from apps.specs.sections.network import (
    GATEWAY,
    HTTPS,
    PORT,
    Port,
    read_gateway,
    read_https,
    read_port,
)
from apps.specs.sections.policy import Policy
from apps.specs.sections.probes import Probe, RateLimit, read_probe
from apps.specs.sections.scaling import REPLICAS, Replicas, Scaling, read_replicas
from apps.specs.sections.storage import (
    MOUNT,
    TEXT_OR_MAPPING,
    FileMount,
    Mount,
    Repo,
    read_file,
    read_mount,
    read_repo,
)

NAME_PATTERN = r"[a-z][a-z0-9-]{1,40}"
RESERVED_NAMES = ("gateway",)

_NAME: JsonSchema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_TEXT: JsonSchema = {"type": "string", "minLength": 1}
_name = matching(NAME_PATTERN, "2 to 41 of a-z, 0-9 and -, beginning with a letter")
_group_name = matching(r"[a-z0-9][a-z0-9-]{0,39}", "1 to 40 of a-z, 0-9 and -")


def read_name(value: Any) -> str:
    """Read the name of a run, which becomes a host name."""
    given = _name(value)
    if given.endswith("-"):
        raise Misfit(f'expected a name that ends with a letter or digit, found "{given}"')
    if given in RESERVED_NAMES:
        raise Misfit(f'"{given}" is reserved for the OpenAI endpoint: choose another name')
    return given


def _group_label(value: Any) -> str:
    return _group_name(str(value) if type(value) is not bool and isinstance(value, int) else value)


def _concurrency(value: Any) -> int:
    return whole(value, least=1, most=1_000_000)


def _hold_seconds(value: Any) -> int:
    return seconds(value, most=3600)


def _idle_timeout(value: Any) -> int:
    return seconds(value, least=1, most=86400)


RunName = Annotated[str | None, Form(read_name, _NAME)]


class Hold(Section):
    """How much waits for a replica of a sleeping or busy service (ours)."""

    timeout_seconds: Annotated[int, Form(_hold_seconds, DURATION)] = Field(
        default=600, alias="timeout"
    )
    max_requests: Annotated[int, Form(_concurrency, ANY_WHOLE)] = 1000
    max_memory_mib: Annotated[int, Form(memory_mib, MEMORY)] = Field(default=64, alias="max_memory")
    max_disk_mib: Annotated[int, Form(memory_mib, MEMORY)] = Field(default=1024, alias="max_disk")


class Group(Container):
    """Replicas of one kind within a service."""

    foreign: ClassVar[Mapping[str, str]] = foreign_keys.SERVICE

    name: Annotated[str | None, Form(_group_label, {"type": ["string", "integer"]})] = None
    replicas: Annotated[Replicas, Form(read_replicas, REPLICAS)] = Replicas()
    count: Annotated[Replicas | None, Form(read_replicas, REPLICAS)] = None
    scaling: Scaling | None = None
    spot_policy: Annotated[
        Literal["spot", "on-demand", "auto"] | None,
        Form(choice("spot", "on-demand", "auto"), {"enum": ["spot", "on-demand", "auto"]}),
    ] = None
    reservation: Annotated[str | None, Form(line, _TEXT)] = None
    router: Router | None = None


class ServiceKeys(ServiceContainer, Policy):
    """Every key of a service's configuration file."""

    foreign: ClassVar[Mapping[str, str]] = foreign_keys.SERVICE

    type: Annotated[Literal["service"], Form(choice("service"), {"const": "service"})] = Field(
        description="what the file describes: `type: service`."
    )
    name: RunName = Field(
        default=None, description="Name of the run and of its host; random if absent."
    )
    env: Annotated[dict[str, str | None], Form(read_env, ENV)] = Field(
        default={}, description="Environment: a list of NAME=value and NAME, or a mapping."
    )
    port: Annotated[Port, Form(read_port, PORT)] = Field(
        description="The port on which the service listens."
    )
    gateway: Annotated[bool | str | None, Form(read_gateway, GATEWAY)] = Field(
        default=None, description="true, false (path route only), or a gateway's name."
    )
    strip_prefix: Annotated[bool, Form(flag, FLAG)] = Field(
        default=True, description="Remove the path prefix where a service is reached by path."
    )
    https: Annotated[bool | Literal["auto"], Form(read_https, HTTPS)] = Field(
        default=True, description="true, false or auto (where the gateway has a certificate)."
    )
    auth: Annotated[bool, Form(flag, FLAG)] = Field(
        default=True, description="Callers need a token."
    )
    model: Annotated[Model | None, Form(read_model, MODEL)] = Field(
        default=None, description="Offer the service in the OpenAI API: a name or a mapping."
    )
    replicas: Annotated[Replicas, Form(read_replicas, REPLICAS)] = Field(
        default=Replicas(), description="A number, or a range such as 0..4 with scaling."
    )
    scaling: Scaling | None = Field(
        default=None, description="What changes the number of replicas within its range."
    )
    groups: list[Group] = []
    probes: list[Annotated[Probe, Form(read_probe, {"anyOf": [OWN]})]] = Field(
        default=[], description="HTTP requests that a replica must answer to get traffic."
    )
    rate_limits: list[RateLimit] = Field(
        default=[], description="How many requests a caller may send each second, below a path."
    )
    max_concurrency: Annotated[int | None, Form(_concurrency, ANY_WHOLE)] = Field(
        default=None, description="Requests that a replica works on at once; more are held."
    )
    hold: Hold = Field(
        default=Hold(), description="How many requests wait for a replica at most, and how long."
    )
    idle_timeout_seconds: Annotated[int, Form(_idle_timeout, DURATION)] = Field(
        default=3600,
        alias="idle_timeout",
        description="How long a replica may send nothing before its answer is cut off.",
    )
    volumes: list[Annotated[Mount, Form(read_mount, MOUNT)]] = Field(
        default=[], description="Folders of the machine that a replica sees: /mnt/data:/data."
    )
    files: list[Annotated[FileMount, Form(read_file, TEXT_OR_MAPPING)]] = []
    repos: list[Annotated[Repo, Form(read_repo, TEXT_OR_MAPPING)]] = []


class ServiceSpec(ServiceKeys):
    """A service, normalised; `written` holds the keys that a person wrote, sorted."""

    written: list[str] = []

    def wrote(self, key: str) -> bool:
        """Tell whether a person wrote a key, such as `resources.gpu`."""
        return key in self.written

    def to_json(self) -> dict[str, Any]:
        """Return the spec as values that JSON can hold."""
        return self.model_dump(mode="json", by_alias=False)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the spec that `to_json` gave, of this or another version.

        Raise SpecError when it is not one.
        """
        try:
            return cls.load(stored)
        except ValidationError as error:
            raise SpecError(
                SpecProblem(".".join(map(str, one["loc"])), None, None, one["msg"])
                for one in error.errors()
            ) from error
