"""`probes` and `rate_limits`: when a replica may get requests, and how many a caller may send."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from apps.specs.errors import Misfit
from apps.specs.fields import foreign_keys
from apps.specs.fields.durations import DURATION, seconds
from apps.specs.fields.field_types import Form, JsonSchema, Section
from apps.specs.fields.scalars import (
    ANY_WHOLE,
    FLAG,
    check_line,
    choice,
    flag,
    found,
    list_of,
    mapping,
    matching,
    number,
    text,
    whole,
)
from apps.specs.sections.model import Model
from apps.specs.sections.network import PREFIX, read_prefix

MOST_PROBES = 10
_MOST_HEADERS = 16
_METHODS = ("get", "post", "put", "delete", "patch", "head")
_WITHOUT_BODY = ("get", "head")
_URL = re.compile(r"/[^\s\\]*")
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_header_name = matching(_HEADER_NAME, "a header's name such as X-Ready", limit=256)
# Of the characters that may stand in a gateway's tables.
_COUNTED_HEADER = r"[0-9A-Za-z_-]+"
_counted_header = matching(
    _COUNTED_HEADER, "a header's name such as X-User, of letters, digits, - and _", limit=64
)
_NUMBER: JsonSchema = {"type": ["number", "string"]}
_METHOD: JsonSchema = {
    "anyOf": [{"enum": [*_METHODS, *map(str.upper, _METHODS)]}, {"type": "string"}]
}


def _url(value: Any) -> str:
    given = text(value)
    check_line(given, limit=2048)
    # A reference may hold blanks: `/ready/${{ env.X }}`.
    if not _URL.fullmatch(re.sub(r"\$\{\{.*?\}\}", "", given)):
        raise Misfit(f"expected a path that begins with /, without blanks, {found(value)}")
    return given


def _method(value: Any) -> str:
    return choice(*_METHODS)(value.lower() if isinstance(value, str) else value)


def _header_value(value: Any) -> str:
    given = text(value)
    check_line(given, limit=2048)
    return given


def _body(value: Any) -> str:
    given = text(value)
    if len(given) > 2048:
        raise Misfit(f"has {len(given):,} characters; at most 2,048")
    return given


def _timeout(value: Any) -> int:
    return seconds(value, least=1, most=300)


def _interval(value: Any) -> int:
    return seconds(value, least=1, most=86400)


def _ready_after(value: Any) -> int:
    return whole(value, least=1, most=1000)


class Header(Section):
    """A header that a probe sends."""

    name: Annotated[str, Form(_header_name, {"type": "string", "pattern": f"^{_HEADER_NAME}$"})]
    value: Annotated[str, Form(_header_value, {"type": "string", "maxLength": 2048})]


def _headers(value: Any) -> Any:
    return list_of(lambda header: header, "name and value", most=_MOST_HEADERS)(value)


class Probe(Section):
    """An HTTP request that a replica must answer with 2xx to be ready."""

    foreign: ClassVar[Mapping[str, str]] = foreign_keys.PROBE

    type: Annotated[Literal["http"], Form(choice("http"), {"const": "http"})] = "http"
    url: Annotated[str, Form(_url, {"type": "string", "pattern": "^/", "maxLength": 2048})] = "/"
    method: Annotated[str, Form(_method, _METHOD)] = "get"
    headers: Annotated[
        list[Header], Form(_headers, {"type": "array", "items": Header.model_json_schema()})
    ] = []
    body: Annotated[str | None, Form(_body, {"type": "string", "maxLength": 2048})] = None
    timeout_seconds: Annotated[int, Form(_timeout, DURATION)] = Field(default=10, alias="timeout")
    interval_seconds: Annotated[int, Form(_interval, DURATION)] = Field(
        default=15, alias="interval"
    )
    ready_after: Annotated[int, Form(_ready_after, ANY_WHOLE)] = 1
    until_ready: Annotated[bool, Form(flag, FLAG)] = False


def read_probe(value: Any) -> Any:
    """Refuse a body where HTTP has none; the rest is left to the model."""
    method = str(mapping(value, "a mapping with type and url").get("method") or "get").lower()
    if value.get("body") is not None and method in _WITHOUT_BODY:
        raise Misfit(
            below=[(("body",), f"a {method} request has no body: use `method: post` or remove it")]
        )
    return value


def model_probe(model: Model) -> Probe:
    """Return the probe of a model server: a chat of one token."""
    body = {
        "model": model.name,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 1,
    }
    return Probe.of(
        url=f"{model.prefix}/chat/completions",
        method="post",
        headers=[{"name": "Content-Type", "value": "application/json"}],
        body=json.dumps(body),
        timeout_seconds=30,
    )


def _rps(value: Any) -> float:
    given = number(value)
    if not 1 / 60 <= given <= 1e6:
        raise Misfit(f"expected requests per second, at least 1/60 (0.0167), {found(value)}")
    return given


def _burst(value: Any) -> int:
    return whole(value, least=0, most=1_000_000)


class RateKey(Section):
    """What requests are counted by: the caller's address or the value of a header."""

    type: Annotated[
        Literal["ip_address", "header"],
        Form(choice("ip_address", "header"), {"enum": ["ip_address", "header"]}),
    ] = "ip_address"
    header: Annotated[
        str | None,
        Form(_counted_header, {"type": "string", "pattern": f"^{_COUNTED_HEADER}$"}),
    ] = None


def read_key(value: Any) -> Any:
    """Check that a header is named exactly where one is counted by."""
    given: Mapping[str, Any] = mapping(value, "a mapping with type")
    if given.get("type") is None:
        raise Misfit(below=[(("type",), "required key is missing: ip_address or header")])
    if given.get("type") == "header" and given.get("header") is None:
        raise Misfit(below=[(("header",), "required key is missing: the header's name")])
    if given.get("type") != "header" and given.get("header") is not None:
        raise Misfit(below=[(("header",), "header works with `type: header` only")])
    return given


class RateLimit(Section):
    """At most `rps` requests per second below a prefix, `burst` more at once."""

    prefix: Annotated[str, Form(read_prefix, PREFIX)] = "/"
    rps: Annotated[float, Form(_rps, _NUMBER)]
    burst: Annotated[int, Form(_burst, ANY_WHOLE)] = 0
    key: Annotated[RateKey, Form(read_key, RateKey.model_json_schema())] = RateKey()
