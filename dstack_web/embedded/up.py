"""`manage.py up`: the whole server on one machine, in the foreground.

It runs before Django's settings are read, since it makes the variables that they are read from.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dstack_web.embedded import addresses, children, first_start, leftovers
from dstack_web.embedded.children import Plan
from dstack_web.embedded.home import Home
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.servers.valkey import Valkey
from dstack_web.embedded.sockets import socket_folder
from dstack_web.embedded.supervisor import StopRequested, Supervisor
from dstack_web.front import config as fronts
from dstack_web.front import room as rooms
from dstack_web.front.config import Front
from dstack_web.front.errors import FrontFailed
from dstack_web.front.room import Room
from dstack_web.processes import StartFailed
from dstack_web.variables import values as variables
from dstack_web.variables.variable import BadVariable

CODE = Path(__file__).resolve().parent.parent
SERVERS_SECONDS = 60  # a crash may leave PostgreSQL with much to redo
SERVICES_SECONDS = 60
USAGE = """usage: manage.py up

Starts dstack-web on this machine and stays in the foreground; Ctrl-C stops everything.
Settings are environment variables (DSTACK_HOME, DSTACK_PORT, DSTACK_GATEWAY_PORT, ...):
the page Settings of the documentation lists them all.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the server until it is asked to stop, and return the exit code."""
    if arguments:
        asks_help = arguments[0] in {"-h", "--help"}
        (sys.stdout if asks_help else sys.stderr).write(USAGE)
        return 0 if asks_help else 2
    home = Home.from_environment(os.environ)
    supervisor = Supervisor(home=home, say=say_aside)
    supervisor.take_signals()
    try:
        return run(supervisor, os.environ)
    except (StartFailed, FrontFailed, OSError) as error:
        say_aside(str(error))
        return 1


def run(supervisor: Supervisor, environ: Mapping[str, str]) -> int:
    """Start everything and watch it. Raise StartFailed, all being stopped."""
    home = supervisor.home
    listen = addresses.from_environment(environ)
    require_readable(environ)
    files = rooms.allow_files()
    if words := rooms.complaint(files):
        say_aside(words)
    room = rooms.room(files=files, environ=environ)
    trusted = fronts.trusted(environ)
    home.prepare()
    lock = home.lock()
    end_leftovers(home)
    addresses.require_free(listen)
    plan = make_plan(home, listen, environ, room)
    fronts.write(
        home.folder("run"), Front(listen.bind, listen.port, plan.web_socket, room, trusted)
    )
    servers, services = children.servers(plan), children.services(plan)
    try:
        start(supervisor, plan)
        supervisor.watch()
    except StopRequested:
        say_aside("Stopping")
    finally:
        supervisor.stop([[child.name for child in services], [child.name for child in servers]])
        leftovers.end_haproxy(home.folder("gateway") / "haproxy.pid")
        remove_sockets(plan)
        os.close(lock)
    return 0


def require_readable(environ: Mapping[str, str]) -> None:
    """Raise StartFailed for a variable that a part of the server could not read."""
    try:
        variables.check(environ)
    except BadVariable as error:
        raise StartFailed(str(error)) from None


def end_leftovers(home: Home) -> None:
    """End what a killed run has left, which would hold ports and files."""
    leftovers.end(home.folder("run") / "children.json")
    leftovers.end_haproxy(home.folder("gateway") / "haproxy.pid")


def start(supervisor: Supervisor, plan: Plan) -> None:
    servers, services = children.servers(plan), children.services(plan)
    for child in servers:
        supervisor.start(child)
    supervisor.wait_ready(servers, seconds=SERVERS_SECONDS)
    if plan.postgres:
        plan.postgres.create_database()
    account = first_start.prepare(plan=plan, supervisor=supervisor)
    if account.token:
        plan.home.write_cli_config(url=plan.addresses.public_url, token=account.token)
    for child in services:
        supervisor.start(child)
    supervisor.wait_ready(services, seconds=SERVICES_SECONDS)
    say(banner(plan, account))


def make_plan(
    home: Home, listen: addresses.Addresses, environ: Mapping[str, str], room: Room
) -> Plan:
    sockets = socket_folder(home.folder("run"))
    postgres = Postgres(data=home.folder("pg"), sockets=sockets)
    valkey = Valkey(folder=home.folder("valkey"), sockets=sockets)
    for server, variable in ((postgres, "DATABASE_URL"), (valkey, "REDIS_URL")):
        if not environ.get(variable):
            server.prepare()
    secrets = home.secrets(environ)
    home.write_gateway_token(secrets.gateway_token)
    # It knows the server by that address, and needs no authority for it.
    home.update_agent_config(url=listen.local_url, authority="")
    return Plan(
        home=home,
        addresses=listen,
        secrets=secrets,
        environ=environ,
        postgres=None if environ.get("DATABASE_URL") else postgres,
        valkey=None if environ.get("REDIS_URL") else valkey,
        static_root=static_root(environ),
        sockets=sockets,
        room=room,
        # A checkout that is not installed is found where it lies.
        python_path=str(CODE.parent) if (CODE.parent / "manage.py").exists() else "",
    )


def static_root(environ: Mapping[str, str]) -> Path:
    """Find the collected static files: in a wheel, or beside a checkout."""
    packaged, beside = CODE / "_static", CODE.parent / "staticfiles"
    found = Path(environ.get("DSTACK_STATIC_ROOT") or (packaged if packaged.is_dir() else beside))
    if not found.is_dir():
        raise StartFailed(f"{found} is missing; run `make assets` to collect the static files")
    return found.absolute()


def banner(plan: Plan, account: first_start.Account) -> str:
    """Say where everything is; a secret only at the start that made it."""
    password = account.password or "the password shown at the first start"
    token = account.token or f"the one shown at the first start, or in {plan.home.root}/config.yml"
    return "\n".join(
        (
            "dstack-web is ready",
            f"  Dashboard   {plan.addresses.public_url}",
            f"  Sign in     admin / {password}",
            f"  API token   {token}",
            *where_services_are(plan.addresses),
        )
    )


def where_services_are(listen: addresses.Addresses) -> tuple[str, str]:
    """Say where services and their models are called."""
    domain, port = listen.gateway_domain, listen.gateway_port
    if listen.has_tls:
        port = listen.gateway_tls_port
        suffix = domain if port == 443 else f"{domain}:{port}"
        return (
            f"  Services    https://<run name>.{suffix}",
            f"  OpenAI API  https://gateway.{suffix}",
        )
    by_path = f"http://{domain}:{port}/services/main/<run name>/"
    return (
        f"  Services    http://<run name>.{domain}:{port}   (or {by_path})",
        f"  OpenAI API  http://{domain}:{port}/v1",
    )


def remove_sockets(plan: Plan) -> None:
    """Sockets that had to lie outside the home leave nothing behind."""
    if not plan.sockets.is_relative_to(plan.home.root):
        shutil.rmtree(plan.sockets, ignore_errors=True)


def say(text: str) -> None:
    # A terminal that has gone away is no reason to stop.
    with suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say_aside(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"dstack-web: {text}\n")
        sys.stderr.flush()
