"""Errors in the form that OpenAI's clients read."""

from __future__ import annotations

from aiohttp import web

from gateway.haproxy import error_pages


def error(status: int, message: str, code: str, *, param: str | None = None) -> web.Response:
    """Answer with one clear sentence."""
    text = error_pages.openai_error(message, code=code, status=status, param=param)
    return web.Response(status=status, text=f"{text}\n", content_type="application/json")
