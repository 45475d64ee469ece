"""Settings: a JSON file (`DSTACK_GATEWAY_CONFIG`) under variables of the environment.

The token never stands in a setting, only the file that holds it, so that neither `ps` nor a log
nor the environment of a child can show it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from gateway.errors import BadConfig
from gateway.state import own_names

FILE_VARIABLE = "DSTACK_GATEWAY_CONFIG"
VARIABLES = {
    "control_url": "DSTACK_GATEWAY_CONTROL_URL",
    "control_ca": "DSTACK_GATEWAY_CONTROL_CA",
    "token_file": "DSTACK_GATEWAY_TOKEN_FILE",
    "home": "DSTACK_GATEWAY_HOME",
    "bind": "DSTACK_GATEWAY_BIND",
    "port": "DSTACK_GATEWAY_PORT",
    "hosts": "DSTACK_GATEWAY_HOSTS",
    "tls_port": "DSTACK_GATEWAY_TLS_PORT",
    "ssh_port": "DSTACK_GATEWAY_SSH_PORT",
    "acme_url": "DSTACK_GATEWAY_ACME_URL",
    "acme_email": "DSTACK_GATEWAY_ACME_EMAIL",
    "acme_ca": "DSTACK_GATEWAY_ACME_CA",
    "dns_hook": "DSTACK_GATEWAY_DNS_HOOK",
    "dns_seconds": "DSTACK_GATEWAY_DNS_SECONDS",
    "slots": "DSTACK_GATEWAY_SLOTS",
    "threads": "DSTACK_GATEWAY_THREADS",
    "haproxy": "DSTACK_HAPROXY",
    "metrics_token": "DSTACK_METRICS_TOKEN",
}
# Settings of several values, with spaces or commas between them.
LISTS = ("bind", "hosts")
# Each thread keeps idle connections of its own to each replica: more cores than this cost memory
# and connections without being needed for what one gateway carries.
MOST_THREADS = 4


def as_address(text: str) -> str:
    return str(ip_address(text))


def as_program(path: Path) -> Path:
    found = path.absolute()
    if not os.access(found, os.X_OK) or found.is_dir():
        raise ValueError(f"{path} is no program that can be run")
    return found


class Config(BaseModel):
    """What a gateway must know to start; `threads` 0 means one per core, four at most.

    `control_ca` is what to trust, and that alone, where the control plane's authority is a private
    one. `hosts` are more names and addresses of the gateway itself. `tls_port` 0 means no TLS,
    `ssh_port` 0 no tunnels.
    `acme_url` is the directory of an ACME server, whose terms are agreed to by setting it;
    `acme_ca` is what to trust where that server is a private one. `dns_hook` is a program that
    writes records of the DNS, which are seen everywhere after `dns_seconds`; with it one wildcard
    certificate is ordered for all services.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    control_url: HttpUrl
    control_ca: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    token_file: Path
    home: Path
    bind: list[Annotated[str, AfterValidator(as_address)]] = Field(["127.0.0.1"], min_length=1)
    port: int = Field(8080, ge=1, le=65535)
    hosts: list[Annotated[str, AfterValidator(own_names.parse)]] = []
    tls_port: int = Field(0, ge=0, le=65535)
    ssh_port: int = Field(0, ge=0, le=65535)
    acme_url: HttpUrl | None = None
    acme_email: str = Field("", max_length=254)
    acme_ca: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    dns_hook: Annotated[Path, AfterValidator(as_program)] | None = None
    dns_seconds: int = Field(60, ge=0, le=3600)
    slots: int = Field(5000, ge=1, le=50_000)
    threads: int = Field(0, ge=0, le=64)
    haproxy: Path | None = None
    metrics_token: str = Field("", max_length=256, repr=False)

    @property
    def thread_count(self) -> int:
        return self.threads or min(len(os.sched_getaffinity(0)), MOST_THREADS)


def load(*, environ: Mapping[str, str]) -> Config:
    """Return the settings. Raise BadConfig with one sentence."""
    values = read_file(environ.get(FILE_VARIABLE, ""))
    for name, variable in VARIABLES.items():
        if text := environ.get(variable, ""):
            values[name] = text.replace(",", " ").split() if name in LISTS else text
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise BadConfig(explain(error)) from None


def read_file(path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        values = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadConfig(f"cannot read the settings in {path}: {error}") from None
    if not isinstance(values, dict):
        raise BadConfig(f"the settings in {path} must be one JSON object")
    return values


def explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    variable = VARIABLES.get(name, FILE_VARIABLE)
    reason = str(first.get("ctx", {}).get("error", "")) or first["msg"].lower()
    return f"the setting {name} ({variable}) is not right: {reason}"


def read_token(path: Path) -> str:
    """Return the gateway's token. Raise BadConfig where there is none."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"cannot read the gateway's token in {path}: {error}") from None
    if not token or not token.isascii() or not token.isprintable():
        raise BadConfig(f"{path} must hold the gateway's token and nothing else")
    return token
