"""Where a run is published."""

from __future__ import annotations

from urllib.parse import urlsplit

from apps.gateways.models import Gateway
from apps.runs import states
from apps.runs.models import Run


def service_url(run: Run) -> str:
    project, https = run.project.name, run.spec.get("https", True)
    return url_on(run.gateway, run.name, project, host=has_host(run), https=https)


def has_host(run: Run) -> bool:
    """`gateway: false` publishes a run below the gateway's own name only."""
    return run.spec.get("gateway") is not False


def opens_by_cookie(run: Run) -> bool:
    """Tell whether a browser can have a cookie that opens the service: it wants tokens, and has a
    host of its own, since cookies are a whole host's."""
    has_own = run.gateway is not None and bool(run.gateway.domain) and has_host(run)
    return has_own and bool(run.spec.get("auth", True)) and run.state not in states.RUN.final


def url_on(
    gateway: Gateway | None,
    name: str,
    project: str,
    *,
    host: bool = True,
    https: bool | str = True,
) -> str:
    """Return the public URL of a run on a gateway, "" without one."""
    if gateway is None:
        return ""
    if host:
        return gateway.origin(f"{name}.{gateway.domain}", https=https)
    return f"{gateway.scheme}://{gateway.origin_suffix}{path_of(project, name)}/"


def path_of(project: str, name: str) -> str:
    return f"/services/{project}/{name}"


def path_url(run: Run) -> str:
    """Return the URL that needs no wildcard DNS, "" where there is none."""
    if run.gateway is None or not serves_paths(run.gateway):
        return ""
    gateway = run.gateway
    return f"{gateway.scheme}://{gateway.origin_suffix}{path_of(run.project.name, run.name)}/"


def serves_paths(gateway: Gateway) -> bool:
    """Path routes share an origin between services, so they exist only for trying things out."""
    return gateway.domain in ("", "localhost") or not urlsplit(f"//{gateway.domain}").hostname


def model_url(run: Run) -> str | None:
    """Return the base URL of the OpenAI API that serves the run's model, None where none does."""
    if run.gateway is None or not run.spec.get("model") or run.model_withheld:
        return None
    return openai_url(run.gateway)


def openai_url(gateway: Gateway) -> str:
    """Return where a gateway serves the OpenAI API.

    A name below `localhost` is known to browsers and curl but not to most programs, so there the
    API is below the gateway's own name.
    """
    if serves_paths(gateway):
        return f"{gateway.scheme}://{gateway.origin_suffix}/v1"
    return f"{gateway.scheme}://gateway.{gateway.origin_suffix}"
