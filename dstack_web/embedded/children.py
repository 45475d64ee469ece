"""Which processes make the server: their commands, their environments, how each is stopped.

A child gets only the variables that it needs. The agent runs people's programs, so nothing of the
server's secrets may be in its environment; the gateway needs its own token and no database.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname

from dstack_web.embedded import ready
from dstack_web.embedded.addresses import Addresses
from dstack_web.embedded.home import Home, Secrets
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.servers.valkey import Valkey
from dstack_web.embedded.watch import ANSWER_SECONDS, PULSE_VARIABLE, Watch
from dstack_web.front import config
from dstack_web.front import web as granian
from dstack_web.front.room import Room

PYTHON = [sys.executable, "-P", "-m"]
# Without its banner, and the warning that root runs it: what it takes from the queue are ids only.
ROOT_IS_FINE = ["-W", "ignore::UserWarning:celery.platforms"]
CELERY = [sys.executable, "-P", *ROOT_IS_FINE, "-m", "celery", "-q", "-A"]
# Nobody asks the embedded workers anything by remote control, so they need not find each other.
ALONE = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
CONTROL_THREADS, OUTSIDE_THREADS, WEB_CONNECTIONS = 2, 8, 10

FROM_THE_USER = (
    ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
    + ("XDG_RUNTIME_DIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    + ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    + ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
)
HARDWARE = ("DOCKER_HOST", "DOCKER_CONFIG", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
FOR_THE_AGENT = (
    *HARDWARE,
    "DSTACK_AGENT_NETWORK",
    "DSTACK_IMAGES_DISK_PERCENT",
    "DSTACK_REPLICA_DISK_GB",
)
FOR_THE_GATEWAY = (
    "DSTACK_HAPROXY",
    "DSTACK_GATEWAY_HOSTS",
    "DSTACK_GATEWAY_SLOTS",
    "DSTACK_GATEWAY_THREADS",
    "DSTACK_GATEWAY_TLS_PORT",
    "DSTACK_GATEWAY_ACME_URL",
    "DSTACK_GATEWAY_ACME_EMAIL",
    "DSTACK_GATEWAY_ACME_CA",
    "DSTACK_GATEWAY_DNS_HOOK",
    "DSTACK_GATEWAY_DNS_SECONDS",
)
# What the libraries of clouds read, and the one child that calls them.
FOR_CLOUDS = (
    *("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"),
    *("DSTACK_AZURE_", "DSTACK_GCP_", "DSTACK_TENSORDOCK_"),
)
ASKS_CLOUDS = "outside"
FIRST_START_ONLY = ("DSTACK_ADMIN_PASSWORD", "DSTACK_ADMIN_TOKEN")
# Fast shutdown first, then the one without a checkpoint: the server ends its own processes, and
# no commit is lost by any of the three.
POSTGRES_ENDS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 8.0))


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to keep running.

    `death_signal` is what the kernel sends it when the supervisor is gone: programs that have
    children of their own get one that they can handle. `if_dead` runs at the stop in place of a
    child that cannot do its last work itself, because it was killed. `watch` says how it is found
    out that it hangs; such a child is killed, after the signals `hung_signals`, each with the
    seconds that it has to end by it.
    """

    name: str
    argv: list[str]
    env: Mapping[str, str]
    is_ready: Callable[[], bool] = field(default=lambda: True)
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    stop_seconds: float = 4.0
    if_dead: list[str] | None = None
    watch: Watch | None = None
    hung_signals: tuple[tuple[signal.Signals, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that the commands are made of. A server that is not embedded is None."""

    home: Home
    addresses: Addresses
    secrets: Secrets
    environ: Mapping[str, str]
    postgres: Postgres | None
    valkey: Valkey | None
    static_root: Path
    sockets: Path
    room: Room
    python_path: str = ""

    @property
    def web_socket(self) -> Path:
        return self.sockets / "web.sock"

    @property
    def database_url(self) -> str:
        return self.postgres.url() if self.postgres else self.environ["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.valkey.url() if self.valkey else self.environ["REDIS_URL"]


def servers(plan: Plan) -> list[Child]:
    """Return the embedded servers, which start first and stop last."""
    env = {"PATH": plan.environ.get("PATH", ""), "LANG": "C.UTF-8", "TZ": "UTC"}
    found = []
    if plan.postgres:
        found.append(
            Child(
                name="postgres",
                argv=plan.postgres.argv(),
                env=env,
                is_ready=plan.postgres.is_ready,
                stop_signal=signal.SIGINT,
                death_signal=signal.SIGINT,
                watch=Watch(answers=plan.postgres.answers),
                hung_signals=POSTGRES_ENDS,
            )
        )
    if plan.valkey:
        found.append(
            Child(
                name="valkey",
                argv=plan.valkey.argv(),
                env=env,
                is_ready=plan.valkey.is_ready,
                watch=Watch(answers=plan.valkey.answers),
            )
        )
    return found


def services(plan: Plan) -> list[Child]:
    """Return everything that stands on the servers, in order of start."""
    return [
        web(plan),
        front(plan),
        gateway(plan),
        *workers(plan),
        beat(plan),
        relay(plan),
        agent(plan),
    ]


def web(plan: Plan) -> Child:
    return Child(
        name="web",
        argv=granian.argv(
            socket=plan.web_socket, static_root=plan.static_root, room=plan.room, kill_seconds=3
        ),
        env={
            **server_env(plan),
            "DSTACK_DB_POOL": str(WEB_CONNECTIONS),
            "DSTACK_BEHIND_FRONT": "1",
        },
        is_ready=lambda: ready.answers_at(plan.web_socket, path="/readyz", wanted={200}),
        death_signal=signal.SIGTERM,
        watch=Watch(
            answers=lambda: ready.answers_at(
                plan.web_socket, path="/healthz", seconds=ANSWER_SECONDS
            )
        ),
    )


def front(plan: Plan) -> Child:
    """The proxy that listens where the dashboard is called; its files lie in the run folder."""
    return Child(
        name="front",
        argv=config.argv(plan.home.folder("run"), plan.environ),
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        is_ready=lambda: ready.answers(
            host=plan.addresses.local_host, port=plan.addresses.port, path=config.ALIVE_PATH
        ),
        # By a door of its own: the public one may have too many callers.
        watch=Watch(
            answers=lambda: ready.answers_at(
                config.own_socket(plan.web_socket), path=config.ALIVE_PATH, seconds=ANSWER_SECONDS
            )
        ),
    )


def workers(plan: Plan) -> list[Child]:
    return [
        worker(plan, queue="control", threads=CONTROL_THREADS),
        worker(plan, queue=ASKS_CLOUDS, threads=OUTSIDE_THREADS),
    ]


def worker(plan: Plan, *, queue: str, threads: int) -> Child:
    name = f"worker-{queue}"
    pool = ["-P", "threads", "-c", str(threads), "-Q", queue, "-n", f"{queue}@%h"]
    env = server_env(plan) | (cloud_env(plan) if queue == ASKS_CLOUDS else {})
    return Child(
        name=name,
        argv=[*CELERY, "dstack_web.celery", "worker", *pool, *ALONE, "-l", "INFO"],
        # Checked already by `up`; checking loads every page and form, 11 MB a worker.
        env={**env, "DSTACK_DB_POOL": str(threads), "CELERY_SKIP_CHECKS": "1"},
        is_ready=lambda: ready.log_says(plan.home.log(name), f"{queue}@{gethostname()} ready."),
        watch=Watch(),
    )


def cloud_env(plan: Plan) -> dict[str, str]:
    """Return the variables by which the libraries of clouds find credentials and addresses."""
    return {name: value for name, value in plan.environ.items() if name.startswith(FOR_CLOUDS)}


def beat(plan: Plan) -> Child:
    # The schedule lies in the code and what was due is found in the database: nothing to keep.
    schedule = ["-S", "dstack_web.worker.clock:BeatingScheduler", "--pidfile=", "-l", "WARNING"]
    return Child(
        name="beat",
        argv=[*CELERY, "dstack_web.worker.clock", "beat", *schedule],
        env=server_env(plan),
        watch=Watch(),
    )


def relay(plan: Plan) -> Child:
    """What opens the ways by which gateways call a server that nobody can call."""
    return Child(
        name="relay",
        argv=[*PYTHON, "dstack_web.relay"],
        env={**server_env(plan), "DSTACK_DB_POOL": "1"},
        death_signal=signal.SIGTERM,
        watch=Watch(),
    )


def gateway(plan: Plan) -> Child:
    port = plan.addresses.gateway_port
    return Child(
        name="gateway",
        argv=[*PYTHON, "gateway"],
        env={
            **common_env(plan),
            **picked(plan.environ, FOR_THE_GATEWAY),
            "DSTACK_METRICS_TOKEN": plan.secrets.metrics_token,
            "DSTACK_GATEWAY_CONTROL_URL": plan.addresses.local_url,
            "DSTACK_GATEWAY_TOKEN_FILE": str(plan.home.folder("gateway") / "token"),
            "DSTACK_GATEWAY_HOME": str(plan.home.folder("gateway")),
            "DSTACK_GATEWAY_BIND": plan.addresses.bind,
            "DSTACK_GATEWAY_PORT": str(port),
            "DSTACK_GATEWAY_SSH_PORT": str(plan.addresses.gateway_ssh_port),
        },
        is_ready=lambda: ready.answers(host=plan.addresses.local_host, port=port, path="/"),
        death_signal=signal.SIGTERM,
        # Killed without a word, it leaves HAProxy to the next one, with the requests in flight.
        watch=Watch(),
    )


def agent(plan: Plan) -> Child:
    # It must be able to die without its replicas: the next one takes them over. Asked to stop, it
    # stops them, which may take it most of the ten seconds that a stop may last.
    home = plan.home.folder("agent")
    argv = [*PYTHON, "apps.agent", "--home", str(home)]
    return Child(
        name="agent",
        # The local backend writes the configuration when it makes the first instance.
        argv=[*argv, "--config", str(home / "config.json")],
        if_dead=[*argv, "--end"],
        env={
            **common_env(plan),
            **picked(plan.environ, FOR_THE_AGENT),
            "DSTACK_AGENT_PUBLIC_PORTS": ",".join(map(str, plan.addresses.public_ports)),
        },
        stop_seconds=8.5,
        # Killed without a word, it leaves its replicas to the next one.
        watch=Watch(),
    )


def server_env(plan: Plan) -> dict[str, str]:
    """Return the environment of every process that loads Django's settings."""
    own = {key: value for key, value in plan.environ.items() if key.startswith("DSTACK_")}
    for name in (*FIRST_START_ONLY, PULSE_VARIABLE):
        own.pop(name, None)
    return {
        **common_env(plan),
        **picked(plan.environ, HARDWARE),
        **own,
        "DJANGO_SETTINGS_MODULE": "dstack_web.settings",
        "DSTACK_HOME": str(plan.home.root),
        "DSTACK_BIND": plan.addresses.bind,
        "DSTACK_PORT": str(plan.addresses.port),
        "DSTACK_GATEWAY_PORT": str(plan.addresses.gateway_port),
        "DSTACK_PUBLIC_URL": plan.addresses.public_url,
        "DSTACK_AGENT_URL": plan.environ.get("DSTACK_AGENT_URL") or plan.addresses.local_url,
        "DSTACK_LOCAL_URL": plan.addresses.local_url,
        "DSTACK_GATEWAY_DOMAIN": plan.addresses.gateway_domain,
        "DSTACK_GATEWAY_SSH_PORT": str(plan.addresses.gateway_ssh_port),
        "DSTACK_STATIC_ROOT": str(plan.static_root),
        "DSTACK_METRICS_TOKEN": plan.secrets.metrics_token,
        "DSTACK_SECRET_KEY": plan.secrets.secret_key,
        "DSTACK_ENCRYPTION_KEYS": ",".join(plan.secrets.encryption_keys),
        "DATABASE_URL": plan.database_url,
        "REDIS_URL": plan.redis_url,
    }


def common_env(plan: Plan) -> dict[str, str]:
    env = {
        **picked(plan.environ, FROM_THE_USER),
        "PYTHONUNBUFFERED": "1",
        # glibc gives each thread a heap of its own, which a small server pays for in megabytes.
        "MALLOC_ARENA_MAX": "2",
    }
    paths = [plan.python_path, plan.environ.get("PYTHONPATH", "")]
    if any(paths):
        env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return env


def picked(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}
