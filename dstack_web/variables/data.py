"""What the server keeps, with which keys, for how long, and how much one may have."""

from __future__ import annotations

from dstack_web.variables.variable import Kind, Part, Variable

START, SERVER, CLI, COMPOSE = Part.START, Part.SERVER, Part.CLI, Part.COMPOSE
FILES = "django.core.files.storage.FileSystemStorage"
# A century: a date moved by more than it can hold would be an error.
MOST_DAYS, MOST_MB = 36_500, 1_000_000

KEEPING = (
    Variable(
        name="DSTACK_HOME",
        kind=Kind.PATH,
        default="~/.dstack-web",
        parts=(START, SERVER, CLI),
        says="Folder of the data (`server/`) and of the command line's `config.yml`.",
    ),
    Variable(
        name="DATABASE_URL",
        kind=Kind.SECRET,
        default_is="embedded",
        parts=(START, SERVER),
        says="An external PostgreSQL, 15 or newer: `postgresql://user:password@host:port/name`.",
    ),
    Variable(
        name="REDIS_URL",
        kind=Kind.SECRET,
        default_is="embedded",
        parts=(START, SERVER),
        says="An external Valkey or Redis: `redis://:password@host:port/0`.",
    ),
    Variable(
        name="DSTACK_SECRET_KEY",
        kind=Kind.SECRET,
        default_is="generated, in `server/secrets.json`",
        parts=(START, SERVER, COMPOSE),
        says="Key with which sessions are signed.",
    ),
    Variable(
        name="DSTACK_ENCRYPTION_KEYS",
        kind=Kind.SECRET,
        default_is="generated, in `server/secrets.json`",
        parts=(START, SERVER, COMPOSE),
        says="Fernet keys of the secrets in the database, newest first, with commas between them.",
    ),
    Variable(
        name="DSTACK_METRICS_TOKEN",
        kind=Kind.SECRET,
        default_is="generated, in `server/secrets.json`",
        parts=(START, SERVER, Part.GATEWAY, COMPOSE),
        says="With it Prometheus scrapes `/metrics` of the server and `/-/metrics` of the gateway; "
        "each wants it, since services may run on the same machine.",
    ),
    Variable(
        name="DSTACK_ADMIN_PASSWORD",
        kind=Kind.SECRET,
        default_is="generated",
        parts=(SERVER, COMPOSE),
        says="Password of the user `admin`, read at the first start only.",
    ),
    Variable(
        name="DSTACK_ADMIN_TOKEN",
        kind=Kind.SECRET,
        default_is="generated",
        parts=(SERVER, COMPOSE),
        says="API token of that user, read at the first start only.",
    ),
    Variable(
        name="DSTACK_BLOB_STORAGE",
        default=FILES,
        parts=(SERVER,),
        says="Django storage class that keeps uploads; by default files below `server/blobs`.",
    ),
)

LIMITS = (
    Variable(
        name="DSTACK_REPLICAS_LIMIT",
        kind=Kind.WHOLE,
        default="100",
        unit="replicas",
        parts=(SERVER,),
        says="Most replicas of a service; an admin of the server may set another for a project, on "
        "its page *Settings*.",
    ),
    Variable(
        name="DSTACK_PROJECTS_PER_USER",
        kind=Kind.WHOLE,
        default="20",
        unit="projects",
        parts=(SERVER,),
        says="How many projects a user may add; admins of the server any number.",
    ),
    Variable(
        name="DSTACK_TOKENS_PER_USER",
        kind=Kind.WHOLE,
        default="100",
        unit="tokens",
        parts=(SERVER,),
        says="How many tokens that work one user may have.",
    ),
    Variable(
        name="DSTACK_BROWSER_SESSION",
        kind=Kind.DURATION,
        default="12h",
        least=60,
        most=30 * 86400,
        parts=(SERVER,),
        says="How long a service stays open in the browser in which a member opened it.",
    ),
    Variable(
        name="DSTACK_UPLOAD_LIMIT_MB",
        kind=Kind.WHOLE,
        default="512",
        least=1,
        most=MOST_MB - 1,
        unit="MB",
        parts=(SERVER, CLI),
        says="Largest upload, packed.",
    ),
    Variable(
        name="DSTACK_UPLOADS_QUOTA_MB",
        kind=Kind.WHOLE,
        default="5120",
        unit="MB",
        parts=(SERVER,),
        says="All uploads of a project together, packed.",
    ),
    Variable(
        name="DSTACK_START_DEADLINE_SECONDS",
        kind=Kind.WHOLE,
        default="1200",
        least=1,
        unit="s",
        most=10**7,
        parts=(SERVER,),
        says="Time for a replica to become ready, where its service says no other.",
    ),
    Variable(
        name="DSTACK_BOOT_DEADLINE",
        kind=Kind.DURATION,
        default="10m",
        least=1,
        most=86400,
        parts=(SERVER,),
        says="Time for the agent of a new machine to call; then the next offer is tried.",
    ),
    Variable(
        name="DSTACK_AZURE_PRICES",
        kind=Kind.SWITCH,
        default="0",
        parts=(SERVER,),
        says="Azure's public list of retail prices is read every six hours, without an account.",
    ),
    Variable(
        name="DSTACK_AZURE_ENDPOINT",
        kind=Kind.URL,
        parts=(SERVER,),
        says="Where an emulator of Azure is: every call goes there and none to Azure.",
    ),
    Variable(
        name="DSTACK_GCP_ENDPOINT",
        kind=Kind.URL,
        parts=(SERVER,),
        says="Where an emulator of Google Cloud is: every call goes there and none to Google.",
    ),
    Variable(
        name="DSTACK_TENSORDOCK_ENDPOINT",
        kind=Kind.URL,
        parts=(SERVER,),
        says="Where an emulator of TensorDock is: every call goes there and none to TensorDock.",
    ),
    Variable(
        name="DSTACK_MACHINE_SILENCE",
        kind=Kind.DURATION,
        default="12h",
        least=600,
        most=30 * 86400,
        parts=(SERVER,),
        says="A machine of a cloud that hears of no server for so long stops what it runs and "
        "shuts itself down; one that its server refuses does so after 10 minutes.",
    ),
    Variable(
        name="DSTACK_UNKNOWN_MACHINE_GRACE",
        kind=Kind.DURATION,
        default="1h",
        least=60,
        most=365 * 86400,
        parts=(SERVER,),
        says="How long a machine in a cloud that carries this server's id and that its database "
        "does not know is only shown to its admins; then it is ended. See "
        "[Upgrades and backups](/docs/running/).",
    ),
)

RETENTION = (
    Variable(
        name="DSTACK_HISTORY_DAYS",
        kind=Kind.WHOLE,
        default="90",
        most=MOST_DAYS,
        unit="days",
        parts=(SERVER,),
        says="How long what is over is kept: runs with their versions and replicas, machines, "
        "events, decisions, tokens that were revoked or expired. Of an active run its own events "
        "stay, and of all what they cost. Sessions go when they expire, secrets of a "
        "replica when it ends, deleted runs after a day.",
    ),
    Variable(
        name="DSTACK_RUN_VERSIONS",
        kind=Kind.WHOLE,
        default="20",
        least=1,
        unit="versions",
        parts=(SERVER,),
        says="How many versions of a run are kept; the one that runs and the one to fall back to "
        "always are.",
    ),
    Variable(
        name="DSTACK_CACHE_KEEP",
        kind=Kind.DURATION,
        default="7d",
        most=365 * 86400,
        parts=(SERVER,),
        says="How long a machine keeps a project's model files after the last replica that used "
        "them; 0: replicas keep none for others.",
    ),
    Variable(
        name="DSTACK_LOG_DAYS",
        kind=Kind.WHOLE,
        default="7",
        most=MOST_DAYS,
        unit="days",
        parts=(SERVER,),
        says="How long the log of services is kept.",
    ),
    Variable(
        name="DSTACK_LOG_BYTES_PER_RUN",
        kind=Kind.WHOLE,
        default="1000000000",
        most=10**15 - 1,
        unit="bytes",
        parts=(SERVER,),
        says="How much log of one run is kept.",
    ),
    Variable(
        name="DSTACK_METRIC_DAYS",
        kind=Kind.WHOLE,
        default="7",
        most=MOST_DAYS,
        unit="days",
        parts=(SERVER,),
        says="How long figures of requests and of what replicas use are kept; they get coarser "
        "with age.",
    ),
    Variable(
        name="DSTACK_REQUEST_HOURS",
        kind=Kind.WHOLE,
        default="24",
        most=24 * MOST_DAYS,
        unit="hours",
        parts=(SERVER,),
        says="How long single requests of services are kept: time, method, path without its query, "
        "status, the key's name. 0: none is kept, and gateways tell none. "
        "See [Requests](/docs/endpoints/#requests).",
    ),
    Variable(
        name="DSTACK_UPLOAD_GRACE_HOURS",
        kind=Kind.WHOLE,
        default="24",
        most=24 * MOST_DAYS,
        unit="hours",
        parts=(SERVER,),
        says="How long an upload that no version needs is kept after somebody last sent it or "
        "asked for it.",
    ),
)
