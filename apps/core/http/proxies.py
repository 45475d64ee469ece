"""The proxy of this process's environment for a request to the outside, or none.

This machine is never asked through a proxy: what listens on loopback here is not there. NO_PROXY
holds names (with what lies below them), addresses and networks, each with a port where one is
meant; `*` is everything.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

import httpx

SCHEMES = ("http", "https", "socks5", "socks5h")
PORTS = {"http": 80, "https": 443}


class ProxyProblem(ValueError):
    """A variable names no proxy that can be used; the text says which, and what to do."""


@dataclass(frozen=True)
class Proxy:
    """`variable` is where it stands, `place` how it is shown: without a password."""

    url: str = field(repr=False)
    variable: str
    place: str


def choose(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy for a URL, None where it is called directly.

    Raise ProxyProblem when the variable that decides is not the address of a proxy.
    """
    target = urlsplit(url)
    host = (target.hostname or "").rstrip(".")
    port = target.port or PORTS.get(target.scheme)
    if is_here(host) or _is_excepted(host, port, _value(environ, "no_proxy")[1]):
        return None
    for name in (f"{target.scheme}_proxy", "all_proxy"):
        variable, value = _value(environ, name)
        if value:
            return _proxy(variable, value, host)
    return None


def is_here(host: str) -> bool:
    """Tell whether a host is this machine itself by its text: loopback, in all ways to write it."""
    host = host.lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and (address.is_loopback or address.is_unspecified)


class Transport(httpx.BaseTransport):
    """Sends each request directly or through its proxy; certificates as the environment says."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._open: dict[str | None, httpx.HTTPTransport] = {}

    def open(self, url: str) -> httpx.HTTPTransport:
        """Return what carries requests for a URL, which is kept open.

        Raise ProxyProblem, and OSError where certificate files cannot be read.
        """
        proxy = choose(url, self._environ)
        key = proxy.url if proxy else None
        if key not in self._open:
            self._open[key] = httpx.HTTPTransport(proxy=key)
        return self._open[key]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.open(str(request.url)).handle_request(request)

    def close(self) -> None:
        for transport in self._open.values():
            transport.close()


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """A variable in lower case goes before the same in upper case, also where it is empty."""
    for variable in (name, name.upper()):
        # Where a web server starts programs for requests, HTTP_PROXY is what a caller sent.
        if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
            continue
        if variable in environ:
            return variable, environ[variable].strip()
    return name, ""


def _proxy(variable: str, value: str, host: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        valid = parts.hostname and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        valid = False
    if not valid or " " in url:
        raise ProxyProblem(
            f"{variable} is not the address of a proxy, such as http://proxy.example:3128: "
            f"correct it, or set NO_PROXY={host}"
        )
    if parts.scheme not in SCHEMES:
        raise ProxyProblem(
            f"{variable} names a proxy of kind {parts.scheme}://, which is not supported "
            f"(there is {', '.join(SCHEMES)}): change it, or set NO_PROXY={host}"
        )
    return Proxy(url, variable, f"{parts.scheme}://{_shown(parts)}")


def _shown(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _is_excepted(host: str, port: int | None, no_proxy: str) -> bool:
    return any(
        wanted in (None, port) and _covers(name, host) for name, wanted in _entries(no_proxy)
    )


def _entries(no_proxy: str) -> Iterator[tuple[str, int | None]]:
    """Names with the port that they are meant for, None: any."""
    for entry in no_proxy.lower().replace(",", " ").split():
        name, sign, port = entry.rpartition(":")
        if sign and port.isdecimal() and (":" not in name or name.startswith("[")):
            yield name.strip("[]"), int(port)
        else:
            yield entry.strip("[]"), None


def _covers(name: str, host: str) -> bool:
    if name == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    name, host = name.removeprefix("*").strip("."), host.lower()
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """`127.1` and `0x7f000001` are addresses too, for the system that is going to be asked."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except OSError:
        return None
