"""Where the server listens: read from the environment, and free before anything starts."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from apps.backends import way_home
from dstack_web.processes import StartFailed
from dstack_web.variables.values import Values
from dstack_web.variables.variable import BadVariable

HOST_NAME = re.compile(r"(?=.{1,253}$)\w[\w-]{0,62}(\.\w[\w-]{0,62})*", re.ASCII)
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what to call where all addresses listen
TUNNEL_PORT = 2222
# Where sshd lies is on the path of few users; the gateway looks there, too.
SSH_SERVER_PATH = f"{os.defpath}:/usr/sbin:/usr/local/sbin:/sbin"


@dataclass(frozen=True)
class Addresses:
    """`bind` is the address of the dashboard and of the gateway; without TLS its port is 0."""

    bind: str
    port: int
    gateway_port: int
    public_url: str
    gateway_domain: str
    gateway_tls_port: int = 0
    gateway_ssh_port: int = 0

    @property
    def has_tls(self) -> bool:
        """No authority gives certificates for `localhost`: there services stay on plain HTTP."""
        return bool(self.gateway_tls_port) and not f".{self.gateway_domain}".endswith(".localhost")

    @property
    def public_ports(self) -> list[int]:
        """The gateway's, which services may call too."""
        return [port for port in (self.gateway_port, self.gateway_tls_port) if port]

    @property
    def local_host(self) -> str:
        """The address at which processes of this machine reach the server."""
        return EVERYWHERE.get(self.bind, self.bind)

    @property
    def local_url(self) -> str:
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.port}"


def from_environment(environ: Mapping[str, str]) -> Addresses:
    """Return the addresses. Raise StartFailed naming the wrong variable."""
    bind = Values(environ).text("DSTACK_BIND")
    port = port_number(environ, "DSTACK_PORT")
    gateway_port = port_number(environ, "DSTACK_GATEWAY_PORT")
    if port == gateway_port:
        raise StartFailed(f"DSTACK_PORT and DSTACK_GATEWAY_PORT are both {port}; change one")
    tls_port = port_number(environ, "DSTACK_GATEWAY_TLS_PORT")
    if tls_port in (port, gateway_port):
        raise StartFailed(f"DSTACK_GATEWAY_TLS_PORT is {tls_port} like another port; change one")
    for host in environ.get("DSTACK_GATEWAY_HOSTS", "").replace(",", " ").split():
        require_host(host)
    public_url = environ.get("DSTACK_PUBLIC_URL") or f"http://127.0.0.1:{port}"
    domain = Values(environ).text("DSTACK_GATEWAY_DOMAIN")
    url = public_url.rstrip("/")
    listen = Addresses(bind, port, gateway_port, url, domain, tls_port)
    return replace(listen, gateway_ssh_port=tunnel_port(environ, listen))


def tunnel_port(environ: Mapping[str, str], listen: Addresses) -> int:
    """Return the port for tunnels, 0 for none. It opens by itself where machines can come in."""
    port = port_number(environ, "DSTACK_GATEWAY_SSH_PORT")
    if not environ.get("DSTACK_GATEWAY_SSH_PORT"):
        port = TUNNEL_PORT if may_take_tunnels(environ, listen) else 0
    # That of TLS it may be: what comes in says which of both it is.
    if port and port in (listen.port, listen.gateway_port):
        raise StartFailed(f"DSTACK_GATEWAY_SSH_PORT is {port} like another port; change one")
    return port


def may_take_tunnels(environ: Mapping[str, str], listen: Addresses) -> bool:
    """Tell whether there is an address for machines, who listens there, and an sshd."""
    agents = environ.get("DSTACK_AGENT_URL") or listen.local_url
    url = way_home.for_machines(agents, listen.public_url)
    return bool(url) and not way_home.is_loopback(listen.bind) and has_ssh_server()


def has_ssh_server() -> bool:
    return shutil.which("sshd", path=SSH_SERVER_PATH) is not None


def require_host(text: str) -> None:
    """Raise StartFailed where `text` is no host name or address; the gateway reads it as we do."""
    try:
        ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        if not HOST_NAME.fullmatch(text.removesuffix(".")):
            raise StartFailed(
                f"DSTACK_GATEWAY_HOSTS: {text[:80]!r} is no host name or address; "
                "write names without scheme, port and path"
            ) from None


def port_number(environ: Mapping[str, str], name: str) -> int:
    try:
        return Values(environ).whole(name)
    except BadVariable as error:
        raise StartFailed(str(error)) from None


def require_free(addresses: Addresses) -> None:
    """Raise StartFailed when something listens on one of the ports."""
    for name, port in (
        ("DSTACK_PORT", addresses.port),
        ("DSTACK_GATEWAY_PORT", addresses.gateway_port),
        ("DSTACK_GATEWAY_TLS_PORT", addresses.gateway_tls_port),
        ("DSTACK_GATEWAY_SSH_PORT", addresses.gateway_ssh_port),
    ):
        # Port 0, the one that is off, is always free.
        require_free_port(host=addresses.bind, port=port, variable=name)


def require_free_port(*, host: str, port: int, variable: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections of the last run that are not quite closed do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartFailed(refusal(error, host=host, port=port, variable=variable)) from error


def refusal(error: OSError, *, host: str, port: int, variable: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is already in use; stop what uses it, or set {variable}"
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has; set {variable} above 1023"
    return f"Cannot listen on {host} port {port} ({error.strerror}); check DSTACK_BIND"
