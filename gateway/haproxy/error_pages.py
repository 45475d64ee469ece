"""What a caller reads when the gateway itself answers with an error: JSON, or a page for people.

The page stands alone (no file of ours is asked for), is readable in light and dark, and says what
to do. HAProxy reads these texts from files when it starts.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """`status` is the HTTP status; `code` is for programs, `title` and `message` for people."""

    status: int
    code: str
    title: str
    message: str


BAD_REQUEST = Page(
    400,
    "bad_request",
    "This request cannot be read",
    "The request is not valid HTTP, so it was not passed on.",
)
LONG_HEAD = Page(
    431,
    "head_too_long",
    "The head of this request is too long",
    "The address and the headers may have up to 64 kB together. Send less, in cookies say.",
)
UNAUTHORIZED = Page(
    401,
    "unauthorized",
    "A token is needed",
    "Send a valid token in the header 'Authorization: Bearer TOKEN', 'X-Api-Key' or 'Api-Key'. In "
    "a browser, a member of its project opens the service from its page of the dashboard.",
)
FORBIDDEN = Page(
    403,
    "forbidden",
    "This token does not open this service",
    "The token is valid, but it may not call this service. Ask a member of the project for access.",
)
NOT_FOUND = Page(
    404,
    "not_found",
    "There is no service here",
    "No service has this address. It may have been stopped, or the name may be misspelt.",
)
REQUEST_TIMEOUT = Page(
    408,
    "request_timeout",
    "The request came too slowly",
    "The request was not complete in time. Send it again.",
)
TOO_MANY_REQUESTS = Page(
    429,
    "rate_limited",
    "Too many requests",
    "More requests came than this service or this token allows. Wait as the header Retry-After "
    "says, then try again.",
)
BAD_GATEWAY = Page(
    502,
    "bad_gateway",
    "The service gave no valid answer",
    "The service closed the connection without an answer, or answered something that is not HTTP "
    "or has a head of more than 64 kB. See its logs.",
)
CLOSED = Page(
    502,
    "bad_gateway",
    "The service gave no answer",
    "The service closed the connection without an answer, as it does when it ends. See its logs.",
)
UNREADABLE = Page(
    502,
    "bad_gateway",
    "The service gave no valid answer",
    "The service answered something that is not HTTP, or an answer with a head of more than 64 kB. "
    "See its logs.",
)
UNAVAILABLE = Page(
    503,
    "no_replica",
    "The service is not ready",
    "No replica of this service takes requests at the moment. Try again in a few seconds.",
)
GATEWAY_TIMEOUT = Page(
    504,
    "gateway_timeout",
    "The service did not answer in time",
    "The service took the request but sent nothing for too long. See its logs.",
)
INTERNAL = Page(
    500,
    "gateway_error",
    "The gateway could not pass this on",
    "The gateway could not handle this request. Try again.",
)
PAGES = (
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    REQUEST_TIMEOUT,
    TOO_MANY_REQUESTS,
    LONG_HEAD,
    INTERNAL,
    BAD_GATEWAY,
    UNAVAILABLE,
    GATEWAY_TIMEOUT,
)
# Pages of status 502 by what HAProxy knows of the cause; see unanswered.lua.
CAUSES = {"": BAD_GATEWAY, "closed": CLOSED, "unreadable": UNREADABLE}

# Of our own errors on their way to the frontend, which says the type of the caller's form instead.
INNER_TYPE = "application/x-gateway-error"

OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# What programs written for OpenAI compare with.
OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}

HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; --ink: #1f2733; --quiet: #5b6675; --paper: #f7f8fa }}
@media (prefers-color-scheme: dark) {{
:root {{ --ink: #e6e9ee; --quiet: #9aa5b4; --paper: #14181f }}
}}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif }}
main {{ max-width: 34rem; padding: 2rem }}
p {{ margin: .5rem 0 0; color: var(--quiet) }}
h1 {{ margin: 0; font-size: 1.5rem; line-height: 1.3; font-weight: 600 }}
small {{ color: var(--quiet); letter-spacing: .05em }}
</style></head><body><main>
<small>{status}</small>
<h1>{title}</h1>
<p>{message}</p>
</main></body></html>
"""


def as_json(page: Page) -> str:
    """Write the page as one line for programs."""
    return json.dumps({"error": {"code": page.code, "message": page.message}})


def as_openai(page: Page) -> str:
    """Write the page as one line in the form of OpenAI's API."""
    code = OPENAI_CODES.get(page.status, page.code)
    return openai_error(page.message, code=code, status=page.status)


def openai_error(message: str, *, code: str, status: int, param: str | None = None) -> str:
    """Write an error in the form that OpenAI's clients read."""
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": param, "code": code}},
    )


def as_html(page: Page) -> str:
    """Write the page for people."""
    return HTML.format(
        status=page.status, title=html.escape(page.title), message=html.escape(page.message)
    )


def files() -> dict[str, str]:
    """Return every text by its file name.

    HAProxy looks a page up in the map of its status by the format that the caller wants, `json`,
    `html` or `openai`, one line each.
    """
    found = {f"{page.status}.map": rows(page) for page in PAGES}
    found["502.map"] = "".join(rows(page, known=f"-{name}") for name, page in CAUSES.items())
    types = "json application/json\nhtml text/html; charset=utf-8\nopenai application/json\n"
    return {**found, "types.map": types}


def answers() -> dict[int, str]:
    """Return, by its status, how a rule of HAProxy's answers with a page in the caller's form."""
    return {page.status: answer(page.status) for page in PAGES}


def answer(status: int) -> str:
    form = "var(txn.format,json)"
    if status == BAD_GATEWAY.status:
        form += ",concat(-,txn.closed)"
    # The end of a line, for who reads it in a terminal.
    text = f'"%[{form},map_str(pages/{status}.map)]\\n"'
    return f"status {status} content-type {INNER_TYPE} lf-string {text}"


def rows(page: Page, *, known: str = "") -> str:
    """Return a page's lines, one for each form; `known` is what follows the form's name."""
    one_line = " ".join(as_html(page).split())
    return f"json{known} {as_json(page)}\nhtml{known} {one_line}\nopenai{known} {as_openai(page)}\n"
