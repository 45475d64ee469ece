"""Pages and their fragments: one view, one context, one URL.

A partial's name, its element's id and htmx's target are the same word, so `render_page` finds what
to render from the request alone. `page` gives each view the same edge: signed in, right method,
errors that a person may see shown where they happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import reverse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from apps.core.errors import AppError

TITLES = {
    400: "That did not work",
    403: "Not allowed",
    404: "Not found",
    409: "It changed meanwhile",
    413: "Too large",
    422: "That cannot be used",
    503: "Not available right now",
    507: "The disk is full",
}


class View(Protocol):
    def __call__(self, request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponse: ...


def page(*methods: str) -> Callable[[View], View]:
    """Make a view answer `methods` only (HEAD with GET), for signed-in people.

    An AppError becomes a calm page with its status, or a toast where htmx asked.
    """
    allowed = {*methods, "HEAD"} if "GET" in methods else set(methods)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return _sign_in(request)
            if request.method not in allowed:
                return HttpResponseNotAllowed(sorted(allowed))
            try:
                response = view(request, *args, **kwargs)
            except AppError as error:
                return error_page(request, error)
            # What a person sees is theirs: no shared cache and no back button after signing out.
            patch_cache_control(response, private=True, no_store=True)
            return response

        return guarded

    return decorate


def render_page(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render the fragment that htmx asks for, else the whole page."""
    name = template
    target = request.headers.get("HX-Target", "") if request.headers.get("HX-Request") else ""
    if target and _has_partial(template, target):
        name = f"{template}#{target}"
    response = render(request, name, dict(context), status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def redirect(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser to `url`, also from an htmx request."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)


def live_url(*, project: str, run: str = "", logs: bool = False) -> str:
    """Return the address of a page's one stream of hints.

    It says when the page was made: what happens before the browser listens is hinted at then.
    """
    made = str(time.time_ns() // 1_000_000)
    scope = {"project": project, "run": run, "logs": "1" if logs else "", "last": made}
    asked = urlencode({key: value for key, value in scope.items() if value})
    return f"{reverse('live')}?{asked}"


def error_page(request: HttpRequest, error: AppError) -> HttpResponse:
    """Show an error: as a toast to htmx, as a page to everyone else."""
    title = TITLES.get(error.status, TITLES[400])
    context = {"title": title, "message": error.message, "details": error.details}
    if not request.headers.get("HX-Request"):
        return render(request, "error.html", context, status=error.status)
    response = render(request, "components/toast.html", context, status=error.status)
    response["HX-Retarget"], response["HX-Reswap"] = "#toasts", "beforeend"
    return response


def _has_partial(template: str, target: str) -> bool:
    if not target.replace("-", "").replace("_", "").isalnum():
        return False
    try:
        get_template(f"{template}#{target}")
    except TemplateDoesNotExist:
        return False
    return True


def _sign_in(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        # The whole page, not a fragment of it, must become the sign-in page.
        return HttpResponseClientRefresh()
    here = urlsplit(request.get_full_path())
    back = here.path + (f"?{here.query}" if here.query else "")
    return redirect_to_login(back if request.method in ("GET", "HEAD") else "/")
