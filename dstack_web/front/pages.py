"""What a caller reads when the proxy before the server answers itself: JSON, or a page."""

from __future__ import annotations

import json

from gateway.haproxy.error_pages import Page, as_html

PAGES = (
    Page(
        400,
        "bad_request",
        "This request cannot be read",
        "The request is not valid HTTP, so it was not passed on.",
    ),
    Page(
        408,
        "request_timeout",
        "The request came too slowly",
        "The request was not complete in time. Send it again.",
    ),
    Page(
        500,
        "internal",
        "The server could not take this request",
        "Something went wrong before the server had read it. Try again.",
    ),
    Page(
        502,
        "server_ended",
        "The server ended while it answered",
        "The server went away before its answer was complete. It is being started again: look "
        "whether what you asked for was done, then try again.",
    ),
    Page(
        503,
        "server_away",
        "The server is not there",
        "The server is being started again, or is busy. Try again in a few seconds.",
    ),
    Page(
        504,
        "server_slow",
        "The server did not answer in time",
        "The server took the request but sent nothing for too long. Try again.",
    ),
)
TYPES = "json application/json\nhtml text/html; charset=utf-8\n"


def files() -> dict[str, str]:
    """Return every map by its file name: one a status, a text for each form."""
    found = {f"front-{page.status}.map": texts(page) for page in PAGES}
    return {**found, "front-types.map": TYPES}


def texts(page: Page) -> str:
    one_line = " ".join(as_html(page).split())
    return f"json {as_json(page)}\nhtml {one_line}\n"


def as_json(page: Page) -> str:
    """Return the error in the API's form, on one line."""
    error = {"code": page.code, "message": page.message, "details": []}
    return json.dumps({"error": error})
